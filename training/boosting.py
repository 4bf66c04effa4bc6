"""Gradient boosting by scikit-learn, and its trees as the plain arrays that ship (`detector.account.trees`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.account.trees import Floats, Trees


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """Settings of `sklearn.ensemble.HistGradientBoostingClassifier`, under its names.

    `l2_regularization` is in units of the mean row weight times curvature; `max_features` is drawn anew at every node.
    """

    max_iter: int = 100
    max_leaf_nodes: int = 16
    max_depth: int = 4
    learning_rate: float = 0.12
    min_samples_leaf: int = 20
    l2_regularization: float = 20.0
    max_features: float = 0.3
    max_bins: int = 32


@dataclass(frozen=True, slots=True)
class Boosted:
    """A fitted model: logit = `bias` + `trees.predict(rows)`."""

    bias: float
    trees: Trees

    def logit(self, rows: Floats) -> Floats:
        """Log-odds of (n, d) rows, (n,)."""
        return self.bias + self.trees.predict(rows)


def boost(
    rows: Floats,
    label: NDArray[np.int64],
    weight: Floats,
    settings: BoostingSettings,
    *,
    seed: int = 0,
    offset: Floats | None = None,
) -> Boosted:
    """Boost logistic loss.

    An offset is a logit that is known beforehand and is no part of the model, such as what the source of a row says by
    itself. Where the log-odds are offset + f(x), rows weighed by exp(-offset / 2) in class 1 and exp(offset / 2) in
    class 0 have log-odds f(x) (the correction of case-control samples, Prentice and Pyke 1979), so f is fitted to rows
    weighed in this way.

    Args:
        rows: (n, d) features without NaN.
        label: (n,) 0 or 1, both present.
        weight: (n,) row weights; their scale does not matter.
        settings: how.
        seed: of the draws of features.
        offset: (n,) logits; None for 0.

    Returns:
        The model without its offset.
    """
    if offset is not None:
        weight = weight * np.exp((0.5 - label) * offset)
    fitted = HistGradientBoostingClassifier(**asdict(settings), early_stopping=False, random_state=seed)
    with threadpool_limits(limits=1):  # so that the trees do not depend on how many cores trained them
        fitted.fit(rows, label, sample_weight=weight / weight.mean())
    return Boosted(*exported(fitted))


def exported(fitted: HistGradientBoostingClassifier) -> tuple[float, Trees]:
    """Bias and trees of a fitted binary classifier of numbers without missing values.

    scikit-learn has no public way to its nodes; a test compares the result with `decision_function`, so that a version
    that keeps them otherwise is noticed.
    """
    tables = [predictor.nodes for (predictor,) in fitted._predictors]
    sizes = np.array([len(table) for table in tables])
    root = np.cumsum(sizes) - sizes
    nodes = np.concatenate(tables)
    leaf = nodes["is_leaf"].astype(bool)
    itself = np.arange(len(nodes))[:, None]
    inner = np.stack([nodes["left"], nodes["right"]], axis=1).astype(np.int64) + np.repeat(root, sizes)[:, None]
    trees = Trees(
        root=root,
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
        children=np.where(leaf[:, None], itself, inner),
        value=nodes["value"].astype(np.float64),
    )
    return float(fitted._baseline_prediction.item()), trees
