"""The blind sample of unflagged accounts: who is drawn, and that what it says of the rest holds."""

from __future__ import annotations

import numpy as np
import pytest

from detector.blind_sampling import estimate, inclusion, is_drawn, unusualness


def test_the_sample_is_as_large_as_said_and_leaves_nobody_out() -> None:
    rng = np.random.default_rng(0)
    components = rng.normal(-0.5, 1.0, (5000, 4))
    chance = inclusion(components, 0.02)
    assert chance.sum() == pytest.approx(100, rel=0.1)
    assert chance.min() >= 0.01 - 1e-12
    assert chance.max() <= 1.0
    assert inclusion(components[:0], 0.02).shape == (0,)


@pytest.mark.parametrize("unlike", [[-6.0, 1.0, 1.0, 1.0], [1.0, 6.0, -1.0, 1.0], [0.0, -1.0, 6.0, 1.0]])
def test_an_account_unlike_the_others_is_drawn_more_often_whatever_its_sum(unlike: list[float]) -> None:
    components = np.random.default_rng(0).normal(0.0, 1.0, (1000, 4))
    components[0] = unlike
    components[1] = 0.0
    chance = inclusion(components, 0.01)
    assert chance[0] > 5 * chance[1]
    assert chance[1] >= 0.005


def test_what_most_accounts_do_is_not_unusual() -> None:
    components = np.zeros((1000, 4))
    components[:, 0] = np.random.default_rng(0).normal(0.0, 1.0, 1000)
    # Acting with nobody is no sign, however many others do the same: ties have one chance.
    assert np.ptp(unusualness(components[np.argsort(components[:, 0])][[499, 500]])) < 0.01
    components[5, 2] = 1.0
    middle = np.argsort(np.abs(components[:, 0]))[1]
    assert unusualness(components)[5] > unusualness(components)[middle] + 5.0
    assert len(set(inclusion(np.zeros((50, 4)), 0.1).tolist())) == 1


def test_the_draw_hangs_on_key_and_name_alone() -> None:
    names = [f"account {number}" for number in range(5000)]
    drawn = [is_drawn(b"k" * 16, name, 0.1) for name in names]
    assert drawn == [is_drawn(b"k" * 16, name, 0.1) for name in names]
    assert 430 < sum(drawn) < 570
    # Who is drawn at a small share is drawn at a larger one.
    more = [is_drawn(b"k" * 16, name, 0.2) for name in names]
    assert all(b for a, b in zip(drawn, more, strict=True) if a)


def test_nothing_found_is_not_nothing_there() -> None:
    told = estimate(np.zeros(0), 0.01)
    assert (told.number, told.low) == (0.0, 0.0)
    # The rule of three, two-sided: -log(0.025) / 0.01.
    assert told.high == pytest.approx(369, abs=1)


def test_each_found_account_stands_for_as_many_as_its_chance_says() -> None:
    told = estimate(np.array([0.5, 0.1, 0.01]), 0.01)
    assert told.number == pytest.approx(112)
    assert told.low < 112 < told.high
