"""How a group's bets are staked, and the e-value they amount to.

Every bundle of bets is of one *class*, what its event was: something published, an answer, a share, a like. A class has
an e-process for each cell of a grid of odds (theta) and stakes (w), and one that never bets; their weighted mean M is
an e-process that finds the best cell by itself. A bundle multiplies the cells of its class alone, so the product of the
M over classes is an e-process too: what a group shows in one class adds to what it shows in another, and what it loses
in a class where it behaves like everybody is bounded by the share that never bets. The e-value is half that product and
half the mean of the M, for groups that show themselves in one class only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from graph.touches import TraceKind

THETAS: Final = (4.0, 16.0)
"""Odds: members come so many times more often than expected."""

STAKES: Final = (0.5, 0.1, 0.02)
"""Stakes: half of what a group does is coordinated, a tenth of it, or one object in fifty. An object on which nothing
happens costs at most -log(1 - w)."""

NEVER_BETS: Final = 0.2
"""Weight of the cell that never bets: the least that is left of a class."""

CELLS: Final = len(THETAS) * len(STAKES)
"""Cells of a class besides the one that never bets: theta changes slowest."""

PUBLISHED, ANSWERED, SHARED, LIKED = range(4)
CLASSES: Final = 4

MIN_FACTOR: Final = 1e-9
"""Smallest factor of one bundle. Raising a factor to it adds at most as much to its mean: nothing against rounding."""

_LOG_NEVER: Final = math.log(NEVER_BETS)
_LOG_CELL: Final = math.log((1.0 - NEVER_BETS) / CELLS)


def class_of(kinds: Collection[int]) -> int:
    """The class of an event by the kinds of all that it touches."""
    if TraceKind.INTERACTION in kinds:
        return LIKED
    if TraceKind.REPOST in kinds:
        return SHARED
    if TraceKind.REPLY_TARGET in kinds or TraceKind.QUOTE in kinds:
        return ANSWERED
    return PUBLISHED


def no_bets() -> list[float]:
    """Log e-values before any bet, shape (CLASSES * CELLS,)."""
    return [0.0] * (CLASSES * CELLS)


def multiply(log_e: list[float], turn: int, values: Sequence[tuple[float, Sequence[float]]]) -> None:
    """Multiply a settled bundle of class `turn` into the cells.

    Args:
        values: (weight, log factor for each theta) of each item; weights sum to 1.
    """
    place = turn * CELLS
    for n in range(len(THETAS)):
        factor = sum(weight * math.exp(value[n]) for weight, value in values)
        for stake in STAKES:
            # A factor may be too small for a float: a group never loses more than this at once.
            log_e[place] += math.log(max(1.0 - stake + stake * factor, MIN_FACTOR))
            place += 1


def by_class(log_e: Sequence[float]) -> list[float]:
    """Log of each class's e-value."""
    return [
        log_sum([_LOG_NEVER, *(_LOG_CELL + value for value in log_e[place : place + CELLS])])
        for place in range(0, CLASSES * CELLS, CELLS)
    ]


def e_value(log_e: Sequence[float]) -> float:
    """Log of the e-value that the cells amount to."""
    classes = by_class(log_e)
    return log_sum([math.log(0.5) + math.fsum(classes), *(math.log(0.5 / CLASSES) + m for m in classes)])


def log_sum(terms: Sequence[float]) -> float:
    """Log of the sum of what `terms` are the logs of."""
    top = max(terms)
    return top + math.log(math.fsum(math.exp(t - top) for t in terms))
