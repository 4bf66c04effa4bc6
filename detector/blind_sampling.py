"""A blind sample of accounts that are not flagged: who is in it, and what it says of all the others.

Moderators who see alerts alone learn nothing of what is missed. So some unflagged accounts are shown to them too, with
a probability that is known for each (`inclusion`) and a draw that is a function of a key, so that a replay draws the
same and nobody can choose a name that is not drawn. An account that was shown with probability p then stands for 1 / p
accounts (Horvitz and Thompson 1952, Journal of the American Statistical Association 47:663-685).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

Floats = NDArray[np.float64]

EVEN: Final = 0.5
"""Share of the sample that is drawn evenly from all: what every component misses is found by nothing else."""

LARGEST_LIFT: Final = 100.0
"""An account may be drawn at most so many times as often as the average: beyond that the sample is of a few alone."""


class CountEstimate(NamedTuple):
    """An estimated number of accounts, with its 95% interval."""

    number: float
    low: float
    high: float


def inclusion(components: Floats, prior: float, share: float) -> Floats:
    """With which probability each unflagged account is in the sample.

    Half of the sample is drawn evenly. The other half goes to accounts of which some component alone says that they may
    be machines: what a sum of evidence misses, one part of it often sees.

    Args:
        components: shape (accounts, components), log-likelihood ratios in nats.
        prior: share of machine-driven accounts before any evidence.
        share: of the unflagged accounts that the sample is to have on average, 0 to 1.

    Returns: shape (accounts,), each in (0, 1] where `share` is above 0.
    """
    if not len(components):
        return np.zeros(0)
    logit = math.log(prior / (1.0 - prior))
    suspicion = 1.0 / (1.0 + np.exp(-(components.max(axis=1) + logit)))
    lift = np.minimum(suspicion / suspicion.mean(), LARGEST_LIFT)
    lift /= lift.mean()
    result: Floats = np.minimum(1.0, share * (EVEN + (1.0 - EVEN) * lift))
    return result


def is_drawn(key: bytes, name: str, probability: float) -> bool:
    """Whether something is in a sample: as often as `probability`, and the same for the same key and name.

    Args:
        key: secret.
        name: of what is drawn or not.
        probability: 0 to 1.
    """
    digest = hmac.new(key, name.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") < probability * 2.0**64


def estimate(found: Floats, smallest: float, confidence: float = 0.95) -> CountEstimate:
    """How many accounts of a kind there are, from those of them in a sample.

    The interval is that of a weighted sum of Poisson counts by Fay and Feuer (1997, Statistics in Medicine 16:791-801),
    which covers at least as often as it says, also where few or none were found.

    Args:
        found: shape (found,), the probability with which each was drawn.
        smallest: with which anybody could be drawn: what was not found may weigh as much.
        confidence: of the interval.
    """
    weights = 1.0 / np.asarray(found, np.float64)
    largest = 1.0 / smallest
    total, variance = float(weights.sum()), float((weights**2).sum())
    tail = (1.0 - confidence) / 2.0
    low = variance / (2.0 * total) * float(chi2.ppf(tail, 2.0 * total**2 / variance)) if total else 0.0
    upper_total, upper_variance = total + largest, variance + largest**2
    degrees = 2.0 * upper_total**2 / upper_variance
    high = upper_variance / (2.0 * upper_total) * float(chi2.ppf(1.0 - tail, degrees))
    return CountEstimate(total, low, high)
