"""A partition is idle from the moment all of it was read until something comes."""

from __future__ import annotations

from typing import Final

from kafka import TopicPartition

from streaming.kafka.consumer import CaughtUp

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
