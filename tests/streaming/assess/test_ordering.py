"""What came, what came too late, and what waits: per partition, and over all of them."""

from __future__ import annotations

import pytest

from detector.errors import LogError
from streaming.assess.ordering import NO_END, Ordering, OrderingState
from streaming.schema.observation import NO_TIME, End, Feedback, Idle
from tests.streaming.builders import T0, batch, dead, observation

MINUTE = 60_000


def ordering(partitions: int = 1, lateness_ms: int = MINUTE) -> Ordering:
    return Ordering(OrderingState.begin(partitions, lateness_ms), MINUTE)


def test_events_wait_until_the_watermark_has_passed_their_tick() -> None:
    state = ordering()
    state.feed(batch([observation(0, at=10_000)]))
    assert state.next_tick() is None
    state.feed(batch([observation(1, at=119_999)]))
    assert state.next_tick() is None
    state.feed(batch([observation(2, at=120_000)]))
    assert state.next_tick() == T0 + MINUTE
    assert [seen.at - T0 for seen in state.take(T0 + MINUTE)] == [10_000]
    assert state.waiting == 2


def test_events_leave_in_order_of_time_account_id_and_digest() -> None:
    state = ordering()
    made = [
        observation(0, "b", 5, id="1", digest=b"x"),
        observation(1, "a", 5, id="2", digest=b"x"),
        observation(2, "a", 5, id="1", digest=b"z"),
        observation(3, "a", 5, id="1", digest=b"y"),
        observation(4, "z", 4, id="9", digest=b"x"),
    ]
    state.feed(batch(made))
    state.feed(End(0, 1, 5))
    assert [seen.offset for seen in state.take(T0 + MINUTE)] == [4, 3, 2, 1, 0]


def test_a_silent_partition_holds_everything_back_until_a_mark_speaks_for_it() -> None:
    state = ordering(2)
    state.feed(batch([observation(0, at=600_000)], partitions=2))
    assert state.low == NO_TIME
    assert state.next_tick() is None
    state.feed(Idle(1, 2, 0, T0 + 540_000))
    assert state.low == T0 + 540_000
    late = batch([observation(0, at=530_000), observation(1, at=540_000)], partition=1, partitions=2)
    state.feed(late)
    assert state.counts.late == 1
    assert state.waiting == 2


def test_an_idle_mark_is_void_while_a_record_before_its_offset_is_to_come() -> None:
    state = ordering(2)
    state.feed(Idle(1, 2, 3, T0 + 540_000))
    assert state.watermarks[1] == NO_TIME
    state.feed(batch([observation(0), observation(1), observation(2)], partition=1, partitions=2))
    state.feed(Idle(1, 2, 3, T0 + 540_000))
    assert state.watermarks[1] == T0 + 540_000


def test_after_its_end_mark_a_partition_holds_nothing_back_and_later_records_are_late() -> None:
    state = ordering()
    state.feed(batch([observation(0)]))
    state.feed(End(0, 1, 1))
    assert state.over
    assert state.low == NO_END
    state.feed(batch([observation(1, at=10**6)]))
    assert state.counts.late == 1


def test_an_end_mark_beyond_what_was_read_is_ignored_with_an_alarm() -> None:
    state = ordering()
    state.feed(End(0, 1, 1))
    assert not state.over
    assert state.counts.gaps == 1


def test_a_batch_beyond_the_next_offset_is_ignored_with_an_alarm_and_its_later_copy_taken() -> None:
    state = ordering()
    state.feed(batch([observation(5)]))
    assert (state.counts.gaps, state.positions, state.waiting) == (1, [0], 0)
    assert state.open_gaps == {0: (0, 5)}
    state.feed(batch([observation(i, at=i) for i in range(4)]))
    assert state.open_gaps == {0: (4, 5)}
    state.feed(batch([observation(i, at=i) for i in range(6)]))
    assert (state.positions, state.waiting, state.open_gaps) == ([6], 6, {})


def test_an_offset_gap_is_passed_counted_and_only_as_large_as_what_was_missed() -> None:
    state = ordering()
    state.feed(batch([observation(0), observation(1)]))
    state.feed(batch([observation(10)], offset_gap=10))
    assert (state.counts.offset_gaps, state.counts.offset_gap_records, state.positions) == (1, 8, [11])
    state.feed(batch([observation(20)], offset_gap=5))
    assert state.counts.gaps == 1


@pytest.mark.parametrize("start", [0, 1, 2])
def test_of_an_overlapping_batch_only_the_new_part_is_taken(start: int) -> None:
    state = ordering()
    made = [observation(i, at=i) for i in range(4)]
    state.feed(batch(made[:2]))
    state.feed(batch(made[start:]))
    assert state.positions == [4]
    assert [seen.offset for seen in state.take(T0 + MINUTE)] == [0, 1, 2, 3]


def test_dead_and_late_records_are_counted_and_do_nothing_else() -> None:
    state = ordering(lateness_ms=0)
    state.feed(batch([observation(0, at=100), dead(1), observation(2, at=99), dead(3), observation(4, at=100)]))
    assert (state.counts.dead, state.counts.late, state.waiting) == (2, 1, 2)
    assert state.watermarks == [T0 + 100]


def test_offsets_without_a_record_are_covered_by_the_range() -> None:
    state = ordering()
    state.feed(batch([observation(3)], start=0, end=9))
    state.feed(batch([observation(9)], start=9))
    assert (state.counts.gaps, state.positions) == (0, [10])


def test_feedback_takes_effect_at_the_first_tick_after_its_partition_s_watermark() -> None:
    state = ordering(lateness_ms=0)
    state.feed(Feedback(0, 1, b"first"))
    state.feed(batch([observation(0, at=90_000)]))
    state.feed(Feedback(0, 1, b"second"))
    assert state.take_decisions(T0 + MINUTE) == [b"first"]
    assert state.next_tick() is None
    state.feed(batch([observation(1, at=120_000)]))
    assert state.next_tick() == T0 + 2 * MINUTE
    assert state.take_decisions(T0 + 2 * MINUTE) == [b"second"]


@pytest.mark.parametrize("entry", [End(0, 3, 0), End(2, 2, 0), Idle(-1, 2, 0, 0)])
def test_another_number_of_partitions_is_refused(entry: End) -> None:
    with pytest.raises(LogError, match="partitions"):
        ordering(2).feed(entry)


def test_a_wrong_clock_far_ahead_waits_for_the_end() -> None:
    state = ordering()
    day = 86_400_000
    state.feed(batch([observation(0), observation(1, "ahead", 400 * day), observation(2, at=5 * MINUTE)]))
    assert state.next_tick() == T0 + MINUTE
    state.take(T0 + MINUTE)
    assert state.next_tick() is None
    state.feed(End(0, 1, 3))
    assert state.last_tick() == T0 + 400 * day + MINUTE
