"""Measures of ranking and flags, each as its definition says, with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, rankdata

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def auroc(label: Labels, score: Floats) -> float:
    """P(a machine scores above a person), ties half; NaN without both."""
    positive, negative = int((label == 1).sum()), int((label == 0).sum())
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[label == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def average_precision(label: Labels, score: Floats) -> float:
    """Mean precision at each machine found, walking down the scores; tied scores are taken together."""
    positive = int((label == 1).sum())
    if not positive:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    precision = hits[ends] / (ends + 1)
    gained = np.diff(hits[ends], prepend=0) / positive
    return float((precision * gained).sum())


def tpr_at(label: Labels, score: Floats, fpr: float) -> float:
    """Share of machines strictly above the score that at most a share `fpr` of people exceed; NaN without both."""
    people = np.sort(score[label == 0])[::-1]
    if not len(people) or not (label == 1).any():
        return float("nan")
    cut = people[min(int(np.floor(fpr * len(people))), len(people) - 1)]
    return float((score[label == 1] > cut).mean())


def interval(count: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share (1934)."""
    if not trials:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, count, trials - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, trials - count)) if count < trials else 1.0
    return low, high


def exceeds(count: int, trials: int, rate: float) -> float:
    """p-value of the exact one-sided binomial test that flags come at more than `rate`."""
    return float(binomtest(count, trials, rate, alternative="greater").pvalue) if trials else 1.0


def differs(count: int, trials: int, rate: float) -> float:
    """p-value of the exact two-sided binomial test that flags come at another rate than `rate`."""
    return float(binomtest(count, trials, rate).pvalue) if trials else 1.0
