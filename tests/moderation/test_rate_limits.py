"""A limit lets a burst through, then a steady trickle; keys do not disturb each other; invented keys fill no memory."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moderation import rate_limits
from moderation.rate_limits import FailureLimit, RateLimit

WINDOW_S = 150


class Time:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr("limits.storage.memory.time", SimpleNamespace(time=made))
    return made


def test_a_burst_goes_through_and_then_one_request_in_a_while(time: Time) -> None:
    limit = RateLimit(5, WINDOW_S)
    assert [limit.admit("ada") for _ in range(7)] == [True] * 5 + [False] * 2
    time.now += WINDOW_S
    admitted = []
    for second in range(WINDOW_S):
        time.now += 1
        admitted += [second] if limit.admit("ada") else []
    assert len(admitted) == 5
    assert min(later - earlier for earlier, later in pairwise(admitted)) >= 29


def test_one_key_does_not_use_up_another(time: Time) -> None:
    limit = RateLimit(1, WINDOW_S)
    assert [limit.admit(key) for key in ("ada", "bob", "ada", "bob")] == [True, True, False, False]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pauses=st.lists(st.floats(0, 100), min_size=20, max_size=60))
def test_no_window_admits_more_than_twice_the_limit(time: Time, pauses: list[float]) -> None:
    """The bound of a sliding window of two counters; requests that keep coming stay far below it."""
    limit = RateLimit(5, WINDOW_S)
    times: list[float] = []
    for pause in pauses:
        time.now += pause
        if limit.admit("ada"):
            times.append(time.now)
    assert times
    assert max(sum(start <= each < start + WINDOW_S for each in times) for start in times) <= 10


def test_invented_keys_fill_no_memory(time: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_KEYS", 100)
    limit = RateLimit(1, WINDOW_S)
    assert all(limit.admit(f"invented {number}") for number in range(500))
    assert len(limit._storage.storage) <= 100
    assert not limit.admit("invented 499")


def test_only_failures_count_and_attempts_at_once_get_no_further(time: Time) -> None:
    limit = FailureLimit(2, WINDOW_S)
    for _ in range(9):
        assert limit.begin("ada")
        limit.settle("ada", failed=False)
    assert [limit.begin("ada") for _ in range(3)] == [True, True, False]
    limit.settle("ada", failed=True)
    assert not limit.begin("ada")
    limit.settle("ada", failed=False)
    assert limit.begin("ada")
    limit.settle("ada", failed=True)
    assert limit.used_up("ada")
    assert limit._begun == {}
