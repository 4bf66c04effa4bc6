"""The clock of a partition: what is late, what is a jump, and what a restart changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from streaming.schema.observation import NO_TIME
from streaming.watermark import (
    AGREE_MS,
    JUMP_EVENTS,
    JUMP_MS,
    LASTING_EVENTS,
    LASTING_MS,
    PENDING_KEPT,
    SUSPECT_EVENTS,
    Watermark,
)

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
    assert clock(0, *(time for i in range(300) for time in (30 * JUMP_MS + i * 3 * JUMP_MS, 0))).value == -LATENESS


def test_a_topic_with_few_posts_goes_on_after_more_than_a_day_of_silence() -> None:
    """30 posts a day and 25 hours of silence: a hundred never lie within a day of one of them."""
    step = 86_400_000 // 30
    before = [i * step for i in range(60)]
    after = [before[-1] + 25 * HOUR + i * step for i in range(300)]
    watermark = clock(*before)
    assert not any(watermark.see(time) for time in after)
    assert watermark.value == after[-1] - LATENESS
    assert watermark.unconfirmed == 0
    assert clock(*before, *after[: LASTING_EVENTS - 1]).value == before[-1] - LATENESS
    assert clock(*before, *after[:LASTING_EVENTS]).value == after[LASTING_EVENTS - 1] - LATENESS


def test_a_jump_has_to_last_by_its_own_time() -> None:
    far = 10 * JUMP_MS
    burst = [far + i for i in range(5 * LASTING_EVENTS)]
    assert clock(0, *burst, far + LASTING_MS - 1).value == -LATENESS
    assert clock(0, *burst, far + LASTING_MS).value == far + LASTING_MS - LATENESS


def test_one_wrong_clock_among_few_posts_is_outvoted() -> None:
    watermark = Watermark(LATENESS)
    for hour in range(24 * 30):
        assert not watermark.see(hour * HOUR)
        if hour % 2:
            watermark.see(hour * HOUR + 40 * JUMP_MS)
    assert watermark.value == (24 * 30 - 1) * HOUR - LATENESS


def test_a_far_outlier_among_those_that_confirm_a_jump_does_not_take_the_clock_along() -> None:
    far = 10 * JUMP_MS
    watermark = clock(0, far, 700 * JUMP_MS, *(far + i * HOUR for i in range(1, 12)))
    assert watermark.value == far + 11 * HOUR - LATENESS
    assert watermark.unconfirmed == 1
    assert not watermark.see(far + 12 * HOUR), "what comes next is no jump any more"


def test_an_event_every_other_day_never_stops_the_clock_for_good() -> None:
    times = [i * 2 * JUMP_MS for i in range(100)]
    assert clock(*times).value >= times[-2 * LASTING_EVENTS]


@pytest.mark.parametrize("apart", [-AGREE_MS, 0, AGREE_MS])
def test_the_brokers_own_clock_confirms_a_jump_at_once(apart: int) -> None:
    watermark = clock(0)
    far = 3 * JUMP_MS
    assert not watermark.see(far, far + apart, broker_stamp=True)
    assert watermark.value == far + min(apart, 0) - LATENESS


@pytest.mark.parametrize("apart", [-AGREE_MS - 1, AGREE_MS + 1])
def test_a_broker_that_says_another_time_confirms_nothing(apart: int) -> None:
    """A recording that is written to a topic long afterwards, or an event from the future."""
    watermark = clock(0)
    watermark.see(3 * JUMP_MS, 3 * JUMP_MS + apart, broker_stamp=True)
    assert watermark.value == -LATENESS


def test_a_stamp_of_the_records_own_writer_confirms_nothing() -> None:
    watermark = clock(0)
    watermark.see(3 * JUMP_MS, 3 * JUMP_MS)
    assert watermark.value == -LATENESS


def test_a_clock_is_suspect_once_most_records_are_a_day_ahead_of_it() -> None:
    far = [3 * JUMP_MS] * SUSPECT_EVENTS
    assert not clock(0, *far[1:]).suspect
    assert clock(0, *far).suspect
    assert not clock(0, *far, 1).suspect
    assert not clock(0, *far, 3 * JUMP_MS, 3 * JUMP_MS - HOUR, JUMP_MS, 2 * JUMP_MS).suspect


def test_a_mark_beyond_waiting_times_leaves_nothing_of_them() -> None:
    watermark = clock(0, 2 * JUMP_MS)
    watermark.raise_to(3 * JUMP_MS)
    assert watermark.unconfirmed == 0
    assert Watermark.from_state(watermark.state(), LATENESS).value == 3 * JUMP_MS


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
    watermark = clock(0, *(time for i in range(2 * PENDING_KEPT) for time in (10 * JUMP_MS + i * 3 * JUMP_MS, 0)))
    assert len(watermark.state()[1]) == PENDING_KEPT


def test_a_state_that_cannot_be_is_refused() -> None:
    with pytest.raises(LogError, match="older snapshot"):
        Watermark.from_state((0, [5], 0), LATENESS)
    with pytest.raises(LogError, match="older snapshot"):
        Watermark.from_state((0, [2 * JUMP_MS], 2), LATENESS)


class Reference:
    """The rule again, without any cleverness: everything is gone through anew for every record."""

    def __init__(self) -> None:
        self.high: int | None = None
        self.waiting: list[int] = []
        self.ahead = 0

    def see(self, at: int, stamp: int, broker_stamp: bool) -> bool:
        if self.high is not None and at < self.high - LATENESS:
            return True
        time = at if stamp < 0 else min(at, stamp)
        if self.high is None:
            self.high = time
            return False
        near_clock = time - self.high <= JUMP_MS
        if not near_clock and broker_stamp and abs(at - stamp) <= AGREE_MS:
            self.high = time
        elif time > self.high:
            self.waiting.append(time)
            self.ahead += not near_clock
        if near_clock:
            self.ahead = max(0, self.ahead - 1)
        while True:
            near = [t for t in self.waiting if t - self.high <= JUMP_MS]
            lasting = self.waiting and self.ahead >= LASTING_EVENTS and time - min(self.waiting) >= LASTING_MS
            sure = [t for t in self.waiting if sum(abs(t - o) <= JUMP_MS for o in self.waiting) >= JUMP_EVENTS]
            if not near and not lasting and not sure:
                self.ahead = min(self.ahead, len(self.waiting))
                return False
            self.high = max(self.high, max(near) if near else min(self.waiting) if lasting else max(sure))
            self.waiting = [t for t in self.waiting if t > self.high]


far_and_near = st.one_of(
    st.integers(0, 3 * LATENESS),
    st.integers(0, 2 * JUMP_MS),
    st.integers(4 * JUMP_MS, 6 * JUMP_MS),
    st.integers(0, 20 * JUMP_MS),
)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(far_and_near, st.one_of(st.just(-1), far_and_near), st.booleans()), max_size=40),
    st.integers(0, 130),
    far_and_near,
    st.randoms(use_true_random=False),
)
def test_it_says_what_the_plain_rule_says(
    records: list[tuple[int, int, bool]], crowd: int, where: int, random: object
) -> None:
    records = records + [(where + 700_000 * (i % 100), -1, False) for i in range(crowd)]
    random.shuffle(records)  # type: ignore[attr-defined]
    watermark, reference = Watermark(LATENESS), Reference()
    assert (watermark.value, reference.high) == (NO_TIME, None)
    for at, stamp, broker_stamp in records:
        assert watermark.see(at, stamp, broker_stamp) == reference.see(at, stamp, broker_stamp)
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
        Watermark.from_state(watermark.state(), LATENESS)
        if mark:
            watermark.raise_to(time)
            assert watermark.value >= time
        else:
            watermark.see(time)
        assert watermark.value >= before
