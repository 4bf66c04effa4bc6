"""Prices and bonuses on the reach of a post by its polarity: what a moderator may set, and what it may not.

On the reward platform a post of polarity p reaches |p| of the readers that a post of polarity 1 reaches, so that every
poster learns to be extreme. A price multiplies the reach of posts by the band that |p| lies in: below 1 it is a tax,
above 1 a bonus. No post is removed, no account is closed, and the sign of a post counts for nothing. Two limits make it
something that a platform can pay for:

- a bonus multiplies reach by at most `Limits.most_bonus`;
- no post reaches more readers than a post of polarity 1 reaches where nobody sets a price. What civil posts are given
  is the attention that hot ones have today, and a platform hands out no more of it than it does now.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from simulation.sampling import Floats

BANDS: Final = 5
"""Of |p|, equally wide, that a moderator sets a price for."""

CELLS: Final = 20
"""Of |p|, equally wide, in which reach is looked up: a multiple of `BANDS`, fine enough for a tax that rises evenly."""


class Limits(NamedTuple):
    """What a bonus may be and what it brings.

    Args:
        most_bonus: times the reach that a post has by itself; at 10 a post of polarity 0.1 can reach as many readers as
            one of polarity 1.
        worth: what reach that a bonus gives brings in followers and likes, where the reach that a post has by itself
            brings 1. It is 1 if a reader who is shown a civil post likes it as readily as one who came upon a hot one.
    """

    most_bonus: float = 10.0
    worth: float = 1.0


def cell(absolute: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The cell that each |p| lies in."""
    return np.minimum((absolute * CELLS).astype(np.int64), CELLS - 1)


def no_price() -> Floats:
    """Multipliers of a platform on which nobody moderates, shape (CELLS,)."""
    return np.ones(CELLS)


def tax(rate: float) -> Floats:
    """Multipliers 1 - rate |p| of an even tax without a bonus, at the middle of each cell, shape (CELLS,)."""
    return np.maximum(1 - rate * (np.arange(CELLS) + 0.5) / CELLS, 0)


def tariff(bands: Floats) -> Floats:
    """Multipliers by cell, shape (..., CELLS), from those by band, shape (..., BANDS)."""
    return np.repeat(bands, CELLS // BANDS, axis=-1)


def reach(absolute: Floats, multipliers: Floats, worth: float = 1.0) -> Floats:
    """Readers who follow or like, as a share of those that a post of polarity 1 wins without a price.

    Args:
        absolute: |p| of posts in each society, shape (..., societies, posters).
        multipliers: of each society by cell, shape (societies, CELLS).
        worth: see `Limits`.
    """
    society = np.arange(len(multipliers))[:, None]
    given = np.minimum(absolute * multipliers[society, cell(absolute)], 1.0)
    return np.asarray(given - (1 - worth) * np.maximum(given - absolute, 0))
