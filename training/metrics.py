"""Measures of scores and flags, for reports and model cards: ranking, error rates, exact intervals and tests.

Ranking and average precision are scikit-learn's, intervals and tests of shares SciPy's; this module fixes what is
reported where a class is missing, and adds the two measures that compare texts of like length. Labels are 1 for a
machine and 0 for a person throughout, and higher scores mean machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from training.data import LENGTH_BINS, length_bins

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def auroc(label: Labels, score: Floats) -> float:
    """Area under the ROC curve: P(a machine scores above a person), ties half; NaN without both classes."""
    return float(roc_auc_score(label, score)) if 0 < label.sum() < len(label) else float("nan")


def average_precision(label: Labels, score: Floats) -> float:
    """Mean precision at each machine found, walking down the scores, tied scores together; NaN without a machine."""
    return float(average_precision_score(label, score)) if label.sum() else float("nan")


def tpr_at(label: Labels, score: Floats, fpr: float) -> float:
    """True-positive rate at a false-positive rate.

    Args:
        label: (n,).
        score: (n,).
        fpr: largest share of people who may lie above the cut.

    Returns:
        Share of machines strictly above the score that at most a share `fpr` of people exceed; NaN without both
        classes. The cut is one person's score, never between two: with few people it is the stricter one.
    """
    people = np.sort(score[label == 0])[::-1]
    if not len(people) or not (label == 1).any():
        return float("nan")
    cut = people[min(int(np.floor(fpr * len(people))), len(people) - 1)]
    return float((score[label == 1] > cut).mean())


def share_interval(count: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson 1934).

    Args:
        count: how many of `trials`.
        trials: of how many; 0 gives the interval from 0 to 1.
        level: of confidence.

    Returns:
        Its lower and upper end.
    """
    if not trials:
        return 0.0, 1.0
    low, high = binomtest(count, trials).proportion_ci(level, method="exact")
    return float(low), float(high)


def p_more_than(count: int, trials: int, rate: float) -> float:
    """Exact one-sided binomial test that flags come at more than a rate.

    Args:
        count: flags seen.
        trials: people who could be flagged; 0 gives 1.0.
        rate: the rate that is tested, from 0 to 1.

    Returns:
        The p-value.
    """
    return float(binomtest(count, trials, rate, alternative="greater").pvalue) if trials else 1.0


def p_other_than(count: int, trials: int, rate: float) -> float:
    """Exact two-sided binomial test that flags come at another rate than `rate`.

    Args:
        count: flags seen.
        trials: people who could be flagged; 0 gives 1.0.
        rate: the rate that is tested, from 0 to 1.

    Returns:
        The p-value.
    """
    return float(binomtest(count, trials, rate).pvalue) if trials else 1.0


DRAWS: Final = 200
"""Bootstrap draws behind a 95% interval: its ends wander by about a tenth of its width."""

Measure = Callable[[Floats, NDArray[np.int64], NDArray[np.int64]], float]


def auroc_at_like_length(score: Floats, label: NDArray[np.int64], words: NDArray[np.int64]) -> float:
    """AUROC within length bins: share of (machine, person) pairs of one bin in which the machine scores higher.

    Ties count half, and every machine text counts once, however many people its bin has.

    Args:
        score: (n,).
        label: (n,).
        words: (n,) lengths; the bins are the deciles of the machines' lengths.

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
            wins += float(below.sum()) / (2 * len(low))
            pairs += len(high)
    return wins / pairs if pairs else 0.5


def tpr_at_like_length(score: Floats, label: NDArray[np.int64], words: NDArray[np.int64], fpr: float = 0.01) -> float:
    """True-positive rate at a false-positive rate, people weighed to the lengths of the machines' texts.

    Args:
        score: (n,).
        label: (n,).
        words: (n,) lengths; the bins are the deciles of the machines' lengths.
        fpr: weighed share of people above the cut.

    Returns:
        Share of machine texts above the cut; 0 without both classes.
    """
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
    """A measure with its 95% bootstrap interval, rows drawn with replacement within each class.

    Args:
        measure: of (score, label, words).
        score: (n,).
        label: (n,).
        words: (n,) lengths.
        rng: of the draws.
        draws: how many.

    Returns:
        The measure of all rows, and its 2.5% and 97.5% quantiles over the draws.
    """
    classes = [np.flatnonzero(label == k) for k in (0, 1)]
    values = []
    for _ in range(draws):
        rows = np.concatenate([rng.choice(rows, len(rows)) for rows in classes if len(rows)])
        values.append(measure(score[rows], label[rows], words[rows]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Estimate(measure(score, label, words), float(low), float(high))
