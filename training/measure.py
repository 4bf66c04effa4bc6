"""Measures of a score that compare like with like: pairs and error rates within ten bins of length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.datasets import LENGTH_BINS, length_bins

DRAWS: Final = 200
"""Bootstrap draws behind a 95% interval: its ends wander by about a tenth of its width."""

Floats = NDArray[np.float64]
Measure = Callable[[Floats, NDArray[np.int64], NDArray[np.int64]], float]


def auroc_at_like_length(score: Floats, label: NDArray[np.int64], words: NDArray[np.int64]) -> float:
    """Share of (machine, person) pairs of one length bin in which the machine's score is higher, ties half.

    Args:
        score, label, words: (n,). Bins are the deciles of the machine's lengths.

    Returns:
        0.5 where no bin holds both classes.
    """
    machine = label == 1
    if not machine.any() or machine.all():
        return 0.5
    edges = np.quantile(words[machine], np.linspace(0, 1, LENGTH_BINS + 1)[1:-1])
    bins = length_bins(words, edges)
    wins, pairs = 0.0, 0
    for one in range(LENGTH_BINS):
        low = np.sort(score[(bins == one) & ~machine])
        high = score[(bins == one) & machine]
        if len(low) and len(high):
            below = np.searchsorted(low, high) + np.searchsorted(low, high, side="right")
            wins += float(below.sum()) / (
                2 * len(low)
            )  # every machine text counts once, however many people its bin has
            pairs += len(high)
    return wins / pairs if pairs else 0.5


def tpr_at_like_length(score: Floats, label: NDArray[np.int64], words: NDArray[np.int64], fpr: float = 0.01) -> float:
    """Share of machine texts above the cut that `fpr` of people pass, people weighed to the machine's lengths."""
    machine = label == 1
    if not machine.any() or machine.all():
        return 0.0
    edges = np.quantile(words[machine], np.linspace(0, 1, LENGTH_BINS + 1)[1:-1])
    bins = length_bins(words, edges)
    have = np.bincount(bins[~machine], minlength=LENGTH_BINS)
    want = np.bincount(bins[machine], minlength=LENGTH_BINS)
    weight = (want / np.maximum(have, 1))[bins[~machine]]
    people = score[~machine]
    order = np.argsort(-people, kind="stable")
    passed = np.cumsum(weight[order]) / max(float(weight.sum()), 1e-12)
    cut = people[order[min(int(np.searchsorted(passed, fpr)), len(order) - 1)]]
    return float((score[machine] > cut).mean())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measure with its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    measure: Measure,
    score: Floats,
    label: NDArray[np.int64],
    words: NDArray[np.int64],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> Estimate:
    """`measure` with the 2.5% and 97.5% quantiles over resampled rows, each class by itself."""
    classes = [np.flatnonzero(label == k) for k in (0, 1)]
    values = []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in classes if len(rows)])
        values.append(measure(score[rows], label[rows], words[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(measure(score, label, words), float(low), float(high))
