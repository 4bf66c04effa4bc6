"""The window in name order, and the soft edges in it: what groups are proposed from and compared by.

Everything is computed on ranks (positions in name order), so rows and the order of arrival change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.edges import (
    Expectation,
    Meetings,
    SoftEdges,
    expectation,
    meetings,
    residuals,
    soft_edges,
    sum_pairs,
)
from graph.touches import KINDS, TOUCH_KINDS, CoordinationSettings, TraceKind
from graph.window import TouchWindow

NO_BLOCK: Final = 0
"""The coarse community of accounts that belong to none."""

DIRECT_WEIGHT: Final = 0.5
"""Weight of one account acting upon another, against 1 for meeting on a rare object: people talk to those they know."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Ties(NamedTuple):
    """Who met whom, account by account: whom rank r met is at [start[r], start[r + 1]); as which pair; expectation."""

    start: IntArray
    other: IntArray
    pair: IntArray
    model: Expectation


class View:
    """A window in name order.

    Args:
        rows: row of each rank, shape (accounts,).
        names: name of each rank.
        at, rank, slot, kind: the touches in event order, shape (n,).
        met: meetings; pairs: the same added up per pair and kind.
        span_ms: how much time the window covers.
    """

    def __init__(
        self,
        rows: IntArray,
        names: list[str],
        at: IntArray,
        rank: IntArray,
        slot: IntArray,
        kind: IntArray,
        met: Meetings,
        span_ms: int,
    ) -> None:
        self.rows, self.names = rows, names
        self.at, self.rank, self.slot, self.kind = at, rank, slot, kind
        self.met, self.pairs = met, sum_pairs(met, len(rows))
        self.span_ms = span_ms
        accounts = len(rows)
        counts = np.bincount(rank * TOUCH_KINDS + kind, minlength=accounts * TOUCH_KINDS)
        self.counts: IntArray = counts.reshape(accounts, TOUCH_KINDS)
        self.rank_of = {row: rank for rank, row in enumerate(rows.tolist())}
        self._cells: IntArray | None = None
        self._ties: Ties | None = None
        self._first_cell = 0
        self._order = np.argsort(rank, kind="stable")
        self._start = np.r_[0, np.cumsum(np.bincount(rank, minlength=accounts))]

    def ranks(self, rows: Sequence[int]) -> list[int]:
        """Ranks of those of `rows` that are in the view, ascending."""
        return sorted(self.rank_of[row] for row in rows if row in self.rank_of)

    def touches_of(self, ranks: Sequence[int]) -> IntArray:
        """Places of the touches of `ranks`, account by account."""
        parts = [self._order[self._start[r] : self._start[r + 1]] for r in ranks]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def base_rates(self, ranks: Sequence[int]) -> list[float]:
        """Touches per ms of `ranks` together, by kind, shape (TOUCH_KINDS,)."""
        return [float(v) for v in self.counts[list(ranks)].sum(axis=0) / self.span_ms]

    def shares(self, ranks: Sequence[int]) -> dict[int, float]:
        """Row -> its share of the touches that `ranks` made."""
        touches = self.counts[list(ranks)].sum(axis=1)
        return dict(zip(self.rows[list(ranks)].tolist(), (touches / touches.sum()).tolist(), strict=True))

    def kinship(self, members: Sequence[int], pool: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """How often `members` met `pool`, and how often they were to, by kind of touch, shape (TOUCH_KINDS,) each."""
        if self._ties is None:
            ends = np.r_[self.pairs.a, self.pairs.b]
            order = np.argsort(ends, kind="stable")
            count = len(self.pairs.a)
            start = np.r_[0, np.cumsum(np.bincount(ends, minlength=len(self.rows)))]
            model = expectation(self.met, np.zeros(len(self.rows), np.int64))
            self._ties = Ties(start, np.r_[self.pairs.b, self.pairs.a][order], order % max(count, 1), model)
        ties = self._ties
        inside = np.zeros(len(self.rows), bool)
        inside[list(pool)] = True
        mine = np.concatenate([np.arange(ties.start[r], ties.start[r + 1]) for r in members])
        pair = ties.pair[mine[inside[ties.other[mine]]]]
        unit = ties.model.unit
        met = np.bincount(self.pairs.kind[pair], self.pairs.weight[pair], KINDS) / unit
        ours, theirs = (ties.model.degree[:, list(side)].sum(axis=1) for side in (members, pool))
        ought = ours * theirs / np.maximum(2.0 * ties.model.total, 1e-12) / unit
        for values in (met, ought):
            values[TraceKind.REPOST] += values[TraceKind.FAST_REPOST]
        return met[:TOUCH_KINDS], ought[:TOUCH_KINDS]

    def activity(self, ranks: Sequence[int], bin_ms: int) -> dict[int, int]:
        """Touches that `ranks` made together by activity cell (see `graph.bets.activity_cell`)."""
        if self._cells is None:
            cells = self.at // bin_ms * TOUCH_KINDS + self.kind
            self._first_cell = int(cells.min())
            self._cells = cells - self._first_cell
        counts = np.bincount(self._cells[self.touches_of(ranks)])
        found = np.flatnonzero(counts)
        return dict(zip((found + self._first_cell).tolist(), counts[found].tolist(), strict=True))


class Residuals(NamedTuple):
    """Soft edges of a view and the expectation they exceed."""

    edges: SoftEdges
    model: Expectation


def look(window: TouchWindow, now_ms: int, names: Callable[[int], str], settings: CoordinationSettings) -> View | None:
    """The window in name order with its meetings; None where fewer than three accounts touched anything."""
    at, row, slot = window.view()
    alive = row >= 0
    at, row, slot = at[alive], row[alive], slot[alive]
    active, inverse = np.unique(row, return_inverse=True)
    if len(active) < 3:
        return None
    named = [names(int(r)) for r in active]
    by_name = sorted(range(len(active)), key=named.__getitem__)
    rank_of = np.empty(len(active), np.int64)
    rank_of[by_name] = np.arange(len(active))
    rank = rank_of[inverse]
    rows = active[by_name].astype(np.int64)
    objects: IntArray = slot.astype(np.int64)
    kind = window.kind[objects].astype(np.int64)
    met = meetings(at, rank, objects, window.kind.astype(np.int64), now_ms, settings)
    met = _with_direct(met, window, rows, now_ms, settings)
    span = max(now_ms - int(at[0]), settings.activity_bin_ms)
    ordered = [named[i] for i in by_name]
    return View(rows, ordered, at, rank, objects, kind, met, span)


def exceed(
    view: View, blocks: Mapping[int, int], settings: CoordinationSettings, kinds: Collection[int] | None = None
) -> Residuals:
    """Soft edges against activity, popularity and the coarse communities of `blocks` (row -> community, from 1).

    Args:
        kinds: of meetings that count; all where None.
    """
    block = np.array([blocks.get(r, NO_BLOCK) for r in view.rows.tolist()], np.int64)
    met, pairs = view.met, view.pairs
    if kinds is not None:
        met, pairs = _of_kinds(met, kinds), _of_kinds(pairs, kinds)
    model = expectation(met, block)
    z, _ = residuals(pairs, model)
    return Residuals(soft_edges(pairs, z, len(view.rows), settings.top_edges), model)


def _of_kinds(met: Meetings, kinds: Collection[int]) -> Meetings:
    mine = np.isin(met.kind, list(kinds))
    return Meetings(met.a[mine], met.b[mine], met.kind[mine], met.weight[mine])


def _with_direct(
    met: Meetings, window: TouchWindow, rows: IntArray, now_ms: int, settings: CoordinationSettings
) -> Meetings:
    """The meetings, and direct interactions between accounts that are both in the window."""
    direct = window.direct
    if not len(direct):
        return met
    order = np.argsort(rows)
    ends = [order[np.minimum(np.searchsorted(rows, column, sorter=order), len(rows) - 1)] for column in direct.T[1:]]
    known = (rows[ends[0]] == direct[:, 1]) & (rows[ends[1]] == direct[:, 2])
    a, b = np.minimum(*ends)[known], np.maximum(*ends)[known]
    weight = DIRECT_WEIGHT * np.exp2(-(now_ms - direct[known, 0]) / settings.half_life_ms)
    kind = np.full(len(a), int(TraceKind.INTERACTION), np.int64)
    return Meetings(np.r_[met.a, a], np.r_[met.b, b], np.r_[met.kind, kind], np.r_[met.weight, weight])
