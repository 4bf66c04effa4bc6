"""`swarmlight forget` on a broker."""

from __future__ import annotations

import msgspec
import pytest

from detector.errors import UsageError
from streaming.commands.forget import command
from streaming.kafka.clients import Clients
from streaming.kafka.forgetting import request
from streaming.kafka.topics import ensure
from tests.streaming.kafka.bench import Deployment

pytestmark = pytest.mark.kafka


def test_it_writes_the_event_and_names_what_only_retention_removes(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.create(deployment.topics.posts, 3, **{"retention.ms": "86400000"})
    ensure(Clients(deployment.kafka()), deployment.topics, deployment.kafka(), snapshots=True)
    assert command(["Ann Ébert", "--config", str(deployment.config())]) == 0
    said = capsys.readouterr().out
    for topic in ("posts", "observations", "dead-letters", "feedback", "alerts", "accounts"):
        assert f"{deployment.topics.prefix}{topic}: " in said
    assert "retention.ms=86400000" in said
    (record,) = deployment.read(deployment.topics.posts)
    event = msgspec.json.decode(record.value)
    assert (event["kind"], event["account"], record.key.decode()) == ("delete_account", "Ann Ébert", "Ann Ébert")
    assert abs(event["at"] - record.timestamp) < 1000


@pytest.mark.parametrize("name", ["", "\udc80"])
def test_a_name_that_no_account_can_have_is_refused(deployment: Deployment, name: str) -> None:
    with pytest.raises(UsageError, match="not empty, and valid UTF-8"):
        request(Clients(deployment.kafka()), deployment.topics, name, 0)
