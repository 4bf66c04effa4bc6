"""A member that reads `posts` joins anew where its assignment is lost; a partition is idle once it was read whole."""

from __future__ import annotations

import time
from typing import Final

import pytest
from kafka import TopicPartition

from streaming.kafka.client import Clients
from streaming.kafka.consumer import CaughtUp, InputConsumer
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.streams import stream

A: Final = TopicPartition("posts", 0)
B: Final = TopicPartition("posts", 1)


def test_a_partition_is_idle_from_its_end_until_something_comes() -> None:
    caught_up = CaughtUp()
    assert caught_up.seconds_idle(A, 1.0) == -1.0
    caught_up.at_end(A, 1.0)
    caught_up.at_end(A, 5.0)
    assert caught_up.seconds_idle(A, 6.0) == 5.0
    caught_up.heard(A)
    assert caught_up.seconds_idle(A, 7.0) == -1.0
    caught_up.at_end(A, 8.0)
    caught_up.keep([B])
    assert caught_up.seconds_idle(A, 9.0) == -1.0


def offsets_read(source: InputConsumer, count: int) -> list[int]:
    """Offsets of so many records."""
    found: list[int] = []
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"read {found} only"
        found += [record.offset for taken in source.poll(100) for record in taken.records]
    return found


@pytest.mark.kafka
def test_a_member_whose_assignment_the_client_has_lost_joins_the_group_anew(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    posts = deployment.topics.posts
    deployment.create(posts, 1)
    deployment.write(stream(5, seed=1), partitions=1)
    source = InputConsumer(Clients(deployment.kafka(session_timeout_s=6)), "group", [posts], 100)
    try:
        assert source._unsettled_s == 60.0
        source._unsettled_s = 1.0
        assert offsets_read(source, 5) == [0, 1, 2, 3, 4]
        assert source.commit({TopicPartition(posts, 0): 3})
        # What the client does before it joins again; and then it says nothing any more.
        source._membership.on_partitions_revoked(source._membership.assigned)
        assert offsets_read(source, 2) == [3, 4]
        assert "joining it anew" in caplog.text
        assert source.settled
    finally:
        source.close()


@pytest.mark.kafka
def test_a_shadow_begins_with_what_there_is_or_was_written_since_a_time_and_misses_nothing(
    deployment: Deployment,
) -> None:
    posts, events = deployment.topics.posts, stream(10, seed=1)[:10]
    deployment.create(posts, 1)
    deployment.write(events[:5], partitions=1)
    deployment.delete_before(posts, 0, 2)
    time.sleep(0.05)
    since = round(time.time() * 1000)
    deployment.write(events[5:], partitions=1)
    clients = Clients(deployment.kafka(session_timeout_s=6))
    for begins, first in (({}, 2), ({posts: since}, 5)):
        source = InputConsumer(clients, f"from {first}", [posts], 100, begins)
        try:
            taken: list[int] = []
            deadline = time.monotonic() + 30
            while len(taken) < 10 - first and time.monotonic() < deadline:
                for each in source.poll(100):
                    assert each.gap == 0
                    taken += [record.offset for record in each.records]
            assert taken == list(range(first, 10))
        finally:
            source.close()
