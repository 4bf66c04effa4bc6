"""How far the totals of a platform's accounts have moved from those of the people that thresholds were set on.

The population stability index over ten classes that hold a tenth of the calibration people each: the sum of
(q - p) log(q / p), with q the share of accounts in a class and p = 0.1. By convention below 0.1 nothing has moved, and
above 0.25 a great deal has (Siddiqi 2006, Credit Risk Scorecards, ch. 9).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.thresholds import QUANTILES, PeopleTotals

CLASSES: Final = 10
"""Classes of equal numbers of people; of 200 accounts like them the index is 0.05 by chance."""

FEWEST_ACCOUNTS: Final = 200
"""Accounts by which it says anything."""

DRIFTED: Final = 0.25
"""Index from which on thresholds are not to be trusted before somebody has looked."""


def drift(people: PeopleTotals, totals: NDArray[np.float64]) -> float | None:
    """The index of accounts' totals against those of people.

    Args:
        people: totals of the calibration people after their last post.
        totals: (n,) of ordinary accounts now, with as many texts as a flag needs.

    Returns:
        None with too few accounts, or where only running maxima of the people are known, which lie higher.
    """
    if people.highest or len(totals) < FEWEST_ACCOUNTS:
        return None
    step = (len(QUANTILES) - 1) // CLASSES
    edges = np.array(people.quantiles)[step:-1:step]
    counts = np.bincount(np.searchsorted(edges, totals, side="right"), minlength=CLASSES)
    shares = np.maximum(counts, 0.5) / len(totals)
    return round(float(((shares - 1 / CLASSES) * np.log(shares * CLASSES)).sum()), 6)
