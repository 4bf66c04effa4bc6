"""What decisions bring back after a drift, on few societies; `make bench-learning` does it on many."""

from __future__ import annotations

import numpy as np
import pytest

from training.learning_simulation import (
    Drift,
    DriftSettings,
    EvidenceCluster,
    coverage,
    density,
    draw,
    interval,
    recovered,
    shown,
    simulate,
    told,
)


@pytest.mark.parametrize(("drift", "least"), [("moved", 0.8), ("turned", 0.8), ("irregular", 0.8)])
def test_decisions_bring_back_most_of_what_a_drift_took_without_more_false_flags(drift: Drift, least: float) -> None:
    setting = DriftSettings(drift, 0.05, 8000)
    found = [simulate(setting, seed) for seed in range(4)]
    assert sum(each.before - each.after for each in found) > 0.4
    assert recovered(found)["learned"] > least
    assert np.mean([each.false_learned for each in found]) < 0.02
    assert told(setting, found).startswith(f"| {drift} | 5% | 0% |")


def test_machines_of_two_kinds_are_beyond_four_weights_and_an_even_sample() -> None:
    found = [simulate(DriftSettings("half turned", 0.05, 8000), seed) for seed in range(4)]
    back = recovered(found)
    assert back["weights"] + 0.15 < back["learned"] < back["any_rule"]
    assert back["even"] < back["learned"]


def test_what_is_drawn_is_as_dense_as_is_said() -> None:
    kinds = [
        EvidenceCluster(0.3, (0.0, 1.0, -1.0, 2.0), (1.0, 0.5, 2.0, 1.5)),
        EvidenceCluster(0.7, (1.0,) * 4, (0.5,) * 4),
    ]
    other = [EvidenceCluster(1.0, (0.5,) * 4, (3.0,) * 4)]
    at = draw(other, 200_000, np.random.default_rng(0))
    # The mean of the ratio of two densities over draws of the second is 1.
    assert np.exp(density(kinds, at) - density(other, at)).mean() == pytest.approx(1.0, abs=0.05)
    assert draw(kinds, 50_000, np.random.default_rng(1)).mean(axis=0) == pytest.approx([0.7, 1.0, 0.4, 1.3], abs=0.05)


@pytest.mark.parametrize("drift", ["weak", "alone"])
def test_what_no_weights_could_have_back_is_said(drift: Drift) -> None:
    found = [simulate(DriftSettings(drift, 0.05, 8000), seed) for seed in range(4)]
    back = recovered(found)
    assert back["learned"] < back["any_rule"] < 0.8
    low, high = interval(found, np.random.default_rng(0), draws=200)
    assert low <= back["learned"] <= high


def test_two_hundred_are_shown_with_the_chances_that_are_told() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal(-0.5, 1.0, (20_000, 4))
    flagged = seen.sum(axis=1) > 2.0
    assert 185 < shown(seen, flagged).sum() < 200.5
    assert shown(seen, flagged, evenly=True).sum() == pytest.approx(200)
    assert len(set(shown(seen, flagged, evenly=True)[~flagged].tolist())) == 1


@pytest.mark.parametrize(("missed", "sample"), [(0, 100), (100, 100)])
def test_the_interval_of_misses_covers_the_truth(missed: int, sample: int) -> None:
    rate, together, width = coverage(5000, missed, sample, 100)
    assert min(rate, together) >= 0.91
    assert width > 0
