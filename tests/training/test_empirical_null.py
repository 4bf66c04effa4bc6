"""A platform's own accounts set the threshold without labels, and what contradicts the assumption is refused."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import UsageError
from detector.thresholds import Thresholds
from streaming.assess.outputs import Look
from training.calibrate import Person
from training.cards import thresholds_card
from training.empirical_null import FEWEST_ACCOUNTS, central_match, empirical_null, platform_thresholds

RNG = np.random.default_rng(5)


def people(count: int, seed: int) -> np.ndarray:
    """Running maxima of people, with a tail."""
    return np.random.default_rng(seed).gumbel(-2.0, 0.8, count)


REFERENCE = Thresholds.of(
    {"x": people(800, 1), "chat": people(800, 2)}, 50, frozenset({"en"}), "2.abc", {"populations": {}}
)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.5, 1.2), (-1.0, 0.8)])
@pytest.mark.parametrize("machines", [0.0, 0.03, 0.1])
def test_on_a_shifted_platform_the_rate_holds_again_whatever_share_of_machines_there_is(
    shift: float, scale: float, machines: float
) -> None:
    crowd = shift + scale * people(3000, 7)
    driven = np.random.default_rng(8).normal(6.0, 1.0, int(3000 * machines / (1 - machines)))
    made, found = empirical_null(REFERENCE, np.concatenate([crowd, driven]))
    assert (crowd > made.threshold(0.01)).mean() < 0.02
    assert found.interval[0] <= found.threshold <= found.interval[1]
    assert found.machines == pytest.approx(machines, abs=0.03)
    if shift == 1.5:
        assert (crowd > REFERENCE.threshold(0.01)).mean() > 0.05, "as shipped it would accuse many"
    if machines:
        assert (driven > made.threshold(0.01)).mean() > 0.75


def test_matching_the_people_themselves_moves_nothing() -> None:
    shift, scale = central_match(people(5000, 1), people(5000, 1))
    assert (shift, scale) == pytest.approx((0.0, 1.0))


def test_more_machines_than_stated_are_noticed_and_refused() -> None:
    accounts = np.concatenate([people(1000, 3), RNG.normal(6.0, 1.0, 350)])
    with pytest.raises(UsageError, match="the assumption does not hold"):
        empirical_null(REFERENCE, accounts, 0.1)
    made, found = empirical_null(REFERENCE, accounts, 0.3)
    assert found.machines > 0.2
    assert made.threshold(0.01) < 6.0


def test_too_few_accounts_and_an_impossible_share_are_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        empirical_null(REFERENCE, people(FEWEST_ACCOUNTS - 1, 3))
    with pytest.raises(UsageError, match="cannot be assumed"):
        empirical_null(REFERENCE, people(1000, 3), 0.5)


def test_the_card_states_the_assumption_and_only_languages_with_enough_accounts_are_calibrated() -> None:
    accounts = [
        Person([Look(str(i), 5, float(total), "en" if i % 10 else "fr", 5, 0.3)], "en" if i % 10 else "fr")
        for i, total in enumerate(people(450, 9))
    ]
    made, _ = platform_thresholds(REFERENCE, accounts, 3, 0.1)
    assert made.languages == {"en"}
    assert made.min_texts == 3
    assert made.version.startswith("2.local-")
    card = thresholds_card(made)
    assert "at most 10% of the accounts are machines" in card
    assert "450" in card
