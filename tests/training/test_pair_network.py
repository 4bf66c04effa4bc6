"""The graph network beside the regression: where it starts, and what it does and does not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.made_up import society
from training import pair_network
from training.pair_network import fit_network, network_judge
from training.pair_training import fit_regression, odds_by, pair_areas, regression_judge
from training.pairs import Example, examples


@pytest.fixture(scope="module")
def train() -> list[Example]:
    return list(examples([society(seed, people=40) for seed in range(3)], 1, 0))


def test_before_it_has_learned_it_says_what_the_regression_says(
    train: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_network, "EPOCHS", 0)
    model = fit_regression(train)
    before = odds_by(network_judge(fit_network(train, model, 0), model), train)
    expected = odds_by(regression_judge(model), train)
    assert np.allclose(np.concatenate(before, axis=None), np.concatenate(expected, axis=None), atol=1e-4)


def test_it_learns_what_stands_around_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_network, "EPOCHS", 15)
    # Pairs alone say little: every second tie is missing, and only common neighbours tell who belongs together.
    rng = np.random.default_rng(0)

    def thinned(seed: int) -> Example:
        given = society(seed, people=40, crowd=0)
        kept = np.triu(rng.random(given.wording.shape) < 0.5, 1)
        kept |= kept.T
        noise = rng.normal(-0.2, 0.05, given.wording.shape)
        noise = np.triu(noise, 1) + np.triu(noise, 1).T
        words = np.where(kept, given.wording, noise).astype(np.float32)
        (each,) = examples([replace(given, nats=given.nats * 0, wording=words)], 1, seed)
        return each

    train, test = [thinned(seed) for seed in range(6)], [thinned(seed) for seed in range(8, 11)]
    model = fit_regression(train)
    plain, network = (
        np.mean([area for area, _ in pair_areas(test, odds_by(judge, test))])
        for judge in (regression_judge(model), network_judge(fit_network(train, model, 0), model))
    )
    assert network > plain + 0.03


def test_equal_seeds_give_equal_networks_and_the_order_of_accounts_does_not_matter(
    train: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_network, "EPOCHS", 2)
    model = fit_regression(train)
    one, two = (network_judge(fit_network(train, model, 3), model) for _ in range(2))
    each = train[0]
    own = each.own[each.suspects]
    first = one(each.society, each.suspects, own)
    assert np.array_equal(first, two(each.society, each.suspects, own))
    assert not np.allclose(first, odds_by(regression_judge(model), [each])[0], atol=1e-3)
    order = np.random.default_rng(0).permutation(len(own))
    mixed = one(each.society, each.suspects[order], own[order])
    assert np.allclose(mixed, first[np.ix_(order, order)], atol=1e-4)
    assert one(each.society, each.suspects[:1], own[:1]).tolist() == [[0.0]]
