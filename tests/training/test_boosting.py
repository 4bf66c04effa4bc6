"""Oblivious trees learn what they should, the same each time, and score as the head in production does."""

from __future__ import annotations

import numpy as np

from detector.account.head import Head
from training.boosting import BoostSettings, boost, score

SMALL = BoostSettings(trees=40, depth=3, rate=0.3, ridge=1.0, features=1.0, rows=0.8)


def interaction(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0.5)).astype(np.int64)


def test_an_interaction_is_learned() -> None:
    x, y = interaction()
    trees = boost(x, y, np.ones(len(y)), SMALL)
    assert ((score(trees, x) > 0) == y).mean() > 0.95


def test_the_same_seed_gives_the_same_trees() -> None:
    x, y = interaction(300)
    first, second = (boost(x, y, np.ones(len(y)), SMALL, seed=3) for _ in range(2))
    assert np.array_equal(first.leaf, second.leaf)
    assert np.array_equal(first.feature, second.feature)


def test_weights_count_like_copies() -> None:
    settings = BoostSettings(trees=5, depth=2, ridge=1e-6, features=1.0, rows=1.0)
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    y = np.array([0, 1, 0, 1])
    weight = np.array([1.0, 2.0, 1.0, 1.0])
    copied = boost(np.repeat(x, [1, 2, 1, 1], axis=0), np.repeat(y, [1, 2, 1, 1]), np.ones(5), settings)
    assert np.allclose(score(boost(x, y, weight, settings), x), score(copied, x), atol=1e-3)


def test_a_constant_feature_is_never_asked() -> None:
    x, y = interaction(300)
    x[:, 2] = 7.0
    assert not (boost(x, y, np.ones(len(y)), SMALL).feature == 2).any()


def test_the_head_of_production_says_the_same() -> None:
    x, y = interaction(300)
    trees = boost(x, y, np.ones(len(y)), SMALL)
    head = Head(
        column=np.arange(4),
        centre=np.zeros(4),
        scale=np.ones(4),
        shrink=np.full(4, 1e-9),
        weight=np.zeros(4),
        question=trees.feature,
        cut=trees.cut,
        leaf=trees.leaf,
        mix=np.array([0.0, 0.0, 1.0]),
    )
    assert np.allclose(head.logit(x, np.full_like(x, 1e6)), score(trees, x), atol=0.3)
    assert np.array_equal(head.trees(x), score(trees, x))
