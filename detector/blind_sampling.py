"""A blind sample of accounts that are not flagged: who is in it, and what it says of all the others.

Moderators who see alerts alone learn nothing of what is missed. So some unflagged accounts are shown to them too, with
a probability that is known for each (`inclusion`) and a draw that is a function of a key, so that a replay draws the
same and nobody can choose a name that is not drawn. An account that was shown with probability p then stands for 1 / p
accounts (Horvitz and Thompson 1952, Journal of the American Statistical Association 47:663-685).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from detector.evidence import COMPONENTS

Floats = NDArray[np.float64]

EVEN: Final = 0.5
"""Share of the sample that is drawn evenly from all: what every component misses is found by nothing else."""

BOTH_WAYS: Final = ("text", "behaviour")
"""Components of which either end is unusual. Machines that turned lie below people; who acts with nobody, or is tied to
nobody, does what most do."""


class CountEstimate(NamedTuple):
    """An estimated number of accounts, with its 95% interval."""

    number: float
    low: float
    high: float


def _at_most(values: Floats) -> NDArray[np.intp]:
    """How many of the values are at most as large as each, itself among them; shape (n,)."""
    return np.searchsorted(np.sort(values), values, side="right")


def _chi_squared(probability: float, degrees: float) -> float:
    """The quantile of chi-squared, by its definition: importing `scipy.stats` takes half as long as all of `run`."""
    return 2.0 * float(gammaincinv(degrees / 2.0, probability))


def unusualness(components: Floats) -> Floats:
    """How unlike the others each account is; shape (accounts,).

    For each component the share of accounts that lie at least as far out, and the sum of their logarithms over
    components (Fisher 1932, Statistical Methods for Research Workers). Ranks alone, so it holds whatever evidence is
    like, and needs neither people nor decisions.

    Args:
        components: shape (accounts, components), nats, in the order of `COMPONENTS`.
    """
    total = np.zeros(len(components))
    for place, name in enumerate(COMPONENTS):
        above = _at_most(-components[:, place]) / len(components)
        if name in BOTH_WAYS:
            below = _at_most(components[:, place]) / len(components)
            above = np.minimum(1.0, 2.0 * np.minimum(above, below))
        total -= np.log(above)
    # Ties stay ties on every machine, whatever the last bit of a logarithm is there.
    result: Floats = np.round(total, 9)
    return result


def inclusion(components: Floats, share: float) -> Floats:
    """With which probability each unflagged account is in the sample.

    Half of the sample is drawn evenly. The other half goes to accounts that are unlike the others, whatever the sum of
    their evidence says: machines that have changed are unlike people in some way more often than not. Each is drawn in
    inverse proportion to how many are at least as unusual.

    Args:
        components: shape (accounts, components), log-likelihood ratios in nats, in the order of `COMPONENTS`.
        share: of the unflagged accounts that the sample is to have on average, 0 to 1.

    Returns: shape (accounts,), each in (0, 1] where `share` is above 0; a little less than `share` on average where
        some are drawn for certain.
    """
    if not len(components):
        return np.zeros(0)
    lift = 1.0 / _at_most(-unusualness(components))
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
    low = variance / (2.0 * total) * _chi_squared(tail, 2.0 * total**2 / variance) if total else 0.0
    upper_total, upper_variance = total + largest, variance + largest**2
    degrees = 2.0 * upper_total**2 / upper_variance
    high = upper_variance / (2.0 * upper_total) * _chi_squared(1.0 - tail, degrees)
    return CountEstimate(total, low, high)


def estimate_among(found: Floats, shown: Floats, accounts: int) -> CountEstimate:
    """The same where those shown stand for a known number of accounts all together (Hajek 1971).

    So samples of several days, or of which only a part was decided on, are neither added up nor come short.

    Args:
        found: shape (found,), the probability with which each was drawn.
        shown: shape (shown,), the same of all that were looked at; at least one.
        accounts: how many there are to be drawn from.
    """
    counted = float((1.0 / np.asarray(shown, np.float64)).sum()) / accounts
    return estimate(np.asarray(found, np.float64) * counted, float(np.min(shown)) * counted)
