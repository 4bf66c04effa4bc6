"""Measures of ranking and flags, each as its definition says, with intervals.

Measures of a score that compare like with like: pairs and error rates within ten bins of length.

The bar beside every headline: gradient boosting on what is known without reading or relating anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, binomtest, rankdata

from training.account import BoostSettings, boost
from training.account import score as trees_score
from training.account_data import KINDS, RawEvents, has_text
from training.data import LENGTH_BINS, length_bins

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


DRAWS: Final = 200
"""Bootstrap draws behind a 95% interval: its ends wander by about a tenth of its width."""
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


FOLDS: Final = 5

BOOST: Final = BoostSettings(trees=80, depth=3, rate=0.1, ridge=5.0, features=0.5, rows=0.8)

POPULAR: Final = 10
"""Sites that this many accounts link to have a feature of their own, the ten most linked at most."""


def metadata(raw: RawEvents) -> NDArray[np.float64]:
    """(accounts, features): counts and shares of kinds, texts, links, hours, pauses. No words, no contacts."""
    n = len(raw.names)
    kinds = np.zeros((n, len(KINDS)))
    np.add.at(kinds, (raw.account, raw.kind), 1)
    hours = np.zeros((n, 24))
    np.add.at(hours, (raw.account, raw.at_ms // 3_600_000 % 24), 1)
    events = np.maximum(kinds.sum(axis=1, keepdims=True), 1)
    texts = np.bincount(raw.account, weights=has_text(raw.texts), minlength=n)[:, None]
    links = np.bincount(raw.account, weights=raw.links, minlength=n)[:, None]
    linked = np.bincount(raw.account, weights=raw.links > 0, minlength=n)[:, None]
    pauses = np.zeros((n, 4))
    order = np.lexsort((raw.at_ms, raw.account))
    same = raw.account[order][1:] == raw.account[order][:-1]
    gaps, owner = np.log1p(np.diff(raw.at_ms[order])[same] / 1000), raw.account[order][1:][same]
    for account in np.unique(owner):
        own = gaps[owner == account]
        pauses[account] = [own.mean(), own.std(), *np.quantile(own, [0.1, 0.9])]
    return np.hstack([kinds, kinds / events, hours / events, events, texts, texts / events, links, linked / events,
                      _sites(raw) / events, pauses])  # fmt: skip


def _sites(raw: RawEvents) -> NDArray[np.float64]:
    users = Counter(
        site for site, _ in {(site, account) for account, sites in _linked(raw) for site in sites}
    ).most_common(POPULAR)
    place = {site: i for i, (site, count) in enumerate(users) if count >= POPULAR}
    found = np.zeros((len(raw.names), POPULAR + 1))
    distinct: list[set[str]] = [set() for _ in raw.names]
    for account, sites in _linked(raw):
        distinct[account].update(sites)
        for site in sites:
            if site in place:
                found[account, place[site]] += 1
    found[:, POPULAR] = [len(sites) for sites in distinct]
    return found


def _linked(raw: RawEvents) -> list[tuple[int, tuple[str, ...]]]:
    return [(account, sites) for account, sites in zip(raw.account.tolist(), raw.sites, strict=True) if sites]


def metadata_scores(
    raw: RawEvents, label: NDArray[np.int64], cluster: NDArray[np.str_], seed: int = 0
) -> NDArray[np.float64]:
    """(accounts,) scores of accounts by boosting that saw neither them nor their campaign.

    Args:
        raw: the stream.
        label: (accounts,) truth in the order of `raw.names`.
        cluster: (accounts,) what is left out together: a campaign, or the account.
        seed: of folds and boosting.
    """
    features = metadata(raw)
    names, inverse = np.unique(cluster, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names))[inverse] % FOLDS
    scores = np.zeros(len(label))
    for index in range(FOLDS):
        train, test = fold != index, fold == index
        if not 0 < label[train].sum() < train.sum():
            continue
        share = np.bincount(label[train], minlength=2)
        weight = 1.0 / share[label[train]]
        scores[test] = trees_score(boost(features[train], label[train], weight, BOOST, seed), features[test])
    return scores
