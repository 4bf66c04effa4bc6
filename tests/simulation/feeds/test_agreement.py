"""Krippendorff's alpha against published values and against plain cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simulation.feeds.agreement import alpha_interval, ordinal_alpha

PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ],
    np.int8,
)
"""Four observers, twelve units, 0 missing: the example of Krippendorff (2011), whose ordinal alpha is 0.815."""


def test_it_gives_the_published_value() -> None:
    assert ordinal_alpha(PUBLISHED) == pytest.approx(0.815, abs=0.0005)


def test_full_agreement_is_one_and_nothing_to_agree_on_is_no_number() -> None:
    assert ordinal_alpha(np.array([[1, 2, 3], [1, 2, 3]], np.int8)) == 1.0
    assert np.isnan(ordinal_alpha(np.array([[1, 1, 1], [1, 1, 1]], np.int8)))
    assert np.isnan(ordinal_alpha(np.array([[1, 0], [0, 2]], np.int8)))


def test_raters_who_do_not_know_of_each_other_agree_as_chance_has_it() -> None:
    rng = np.random.default_rng(0)
    assert abs(ordinal_alpha(rng.integers(1, 4, (2, 5000)).astype(np.int8))) < 0.05


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 4, 400).astype(np.int8)
    near, far = truth.copy(), truth.copy()
    near[:40] = np.where(truth[:40] == 2, 3, 2)
    far[:40] = np.where(truth[:40] == 1, 3, 1)
    assert ordinal_alpha(np.stack((truth, near))) > ordinal_alpha(np.stack((truth, far))) + 0.05


@settings(max_examples=50, deadline=None)
@given(arrays(np.int8, (3, 8), elements=st.integers(0, 3)), st.permutations(range(8)), st.permutations(range(3)))
def test_neither_the_order_of_raters_nor_of_units_matters(
    ratings: np.ndarray, units: list[int], raters: list[int]
) -> None:
    alpha = ordinal_alpha(ratings)
    assert alpha == pytest.approx(ordinal_alpha(ratings[np.ix_(raters, units)]), nan_ok=True)
    assert np.isnan(alpha) or alpha <= 1


def test_the_interval_holds_the_estimate() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(1, 4, 200)
    both = np.stack((truth, np.where(rng.random(200) < 0.2, rng.integers(1, 4, 200), truth))).astype(np.int8)
    low, high = alpha_interval(both, rng)
    assert low < ordinal_alpha(both) < high < 1
    assert np.isnan(alpha_interval(np.array([[1, 0], [0, 2]], np.int8), rng)).all()
