"""Calibrates a text model: raw scores that it gave to texts it had not seen become log-likelihood ratios.

`calibrate` takes the table of texts and one or more columns of such scores; both stages of the text models use it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from detector.text.calibration import BANDS, Calibrator, bands
from training.data import balance

Floats = NDArray[np.float64]

SHRINK: Final = 300.0
"""Texts' worth of belief that a band is like all lengths, and a language like all languages."""

MIN_EACH: Final = 40
"""Texts of either class below which a language is not calibrated: it abstains."""

MAX_NATS: Final = 4.0
"""No single post says more than this, whatever the fit: imitations of people have cost as much."""

TAIL_Z: Final = 1.0
"""One-sided 84%: a bound is the largest ratio of tails of which that much is sure."""


def fit_line(
    score: Floats, label: NDArray[np.int64], weight: Floats, towards: tuple[float, float], pull: float
) -> tuple[float, float]:
    """Slope and offset of the LLR by weighted logistic regression at equal class weight, pulled towards `towards`.

    Args:
        score, label, weight: (n,).
        towards: slope and offset of the larger group.
        pull: how many texts' worth of belief in `towards`.

    Returns:
        slope >= 0 and offset.
    """
    total = np.array([weight[label == 0].sum(), weight[label == 1].sum()])
    if not total.all():
        return towards
    effective = total**2 / np.array([(weight[label == c] ** 2).sum() for c in (0, 1)])
    size = 2 * float(effective.min())
    share = weight / (2 * total[label])
    sign = np.where(label == 1, 1.0, -1.0)
    spread = float(np.sqrt(np.average((score - np.average(score, weights=share)) ** 2, weights=share))) + 1e-9
    goal = np.array(towards)
    scale = np.array([spread, 1.0])
    belief = pull / max(size, 1.0) / 4  # curvature of the logistic loss at the middle is a quarter

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = sign * (theta[0] * score + theta[1])
        away = (theta - goal) * scale
        value = float(share @ np.logaddexp(0, -margin)) + 0.5 * belief * float(away @ away)
        slope = -share * sign / (1 + np.exp(np.clip(margin, -60, 60)))
        return value, np.array([slope @ score, slope.sum()]) + belief * away * scale

    found = minimize(loss, goal, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def tail_bound(llr: Floats, own: Floats, other: Floats) -> float:
    """Largest log ratio of tails that the data support: own class over the other among texts at or beyond a cut.

    Args:
        llr: evidence towards the own class, (n,).
        own, other: (n,) weights of the rows of either class (0 for the rest), at least one of each positive.

    Returns:
        The maximum over cuts of log(lower bound of P(own beyond) / upper bound of P(other beyond)), in [0, MAX_NATS].
    """
    order = np.argsort(-llr, kind="stable")
    rates = []
    for weight, side in ((own[order], -1.0), (other[order], 1.0)):
        size = weight.sum() ** 2 / (weight**2).sum()
        share = np.cumsum(weight) / weight.sum()
        z2 = TAIL_Z**2
        middle = (share + z2 / (2 * size)) / (1 + z2 / size)
        half = TAIL_Z / (1 + z2 / size) * np.sqrt(np.maximum(share * (1 - share), 0) / size + z2 / (4 * size**2))
        rates.append(np.clip(middle + side * half, 1e-9, 1))
    return float(np.clip(np.max(np.log(rates[0] / rates[1])), 0.0, MAX_NATS))


def fit_calibrator(
    score: Floats,
    label: NDArray[np.int64],
    weight: Floats,
    words: NDArray[np.int64],
    lang: NDArray[np.str_],
    shrink: float = SHRINK,
) -> Calibrator:
    """A calibrator from held-out scores.

    In every group and band the mean of exp(LLR) over people is brought to at most 1, as it must be for a ratio of
    likelihoods: no language and no length is accused on the whole.

    Args:
        score: (n,) raw scores of models that had not seen the text.
        label: (n,) 1 = machine.
        weight: (n,) how much each text counts.
        words: (n,) lengths.
        lang: (n,) primary tags; those with fewer than `MIN_EACH` texts of a class are left out.
        shrink: texts' worth of belief that a band is like all lengths, and a language like all languages.
    """
    names = [one for one in np.unique(lang) if one and min(np.bincount(label[lang == one], minlength=2)) >= MIN_EACH]
    groups: Mapping[str, int] = {str(name): index for index, name in enumerate(names)}
    slope, offset, low, high = (np.zeros((len(names), BANDS)) for _ in range(4))
    band = bands(words)
    pooled = fit_line(score, label, weight, (0.5, 0.0), 1.0)
    llr = np.zeros(len(score))
    for name, group in groups.items():
        here = lang == name
        whole = fit_line(score[here], label[here], weight[here], pooled, shrink)
        for b in range(BANDS):
            rows = here & (band == b)
            line = fit_line(score[rows], label[rows], weight[rows], whole, shrink) if rows.any() else whole
            slope[group, b], offset[group, b] = line
            llr[rows] = line[0] * score[rows] + line[1]
    known = np.isin(lang, names)
    for b in range(BANDS):
        near = np.abs(band - b) <= 1
        shared = supported(llr, label, weight, near & known)
        for name, group in groups.items():
            rows = near & (lang == name)
            down, up = np.maximum(supported(llr, label, weight, rows), shared)
            people = rows & (label == 0)
            if people.any():
                excess = np.average(np.exp(np.clip(llr[people], -down, up)), weights=weight[people])
                offset[group, b] -= max(0.0, float(np.log(excess)))
            low[group, b], high[group, b] = -down, up
    return Calibrator(slope, offset, low, high, groups)


def supported(llr: Floats, label: NDArray[np.int64], weight: Floats, rows: NDArray[np.bool_]) -> Floats:
    """How far the tails of some texts support evidence.

    Args:
        llr: (n,) nats.
        label: (n,) 1 = machine.
        weight: (n,) how much each text counts.
        rows: (n,) which texts.

    Returns:
        (2,) nats down and up; zeros where a class is missing.
    """
    machine, people = (np.where(label[rows] == k, weight[rows], 0.0) for k in (1, 0))
    if not (machine.any() and people.any()):
        return np.zeros(2)
    return np.array([tail_bound(-llr[rows], people, machine), tail_bound(llr[rows], machine, people)])


def calibrate(table: pd.DataFrame, *scores: Floats) -> Calibrator:
    """A calibrator on held-out scores of `table`'s rows; of several, each row counts once with each.

    Scores of unseen sources alone would say how little is known of a generator nobody has met, and cut short the
    evidence of those that were: a new stream lies between the two.
    """
    times = len(scores)
    return fit_calibrator(
        np.concatenate(scores),
        np.tile(table["label"].to_numpy().astype(np.int64), times),
        np.tile(balance(table), times),
        np.tile(table["words"].to_numpy().astype(np.int64), times),
        np.tile(table["lang"].to_numpy().astype(str), times),
    )
