"""How far raters agree beyond chance: Krippendorff's alpha for ordered categories.

Source of the formulas: Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), sections D and E. With n_c
the number of ratings of category c among units that at least two raters rated, n their sum, m_u ratings of unit u:

    o_ck = sum over units of (pairs of ratings c, k in u) / (m_u - 1)
    d2_ck = (sum of n_g for g from c to k, minus (n_c + n_k) / 2)^2
    alpha = 1 - (n - 1) sum over c < k of o_ck d2_ck / sum over c < k of n_c n_k d2_ck

1 is full agreement, 0 what chance would give.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulation.sampling import Floats

MISSING: Final = 0
"""In the place of a rating that was not given."""

Ratings = NDArray[np.int8]
"""Categories as whole numbers of at least 1, `MISSING` for none."""

DRAWS: Final = 1000
"""Bootstrap samples of units: the ends of an interval of 95% then rest on 25 samples each."""


def ordinal_alpha(ratings: Ratings) -> float:
    """Krippendorff's alpha of ratings (raters, units) by ordered categories; nan where nothing can vary."""
    counts = _counts(ratings)
    return _alpha(counts[counts.sum(axis=1) >= 2])


def alpha_interval(ratings: Ratings, rng: np.random.Generator) -> tuple[float, float]:
    """Central 95% of alpha over bootstrap samples of units; nan where none can be computed.

    Args as `ordinal_alpha`; `rng` is where chance comes from.
    """
    counts = _counts(ratings)
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return float("nan"), float("nan")
    found = [_alpha(counts[rng.integers(0, len(counts), len(counts))]) for _ in range(DRAWS)]
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (np.nan, np.nan)
    return float(low), float(high)


def _counts(ratings: Ratings) -> Floats:
    """How many raters gave each unit each category: (units, categories)."""
    most = int(ratings.max(initial=1))
    found: Floats = (ratings[:, :, None] == np.arange(1, most + 1)).sum(axis=0).astype(np.float64)
    return found


def _alpha(counts: Floats) -> float:
    if not len(counts):
        return float("nan")
    of_unit = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :]
    same = np.einsum("ucc->uc", pairs)
    same -= counts  # a rating makes no pair with itself
    observed = (pairs / (of_unit - 1)[:, None, None]).sum(axis=0)
    total = counts.sum(axis=0)
    n = total.sum()
    running = np.cumsum(total)
    between = np.abs(running[:, None] - running[None, :])  # sum over g in (c, k], the smaller end left out
    low = np.minimum.outer(np.arange(len(total)), np.arange(len(total)))
    distance = (between + total[low] - (total[:, None] + total[None, :]) / 2) ** 2
    expected = (np.triu(np.outer(total, total), 1) * distance).sum()
    if expected == 0:
        return float("nan")
    return float(1 - (n - 1) * (np.triu(observed, 1) * distance).sum() / expected)
