"""The sink `webhook`: signed, in order, at least once, and honest about what was not taken."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from detector.errors import ConfigError, DeliveryError, UsageError
from streaming.config import Config, load_config
from streaming.outgoing import Endpoint
from streaming.signing import ID_HEADER, TIMESTAMP_HEADER, Signer
from streaming.sinks.base import open_sink
from streaming.sinks.webhook import SignedWebhook, WebhookAlerts
from tests.streaming.receivers import OK, Answer, Receiver, Request, answers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def body(alert: str, revision: int) -> bytes:
    return msgspec.json.encode({"id": alert, "revision": revision, "why": ["\u200bhostile\n"]})


class Clock:
    """Time that passes only when somebody waits, or makes an attempt."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def sink(receiver: Receiver, clock: Clock, give_up_s: float = 300.0) -> WebhookAlerts:
    webhook = SignedWebhook(Endpoint(receiver.url, "the sink", internal=True), Signer(SECRET), clock)
    return WebhookAlerts(webhook, give_up_s, clock, clock.sleep)


def test_every_revision_arrives_in_order_signed_and_under_an_id_of_its_own() -> None:
    clock, sent = Clock(), [(alert, revision) for revision in (1, 2) for alert in ("a1", "c/ü 2")]
    with Receiver() as receiver:
        opened = sink(receiver, clock)
        for alert, revision in sent:
            opened.write(alert, body(alert, revision))
        opened.close()
    assert [each.body for each in receiver.requests] == [body(*each) for each in sent]
    assert [each.headers[ID_HEADER] for each in receiver.requests] == ["a1-1", "c_2-1", "a1-2", "c_2-2"]
    assert all(Signer(SECRET).verify(each.headers, each.body, int(clock.now)) for each in receiver.requests)


def test_what_is_not_taken_is_sent_again_with_the_same_id_and_a_new_time() -> None:
    clock = Clock()
    with Receiver(answers((503, {}, b""), (0, {}, b""), (429, {"Retry-After": "90"}, b""))) as receiver:
        opened = sink(receiver, clock)
        opened.write("a1", body("a1", 1))
        opened.write("a1", body("a1", 2))
    assert [each.headers[ID_HEADER] for each in receiver.requests] == ["a1-1"] * 4 + ["a1-2"]
    stamps = [int(each.headers[TIMESTAMP_HEADER]) for each in receiver.requests]
    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[3]
    assert len(clock.waits) == 3
    assert clock.waits[0] <= 1.0
    assert clock.waits[2] >= 90.0


def test_a_receiver_that_takes_an_id_once_has_each_revision_once() -> None:
    """It takes the alert and hangs up before it says so: the second attempt brings the same id."""
    taken: dict[str, bytes] = {}

    def take(request: Request) -> Answer:
        known = request.headers[ID_HEADER] in taken
        taken[request.headers[ID_HEADER]] = request.body
        return OK if known else (0, {}, b"")

    with Receiver(take) as receiver:
        opened = sink(receiver, Clock())
        for revision in range(1, 4):
            opened.write("a1", body("a1", revision))
    assert len(receiver.requests) == 6
    assert list(taken.values()) == [body("a1", revision) for revision in range(1, 4)]


def test_a_lasting_refusal_ends_at_once_and_an_absent_receiver_after_its_time() -> None:
    clock = Clock()
    with Receiver(lambda _: (401, {}, b"")) as receiver:
        with pytest.raises(DeliveryError, match="status 401"):
            sink(receiver, clock).write("a1", body("a1", 1))
        assert clock.waits == []
        receiver.answer = lambda _: (503, {}, b"")
        with pytest.raises(DeliveryError, match="status 503"):
            sink(receiver, clock, give_up_s=20.0).write("a1", body("a1", 1))
    assert 7.0 < sum(clock.waits) <= 20.0


def configured(tmp_path: Path, **sinks: str) -> Config:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    return load_config(None, {f"SWARMLIGHT_SINKS__{name.upper()}": value for name, value in sinks.items()})


def test_it_opens_from_the_configuration_with_a_secret_from_a_file_or_a_variable(tmp_path: Path) -> None:
    for where in ({"webhook_secret_file": str(tmp_path / "secret")}, {"webhook_secret": SECRET}):
        config = configured(tmp_path, internal_addresses="allow", **where)
        assert SECRET not in repr(config)
        with Receiver() as receiver:
            opened = open_sink(f"webhook:{receiver.url}/hook", config)
            opened.write("a1", body("a1", 1))
            opened.close()
        assert [each.path for each in receiver.requests] == ["/hook"]


@pytest.mark.parametrize(
    ("spec", "sinks", "said"),
    [
        ("webhook:", {"webhook_secret": SECRET}, "name a URL"),
        ("webhook:https://hooks.example/", {}, "SWARMLIGHT_SINKS__WEBHOOK_SECRET"),
        ("webhook:https://hooks.example/", {"webhook_secret": "short"}, "24 at least"),
        ("webhook:https://hooks.example/", {"webhook_secret_file": "nowhere"}, "cannot be read"),
        ("webhook:http://hooks.example/", {"webhook_secret": SECRET}, "https"),
        ("webhook:hooks.example", {"webhook_secret": SECRET}, "begins with"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_opened(
    tmp_path: Path, spec: str, sinks: dict[str, str], said: str
) -> None:
    with pytest.raises((UsageError, ConfigError), match=said):
        open_sink(spec, configured(tmp_path, **sinks))
