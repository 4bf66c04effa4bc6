"""Accounts like the calibration people have not drifted; shifted ones have."""

from __future__ import annotations

import numpy as np
import pytest

from detector.drift import DRIFTED, FEWEST_ACCOUNTS, drift
from detector.thresholds import PeopleTotals, quantiles_of

RNG = np.random.default_rng(3)
PEOPLE = PeopleTotals(2000, quantiles_of(RNG.normal(-2.0, 1.5, 2000)), highest=False)


def of(totals: np.ndarray) -> float:
    found = drift(PEOPLE, totals)
    assert found is not None
    return found


@pytest.mark.parametrize("count", [FEWEST_ACCOUNTS, 1000, 20_000])
def test_accounts_like_the_people_have_not_drifted(count: int) -> None:
    assert of(np.random.default_rng(count).normal(-2.0, 1.5, count)) < 0.1


def test_a_tenth_of_machines_is_no_drift() -> None:
    totals = np.concatenate([RNG.normal(-2.0, 1.5, 900), RNG.normal(4.0, 1.0, 100)])
    assert of(totals) < DRIFTED


@pytest.mark.parametrize(("mean", "spread"), [(-0.8, 1.5), (-3.2, 1.5), (-2.0, 0.6), (-2.0, 4.0)])
def test_a_shifted_narrowed_or_widened_stream_has(mean: float, spread: float) -> None:
    assert of(RNG.normal(mean, spread, 1000)) > DRIFTED


def test_the_further_the_more_and_empty_classes_are_no_infinity() -> None:
    near, far, away = (of(np.full(500, value)) for value in (-2.0, 3.0, 300.0))
    assert near > 0
    assert far == away < 100


def test_too_few_accounts_or_people_without_last_totals_say_nothing() -> None:
    assert drift(PEOPLE, np.zeros(FEWEST_ACCOUNTS - 1)) is None
    assert drift(PEOPLE._replace(highest=True), np.zeros(1000)) is None
