"""Ranges in flight are acknowledged in order, and nothing behind a failure."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

from streaming.kafka.log import InFlight, SentRange

A, B = TopicPartition("posts", 0), TopicPartition("posts", 1)


class Ack(Future):  # type: ignore[misc]
    """A send's future that a test completes."""

    def get(self, timeout: float | None = None) -> None:
        deadline = time.monotonic() + (timeout or 0)
        while not self.is_done and time.monotonic() < deadline:
            time.sleep(0.001)


def sent(tp: TopicPartition, end: int, *futures: Ack, size: int = 1) -> SentRange:
    return SentRange(tp, end, size, None, futures)


def test_a_range_counts_only_behind_all_before_it() -> None:
    pending, first, second, other = InFlight(), Ack(), Ack(), Ack()
    pending.add(sent(A, 10, first))
    pending.add(sent(A, 20, second))
    pending.add(sent(B, 5, other))
    second.success(None)
    other.success(None)
    done, failure = pending.settle(100, 0)
    assert ([each.end for each in done], failure) == ([5], None)
    first.success(None)
    done, failure = pending.settle(100, 0)
    assert ([each.end for each in done], failure) == ([10, 20], None)


def test_a_dead_letter_that_is_not_acknowledged_holds_its_range_back() -> None:
    pending, batch, letter = InFlight(), Ack(), Ack()
    pending.add(sent(A, 10, letter, batch))
    batch.success(None)
    assert pending.settle(100, 0) == ([], None)
    assert pending.ahead(A)


def test_nothing_behind_a_failure_is_believed() -> None:
    pending, bad, good = InFlight(), Ack(), Ack()
    pending.add(sent(A, 10, bad))
    pending.add(sent(A, 20, good))
    good.success(None)
    bad.failure(KafkaTimeoutError("late"))
    done, failure = pending.settle(100, 0)
    assert done == []
    assert isinstance(failure, KafkaTimeoutError)


def test_it_waits_while_too_much_is_in_flight_but_not_for_ever() -> None:
    pending = InFlight()
    pending.add(sent(A, 10, Ack(), size=100))
    started = time.monotonic()
    assert pending.settle(99, 0.05) == ([], None)
    assert time.monotonic() - started >= 0.05
    started = time.monotonic()
    pending.settle(100, 5)
    assert time.monotonic() - started < 1


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans()), max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_whatever_the_order_of_acknowledgements_each_partition_moves_on_in_order(
    ranges: list[tuple[TopicPartition, bool]], rng: object
) -> None:
    pending = InFlight()
    futures = []
    for end, (tp, acknowledged) in enumerate(ranges):
        future = Ack()
        futures.append((future, acknowledged))
        pending.add(sent(tp, end, future))
    for future, acknowledged in sorted(futures, key=lambda each: rng.random()):  # type: ignore[attr-defined]
        if acknowledged:
            future.success(None)
    done, failure = pending.settle(10**9, 0)
    assert failure is None
    for tp in (A, B):
        ours = [(end, acknowledged) for end, (each, acknowledged) in enumerate(ranges) if each == tp]
        expected = []
        for end, acknowledged in ours:
            if not acknowledged:
                break
            expected.append(end)
        assert [each.end for each in done if each.tp == tp] == expected
