"""Waits between attempts."""

from __future__ import annotations

import random
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st

from streaming.retry import Backoff


def test_waits_double_up_to_their_bound_and_begin_again_after_success() -> None:
    backoff = Backoff(1.0, 8.0, random.Random(1))
    waits = [backoff.failed() for _ in range(6)]
    for wait, bound in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert bound / 2 <= wait <= bound
    backoff.succeeded()
    assert backoff.failed() <= 1.0


def test_many_that_failed_together_do_not_come_back_together() -> None:
    waits = sorted(Backoff(10.0, 60.0, random.Random(seed)).failed() for seed in range(200))
    assert waits[0] < 5.5 < 9.5 < waits[-1]
    assert abs(fmean(waits) - 7.5) < 0.5


@given(st.floats(0, 1e12), st.integers(1, 2000))
def test_the_other_side_may_ask_for_more_time_and_not_for_ever(asked: float, failures: int) -> None:
    backoff = Backoff(1.0, 60.0)
    waits = [backoff.failed(asked) for _ in range(failures)]
    assert all(min(asked, 600.0) <= wait <= max(60.0, min(asked, 600.0)) for wait in waits)
