"""Boosted trees learn what they should, the same each time, and the exported trees give scikit-learn's predictions."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from training.boosting import BoostingSettings, boost, exported

SMALL = BoostingSettings(
    max_iter=40, max_leaf_nodes=8, max_depth=3, learning_rate=0.3, l2_regularization=1.0, max_features=1.0
)
Table = tuple[np.ndarray, np.ndarray]


def interaction(n: int = 2000) -> Table:
    """Features and labels, the labels an exclusive or of two features' signs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4))
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0.5)).astype(np.int64)


def test_an_interaction_is_learned() -> None:
    x, y = interaction()
    assert ((boost(x, y, np.ones(len(y)), SMALL).logit(x) > 0) == y).mean() > 0.95


def test_the_same_seed_gives_the_same_trees() -> None:
    x, y = interaction(300)
    half = replace(SMALL, max_features=0.5)
    first, second, other = (boost(x, y, np.ones(len(y)), half, seed=seed).trees for seed in (3, 3, 4))
    assert np.array_equal(first.value, second.value)
    assert np.array_equal(first.feature, second.feature)
    assert not np.array_equal(first.feature, other.feature)


def test_weights_count_like_copies() -> None:
    exact = BoostingSettings(
        max_iter=5, max_leaf_nodes=4, max_depth=2, min_samples_leaf=1, l2_regularization=1e-6, max_features=1.0
    )
    x = np.array([[0.0], [1.0], [2.0], [3.0]])
    y = np.array([0, 1, 0, 1])
    copies = np.array([1, 2, 1, 1])
    weighed = boost(x, y, copies.astype(float), exact)
    copied = boost(np.repeat(x, copies, axis=0), np.repeat(y, copies), np.ones(5), exact)
    assert weighed.logit(x) == pytest.approx(copied.logit(x), abs=1e-3)


def test_a_constant_feature_is_never_compared() -> None:
    x, y = interaction(300)
    x[:, 2] = 7.0
    trees = boost(x, y, np.ones(len(y)), SMALL).trees
    inner = trees.children[:, 0] != np.arange(len(trees.children))
    assert inner.any()
    assert not (trees.feature[inner] == 2).any()


def test_what_an_offset_explains_is_not_learned() -> None:
    rng = np.random.default_rng(1)
    source = rng.integers(0, 2, 4000)
    known = np.where(source == 1, 1.5, -1.5)
    x = np.stack([source + rng.normal(size=4000) * 0.1, rng.normal(size=4000)], axis=1)
    y = (rng.random(4000) < 1 / (1 + np.exp(-(known + x[:, 1])))).astype(np.int64)

    def gap(offset: np.ndarray | None) -> float:
        logit = boost(x, y, np.ones(4000), SMALL, offset=offset).logit(x)
        return float(logit[source == 1].mean() - logit[source == 0].mean())

    assert gap(None) == pytest.approx(3.0, abs=0.5)
    assert gap(known) == pytest.approx(0.0, abs=0.3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 6), st.integers(2, 40))
def test_exported_trees_give_the_librarys_predictions(seed: int, depth: int, leaves: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(200, 5)), 1)  # values repeat, so that some lie on a threshold's two sides closely
    y = (x[:, 0] + rng.normal(size=200) > 0).astype(np.int64)
    how = replace(SMALL, max_iter=10, max_depth=depth, max_leaf_nodes=leaves, max_features=0.6, min_samples_leaf=3)
    fitted = HistGradientBoostingClassifier(**asdict(how), early_stopping=False, random_state=seed).fit(x, y)
    bias, trees = exported(fitted)
    fresh = np.concatenate([x, rng.normal(size=(100, 5)) * 3])
    assert bias + trees.predict(fresh) == pytest.approx(fitted.decision_function(fresh), abs=1e-12)
    assert trees.depth <= depth
