"""Exact intervals for shares."""

from __future__ import annotations

from typing import Final

from scipy.stats import beta

LEVEL: Final = 0.95


def clopper_pearson(hits: int, of: int) -> tuple[float, float]:
    """The exact 95% interval of a share of which `hits` in `of` were seen (Clopper and Pearson 1934)."""
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, hits, of - hits + 1)) if hits > 0 else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, of - hits)) if hits < of else 1.0
    return low, high


def shown(hits: int, of: int) -> str:
    """A share with its interval, in words of a table; a dash where there was nobody."""
    if of == 0:
        return "-"
    low, high = clopper_pearson(hits, of)
    return f"{hits} of {of}: {hits / of:.0%} ({low:.0%} to {high:.0%})"
