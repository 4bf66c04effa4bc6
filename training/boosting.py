"""Gradient boosting of oblivious trees: every level of a tree asks one question, so scoring needs no branching.

Second-order boosting of logistic loss (Friedman 2001, Chen and Guestrin 2016) with trees whose level d splits every
leaf at the same feature and cut (Kohavi 1994; as in CatBoost). They regularise harder than free trees, and a score
is comparisons and one table lookup per tree, without any library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS: Final = 32
"""Quantile bins per feature: cuts finer than that follow single accounts."""


@dataclass(frozen=True, slots=True)
class BoostSettings:
    """How to boost. `ridge` is in units of the mean row weight times curvature."""

    trees: int = 120
    depth: int = 4
    rate: float = 0.1
    ridge: float = 20.0
    features: float = 0.3
    rows: float = 0.7


@dataclass(frozen=True, slots=True)
class Trees:
    """`feature`, `cut`: (T, depth); `leaf`: (T, 2^depth) in logits. Bit d of a leaf's index, the highest first, is
    whether the feature of level d lies above its cut."""

    feature: NDArray[np.int64]
    cut: Floats
    leaf: Floats


def boost(
    x: Floats,
    label: NDArray[np.int64],
    weight: Floats,
    settings: BoostSettings,
    seed: int = 0,
    start: Floats | None = None,
) -> Trees:
    """Boost logistic loss.

    Args:
        x: (n, d) features without NaN.
        label: (n,) 0 or 1.
        weight: (n,) row weights; their scale does not matter.
        settings: how.
        seed: of the samples of rows and features.
        start: (n,) logits to begin with, no part of the trees; None for 0.
    """
    rng = np.random.default_rng(seed)
    n, width = x.shape
    weight = weight / weight.mean()
    edges = [_edges(x[:, j]) for j in range(width)]
    usable = np.array([j for j in range(width) if len(edges[j])])
    binned = np.empty((width, n), np.int64)
    for j in range(width):
        binned[j] = np.searchsorted(edges[j], x[:, j], side="left")
    count = max(1, round(settings.features * len(usable)))
    logit = np.zeros(n) if start is None else start.copy()
    features, cuts, leaves = [], [], []
    for _ in range(settings.trees):
        p = 1 / (1 + np.exp(-logit))
        drawn = rng.random(n) < settings.rows
        slope = np.where(drawn, weight * (p - label), 0.0)
        curve = np.where(drawn, weight * p * (1 - p), 0.0)
        chosen = rng.choice(usable, count, replace=False)
        node = np.zeros(n, np.int64)
        feature = np.zeros(settings.depth, np.int64)
        cut = np.zeros(settings.depth)
        for level in range(settings.depth):
            j, edge = _best_split(binned, chosen, node, 1 << level, slope, curve, edges, settings.ridge)
            feature[level], cut[level] = j, edges[j][edge]
            node = 2 * node + (binned[j] > edge)
        size = 1 << settings.depth
        total = np.bincount(node, weights=slope, minlength=size)
        bend = np.bincount(node, weights=curve, minlength=size)
        leaf = -settings.rate * total / (bend + settings.ridge)
        logit += leaf[node]
        features.append(feature)
        cuts.append(cut)
        leaves.append(leaf)
    return Trees(np.array(features), np.array(cuts), np.array(leaves))


def _edges(values: Floats) -> Floats:
    """Cuts between quantiles, strictly inside the range."""
    cuts = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    inside: Floats = cuts[cuts < values.max()]
    return inside


def _best_split(
    binned: NDArray[np.int64],
    chosen: NDArray[np.int64],
    node: NDArray[np.int64],
    nodes: int,
    slope: Floats,
    curve: Floats,
    edges: list[Floats],
    ridge: float,
) -> tuple[int, int]:
    """The feature and cut whose split of every node gains most."""
    best, found = -np.inf, (int(chosen[0]), 0)
    base = node * BINS
    for j in chosen:
        place = base + binned[j]
        left_slope = np.bincount(place, weights=slope, minlength=nodes * BINS).reshape(nodes, BINS).cumsum(axis=1)
        left_curve = np.bincount(place, weights=curve, minlength=nodes * BINS).reshape(nodes, BINS).cumsum(axis=1)
        right_slope, right_curve = left_slope[:, -1:] - left_slope, left_curve[:, -1:] - left_curve
        gain = (left_slope**2 / (left_curve + ridge) + right_slope**2 / (right_curve + ridge)).sum(axis=0)
        edge = int(gain[: len(edges[j])].argmax())
        if gain[edge] > best:
            best, found = float(gain[edge]), (int(j), edge)
    return found


def score(trees: Trees, x: Floats) -> Floats:
    """Logits of (n, d) rows."""
    count, depth = trees.feature.shape
    above = np.take(x, trees.feature.reshape(-1), axis=1) > trees.cut.reshape(-1)
    powers = 1 << np.arange(depth - 1, -1, -1)
    leaf = (above.reshape(len(x), count, depth) * powers).sum(axis=2)
    total: Floats = np.ascontiguousarray(trees.leaf[np.arange(count), leaf]).sum(axis=1)
    return total
