"""The shells on a broker, with the tiny core: nothing lost, nothing twice, whoever does the work."""

from __future__ import annotations

import pytest

from tests.streaming.kafka.bench import Deployment, last_revisions
from tests.streaming.kafka.streams import stream
from tests.streaming.kafka.tiny import expected

pytestmark = pytest.mark.kafka


def test_a_worker_processes_a_bounded_topic_and_exits(deployment: Deployment) -> None:
    events = stream(600)
    deployment.create(deployment.topics.posts, 1)
    deployment.write(events, partitions=1)
    worker = deployment.tiny()
    assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)
