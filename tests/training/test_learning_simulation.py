"""What decisions bring back after a drift, on few societies; `make bench-learning` does it on many."""

from __future__ import annotations

import numpy as np
import pytest

from training.learning_simulation import Drift, DriftSettings, coverage, interval, recovered, shown, simulate, told


@pytest.mark.parametrize(("drift", "least"), [("moved", 0.6), ("turned", 0.6), ("irregular", 0.6)])
def test_decisions_bring_back_most_of_what_a_drift_took_without_more_false_flags(drift: Drift, least: float) -> None:
    setting = DriftSettings(drift, 0.05, 8000)
    found = [simulate(setting, seed) for seed in range(4)]
    assert sum(each.before - each.after for each in found) > 0.4
    assert recovered(found)[0] > least
    assert np.mean([each.false_learned for each in found]) < 0.02
    assert told(setting, found).split()[:3] == [drift, "5%", "0%"]


@pytest.mark.parametrize("drift", ["weak", "alone"])
def test_what_no_weights_could_have_back_is_said(drift: Drift) -> None:
    found = [simulate(DriftSettings(drift, 0.05, 8000), seed) for seed in range(4)]
    back, most = recovered(found)
    assert back < most < 0.9
    low, high = interval(found, np.random.default_rng(0), 200)
    assert low <= back <= high


def test_two_hundred_are_shown_with_the_chances_that_are_told() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(-0.5, 1.0, (20_000, 4))
    flagged = seen.sum(axis=1) > 2.0
    counts = [len(shown(seen, flagged, 0.02, rng)[0]) for _ in range(5)]
    assert 180 < np.mean(counts) < 220


@pytest.mark.parametrize(("missed", "sample"), [(0, 100), (100, 100)])
def test_the_interval_of_misses_covers_the_truth(missed: int, sample: int) -> None:
    rate, width = coverage(5000, missed, sample, 150)
    assert rate >= 0.91
    assert width > 0
