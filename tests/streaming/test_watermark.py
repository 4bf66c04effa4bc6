"""The clock of a partition: what is late, what is a jump, and what a restart changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from streaming.schema.observation import NO_TIME
from streaming.watermark import JUMP_EVENTS, JUMP_MS, PENDING_KEPT, Watermark

HOUR = 3_600_000
LATENESS = 60_000


def clock(*times: int) -> Watermark:
    watermark = Watermark(LATENESS)
    for time in times:
        watermark.see(time)
    return watermark


def test_without_records_there_is_no_watermark() -> None:
    assert Watermark(LATENESS).value == NO_TIME


def test_the_watermark_is_the_highest_time_minus_the_lateness_and_never_falls() -> None:
    assert clock(1_000_000).value == 940_000
    assert clock(1_000_000, 950_000).value == 940_000


def test_late_is_strictly_older_than_the_watermark() -> None:
    assert not clock(1_000_000).see(940_000)
    assert clock(1_000_000).see(939_999)


def test_a_late_record_changes_nothing() -> None:
    watermark = clock(1_000_000)
    before = watermark.state()
    assert watermark.see(0, stamp=5_000_000)
    assert watermark.state() == before


def test_the_records_own_timestamp_holds_the_clock_back_but_makes_nothing_late() -> None:
    watermark = clock(1_000_000)
    assert not watermark.see(1_200_000, stamp=1_100_000)
    assert watermark.value == 1_100_000 - LATENESS
    assert not watermark.see(1_200_000, stamp=10)
    assert watermark.value == 1_100_000 - LATENESS


def test_a_step_of_exactly_a_day_is_no_jump() -> None:
    assert clock(0, JUMP_MS).value == JUMP_MS - LATENESS
    assert clock(0, JUMP_MS + 1).value == -LATENESS


def test_a_jump_is_believed_with_the_hundredth_event_and_none_of_them_is_late() -> None:
    watermark = clock(0)
    far = 30 * JUMP_MS
    for count in range(JUMP_EVENTS):
        assert watermark.value == -LATENESS, count
        assert not watermark.see(far + count)
    assert watermark.value == far + JUMP_EVENTS - 1 - LATENESS
    assert watermark.see(0), "records of before the jump are late once it is believed"


def test_ninety_nine_wrong_clocks_move_nothing() -> None:
    assert clock(0, *[30 * JUMP_MS] * (JUMP_EVENTS - 1)).value == -LATENESS


def test_events_more_than_a_day_from_the_new_time_do_not_confirm_it() -> None:
    assert clock(0, *[30 * JUMP_MS + i * 3 * JUMP_MS for i in range(300)]).value == -LATENESS


def test_a_trickle_after_a_long_silence_is_believed_as_soon_as_a_hundred_lie_within_a_day_of_one_of_them() -> None:
    times = [10 * JUMP_MS + i * HOUR // 3 for i in range(200)]
    watermark = clock(0)
    for count, time in enumerate(times, 1):
        watermark.see(time)
        assert (watermark.value == -LATENESS) == (count < JUMP_EVENTS)
    assert watermark.value == times[-1] - LATENESS


def test_waiting_times_count_once_the_clock_has_come_within_a_day_of_them() -> None:
    assert clock(0, JUMP_MS + 6 * HOUR, 6 * HOUR).value == JUMP_MS + 6 * HOUR - LATENESS


def test_the_order_within_the_lateness_does_not_matter_at_the_edge_of_a_jump() -> None:
    edge, near = JUMP_MS + 30_000, 40_000
    assert clock(0, edge, near).value == clock(0, near, edge).value


def test_an_idle_mark_raises_but_never_lowers() -> None:
    watermark = clock(1_000_000)
    watermark.raise_to(500)
    assert watermark.value == 940_000
    watermark.raise_to(3 * JUMP_MS)
    assert watermark.value == 3 * JUMP_MS
    assert not watermark.see(3 * JUMP_MS + HOUR), "after a mark, the present is no jump"
    assert watermark.value == 3 * JUMP_MS + HOUR - LATENESS


def test_an_idle_mark_starts_a_clock_and_no_time_does_not() -> None:
    watermark = Watermark(LATENESS)
    watermark.raise_to(NO_TIME)
    assert watermark.value == NO_TIME
    watermark.raise_to(7_000)
    assert watermark.value == 7_000


def test_a_mark_that_comes_near_waiting_times_lets_them_count() -> None:
    watermark = clock(0, 2 * JUMP_MS)
    watermark.raise_to(JUMP_MS + HOUR)
    assert watermark.value == 2 * JUMP_MS - LATENESS


def test_memory_is_bounded_whatever_comes() -> None:
    watermark = clock(0, *(10 * JUMP_MS + i * 3 * JUMP_MS for i in range(2 * PENDING_KEPT)))
    assert len(watermark.state()[1]) == PENDING_KEPT


def test_a_state_that_cannot_be_is_refused() -> None:
    with pytest.raises(LogError, match="older snapshot"):
        Watermark.from_state((0, [5]), LATENESS)


class Reference:
    """The rule again, without any cleverness: everything is gone through anew for every record."""

    def __init__(self) -> None:
        self.high: int | None = None
        self.waiting: list[int] = []

    def see(self, at: int, stamp: int) -> bool:
        if self.high is not None and at < self.high - LATENESS:
            return True
        time = at if stamp < 0 else min(at, stamp)
        if self.high is None:
            self.high = time
        elif time > self.high:
            self.waiting.append(time)
        while True:
            near = [t for t in self.waiting if t - self.high <= JUMP_MS]
            sure = [t for t in self.waiting if sum(abs(t - o) <= JUMP_MS for o in self.waiting) >= JUMP_EVENTS]
            if not near and not sure:
                return False
            self.high = max(near or sure)
            self.waiting = [t for t in self.waiting if t > self.high]


far_and_near = st.one_of(
    st.integers(0, 3 * LATENESS),
    st.integers(0, 2 * JUMP_MS),
    st.integers(4 * JUMP_MS, 6 * JUMP_MS),
    st.integers(0, 20 * JUMP_MS),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(far_and_near, st.one_of(st.just(-1), far_and_near)), max_size=40),
    st.integers(0, 130),
    far_and_near,
    st.randoms(use_true_random=False),
)
def test_it_says_what_the_plain_rule_says(
    records: list[tuple[int, int]], crowd: int, where: int, random: object
) -> None:
    records = records + [(where + 700_000 * (i % 100), -1) for i in range(crowd)]
    random.shuffle(records)  # type: ignore[attr-defined]
    watermark, reference = Watermark(LATENESS), Reference()
    assert (watermark.value, reference.high) == (NO_TIME, None)
    for at, stamp in records:
        assert watermark.see(at, stamp) == reference.see(at, stamp)
        assert watermark.value == (NO_TIME if reference.high is None else reference.high - LATENESS)


@settings(max_examples=60)
@given(st.lists(far_and_near, max_size=60), st.data())
def test_a_saved_clock_goes_on_as_if_never_stopped(times: list[int], data: st.DataObject) -> None:
    stop = data.draw(st.integers(0, len(times)))
    straight, first = Watermark(LATENESS), Watermark(LATENESS)
    for time in times[:stop]:
        straight.see(time)
        first.see(time)
    second = Watermark.from_state(first.state(), LATENESS)
    for time in times[stop:]:
        assert straight.see(time) == second.see(time)
    assert straight.state() == second.state()


@settings(max_examples=60)
@given(st.lists(st.tuples(far_and_near, st.booleans()), max_size=60))
def test_the_watermark_never_falls(steps: list[tuple[int, bool]]) -> None:
    watermark = Watermark(LATENESS)
    assert watermark.value == NO_TIME
    for time, mark in steps:
        before = watermark.value
        if mark:
            watermark.raise_to(time)
            assert watermark.value >= time
        else:
            watermark.see(time)
        assert watermark.value >= before
