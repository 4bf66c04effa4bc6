"""Co-occurrences of accounts on shared objects, what was expected of them, and the soft edges that exceed it.

Co-occurrences are pairs of traces of one object near each other in time. For each kind, with weights w, degrees d_i =
sum of w over i's co-occurrences and total T, a pair's expectation is d_i d_j / (2 T) times the ratio at which the
accounts' coarse communities co-occur (a degree-corrected block model, Karrer & Newman 2011). Degrees are sums over the
co-occurrences that were kept, so what the caps drop is dropped from the expectation too. The residual is
z = (observed - expected) / sd, with one co-occurrence's variance added, so that two silent accounts that co-occur once
score about one and not a hundred.

`build_view` makes a `View`, the window in name order with its co-occurrences; `exceed` gives its soft edges. Everything
is computed on ranks (positions in name order), so rows and the order of arrival change nothing. `coordinated_pairs` is
the definition of CooRTweet (Righetti & Balluff 2025), without expectation or error rate, to compare with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.trace_window import TraceWindow
from graph.traces import (
    EDGE_WINDOW_MS,
    FAST_REPOST,
    FAST_REPOST_MS,
    INTERACTION,
    KIND_WEIGHT,
    KINDS,
    REPOST,
    SYNCHRONY_MS,
    CoordinationSettings,
    Trace,
)


def coordinated_pairs(traces: Sequence[Trace], window_ms: int, min_shared: int) -> dict[tuple[int, int], int]:
    """Pairs (a < b) of accounts and how many objects they share within `window_ms`, at least `min_shared`.

    An object counts once per pair, however often both acted on it; times exactly `window_ms` apart count.

    Args:
        traces: in any order.
        window_ms: longest lag.
        min_shared: objects that a pair must share.
    """
    by_object: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    for trace in traces:
        by_object[trace.kind, trace.key].append((trace.at_ms, trace.account))
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for shares in by_object.values():
        shares.sort()
        met: set[tuple[int, int]] = set()
        for n, (at, account) in enumerate(shares):
            for later, other in shares[n + 1 :]:
                if later - at > window_ms:
                    break
                if other != account:
                    met.add((min(account, other), max(account, other)))
        for pair in met:
            shared[pair] += 1
    return {pair: count for pair, count in sorted(shared.items()) if count >= min_shared}


MIN_BLOCK: Final = 50
"""Smallest community that may have a baseline rate of its own: in a smaller one a campaign would explain itself
away."""

MAX_BASELINE_RATE: Final = 20.0
"""Largest factor that baseline rate may put on an expectation; estimates beyond it come from a handful of
co-occurrences."""

PRIOR_CO_OCCURRENCES: Final = 5.0
"""Co-occurrences of prior weight at baseline rate 1, so that communities which hardly meet do not get an extreme
one."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def distinct(values: IntArray) -> IntArray:
    """The different values, ascending: `np.unique` by sorting, much faster than its hash table on short arrays."""
    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


class CoOccurrences(NamedTuple):
    """Pairs of traces of one object, one row each: ranks a < b, kind, weight, shape (n,)."""

    a: IntArray
    b: IntArray
    kind: IntArray
    weight: FloatArray


class SoftEdges(NamedTuple):
    """Edges a < b with weight in millinats (summed over kinds, positive), shape (m,), sorted by (a, b)."""

    a: IntArray
    b: IntArray
    weight: IntArray


class Expectation(NamedTuple):
    """What pairs are expected to weigh: degree-corrected, with a factor per pair of coarse communities.

    Args:
        degree: weight of each account's co-occurrences, shape (kinds, accounts).
        total: sum of weights of co-occurrences, shape (kinds,).
        unit: mean weight of a co-occurrence weighted by weight, shape (kinds,): variance per expected weight.
        block: coarse community of each account, shape (accounts,).
        baseline rate: observed over expected weight between communities, shape (kinds, blocks, blocks).
    """

    degree: FloatArray
    total: FloatArray
    unit: FloatArray
    block: IntArray
    baseline_rate: FloatArray

    def of(self, kind: int, a: IntArray, b: IntArray) -> FloatArray:
        """Expected weight between accounts a and b, which broadcast.

        Args:
            kind: number of the kind.
            a: ranks.
            b: ranks.
        """
        scale = 2.0 * max(float(self.total[kind]), 1e-12)
        degree = self.degree[kind]
        out: FloatArray = degree[a] * degree[b] / scale * self.baseline_rate[kind, self.block[a], self.block[b]]
        return out


def co_occurrences(
    at: IntArray, rank: IntArray, slot: IntArray, kind_of_slot: IntArray, now_ms: int, settings: CoordinationSettings
) -> CoOccurrences:
    """All co-occurrences in a window.

    Args:
        at, rank, slot: traces in event order, shape (n,); `rank` is the account's position in name order.
        kind_of_slot: kind of each object, shape (slots,).
        now_ms: weights decay with `settings.half_life_ms` before this.
    """
    parts: list[CoOccurrences] = []
    kinds = kind_of_slot[slot]
    for kind in range(KINDS):
        mine = np.flatnonzero(kinds == kind)
        if len(mine) >= 2:
            parts.append(_of_kind(kind, at[mine], rank[mine], slot[mine], now_ms, settings))
    return concatenate(parts)


def _of_kind(
    kind: int, at: IntArray, rank: IntArray, slot: IntArray, now_ms: int, settings: CoordinationSettings
) -> CoOccurrences:
    # Each account's first trace of an object, then traces of one object in (time, name) order.
    n_ranks = int(rank.max()) + 1
    _, first = np.unique(slot * n_ranks + rank, return_index=True)
    first.sort()
    at, rank, slot = at[first], rank[first], slot[first]
    order = np.lexsort((rank, at, slot))
    at, rank, slot = at[order], rank[order], slot[order]
    accounts = len(np.unique(rank))
    starts = np.flatnonzero(np.r_[True, slot[1:] != slot[:-1]])
    sizes = np.diff(np.r_[starts, len(slot)])
    size = np.repeat(sizes, sizes)
    # Rarity: the information in an object, against the rarest there could be; 1 for an object of two among many.
    rarity = np.log1p(accounts / size) / np.log1p(accounts / 2)
    window = EDGE_WINDOW_MS[kind]
    gaps = _gaps(size, settings)
    # Not divided by the object's size (Newman 2001): the expectation already grows with popularity, and the division
    # would leave next to nothing of the one link that all of a campaign share. A crowd at a single object is no group
    # (`graph.proposals.MIN_OBJECTS`).
    share = rarity
    out: list[CoOccurrences] = []
    for gap in range(1, gaps + 1):
        left = np.flatnonzero((slot[gap:] == slot[:-gap]) & (at[gap:] - at[:-gap] <= window))
        if not len(left):
            break
        right = left + gap
        lag = (at[right] - at[left]).astype(np.float64)
        synchrony = 0.5 + 0.5 * np.exp(-lag / SYNCHRONY_MS)
        decay = np.exp2((at[right] - now_ms) / float(settings.half_life_ms))
        fast = (kind == REPOST) & (lag <= FAST_REPOST_MS)
        out.append(
            CoOccurrences(
                np.minimum(rank[left], rank[right]),
                np.maximum(rank[left], rank[right]),
                np.asarray(np.where(fast, FAST_REPOST, kind), np.int64),
                np.asarray(share[left] * synchrony * decay, np.float64),
            )
        )
    return concatenate(out)


def concatenate(parts: list[CoOccurrences]) -> CoOccurrences:
    """The co-occurrences of all parts, in their order."""
    if not parts:
        empty = np.zeros(0, np.int64)
        return CoOccurrences(empty, empty, empty, np.zeros(0))
    return CoOccurrences(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _gaps(size: IntArray, settings: CoordinationSettings) -> int:
    """How many neighbours in time each trace is paired with, so that the pairs stay within the budget."""
    gaps = settings.neighbours
    while gaps > 1 and int(np.minimum(size - 1, gaps).sum()) > settings.pair_budget:
        gaps //= 2
    return gaps


def sum_pairs(met: CoOccurrences, accounts: int) -> CoOccurrences:
    """Co-occurrences added up per (kind, a, b), in that order."""
    key = (met.kind * accounts + met.a) * accounts + met.b
    unique, inverse = np.unique(key, return_inverse=True)
    weight: FloatArray = np.bincount(inverse, weights=met.weight, minlength=len(unique)).astype(np.float64)
    pair = unique % (accounts * accounts)
    return CoOccurrences(pair // accounts, pair % accounts, unique // (accounts * accounts), weight)


def expectation(met: CoOccurrences, block: IntArray) -> Expectation:
    """The expectation that `met` (not yet added up per pair) implies.

    Args:
        block: coarse community of each account by rank, 0 for none, shape (accounts,).
    """
    accounts, blocks = len(block), int(block.max(initial=0)) + 1
    degree = np.zeros((KINDS, accounts))
    total, unit = np.zeros(KINDS), np.ones(KINDS)
    baseline_rate = np.ones((KINDS, blocks, blocks))
    for kind in range(KINDS):
        mine = met.kind == kind
        if not mine.any():
            continue
        a, b, weight = met.a[mine], met.b[mine], met.weight[mine]
        degree[kind] = np.bincount(a, weight, accounts) + np.bincount(b, weight, accounts)
        total[kind] = weight.sum()
        unit[kind] = np.square(weight).sum() / total[kind]
        observed = np.bincount(block[a] * blocks + block[b], weight, blocks * blocks).reshape(blocks, blocks)
        observed = observed + observed.T  # each co-occurrence seen from both ends
        by_block = np.bincount(block, degree[kind], blocks)
        chance = np.outer(by_block, by_block) / (2.0 * total[kind])
        smooth = PRIOR_CO_OCCURRENCES * unit[kind]
        baseline_rate[kind] = np.clip((observed + smooth) / (chance + smooth), 1 / MAX_BASELINE_RATE, MAX_BASELINE_RATE)
    return Expectation(degree, total, unit, block, baseline_rate)


def residuals(pairs: CoOccurrences, model: Expectation) -> tuple[FloatArray, FloatArray]:
    """(z, expected) of each pair, shape (pairs,)."""
    expected = np.zeros(len(pairs.a))
    for kind in range(KINDS):
        mine = np.flatnonzero(pairs.kind == kind)
        expected[mine] = model.of(kind, pairs.a[mine], pairs.b[mine])
    unit = model.unit[pairs.kind]
    return (pairs.weight - expected) / np.sqrt(expected * unit + np.square(unit)), expected


def absent(model: Expectation, ranks: IntArray) -> FloatArray:
    """What not meeting at all weighs against each pair of `ranks`, in the units of soft edges, shape (n, n)."""
    out = np.zeros((len(ranks), len(ranks)))
    block = model.block[ranks]
    one = bool((block == block[0]).all())
    for kind in range(KINDS):
        degree = model.degree[kind, ranks]
        busy = np.flatnonzero(degree)
        if not model.total[kind] or not len(busy):
            continue
        some = 4 * len(busy) < 3 * len(ranks)  # most accounts never do most kinds of things
        degree, its = (degree[busy], block[busy]) if some else (degree, block)
        scale = KIND_WEIGHT[kind] / (2.0 * float(model.total[kind]) * float(model.unit[kind]))
        known = model.baseline_rate[kind]
        weight = np.multiply.outer(degree * scale, degree)
        weight *= known[its[0], its[0]] if one else known[its[:, None], its[None, :]]
        if some:
            out[busy[:, None], busy] += weight
        else:
            out += weight
    return out


def soft_edges(pairs: CoOccurrences, z: FloatArray, accounts: int, top: int) -> SoftEdges:
    """Positive residuals added over kinds, each account's `top` largest kept (by either end); unfiltered.

    Args:
        pairs: co-occurrences added up per pair and kind.
        z: their residuals.
        accounts: how many there are.
        top: edges kept of each account.
    """
    weight = np.maximum(z, 0.0) * np.array(KIND_WEIGHT)[pairs.kind]
    unique, inverse = np.unique(pairs.a * accounts + pairs.b, return_inverse=True)
    millinats = np.rint(np.bincount(inverse, weight, len(unique)) * 1000).astype(np.int64)
    a, b = unique // accounts, unique % accounts
    kept = np.flatnonzero(millinats > 0)
    a, b, millinats = a[kept], b[kept], millinats[kept]
    ends, others = np.r_[a, b], np.r_[b, a]
    order = np.lexsort((others, -np.r_[millinats, millinats], ends))
    ends = ends[order]
    starts = np.flatnonzero(np.r_[True, ends[1:] != ends[:-1]]) if len(ends) else np.zeros(0, np.int64)
    place = np.arange(len(ends)) - np.repeat(starts, np.diff(np.r_[starts, len(ends)]))
    chosen = np.zeros(len(a), bool)
    chosen[order[place < top] % max(len(a), 1)] = True
    return SoftEdges(a[chosen], b[chosen], millinats[chosen])


NO_BLOCK: Final = 0
"""The coarse community of accounts that belong to none."""

DIRECT_WEIGHT: Final = 0.5
"""Weight of one account acting upon another, against 1 for meeting on a rare object: people talk to those they know."""


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
        at, rank, slot, kind: the traces in event order, shape (n,).
        met: co-occurrences; pairs: the same added up per pair and kind.
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
        met: CoOccurrences,
        span_ms: int,
    ) -> None:
        self.rows, self.names = rows, names
        self.at, self.rank, self.slot, self.kind = at, rank, slot, kind
        self.met, self.pairs = met, sum_pairs(met, len(rows))
        self.span_ms = span_ms
        accounts = len(rows)
        counts = np.bincount(rank * KINDS + kind, minlength=accounts * KINDS)
        self.counts: IntArray = counts.reshape(accounts, KINDS)
        self.rank_of = {row: rank for rank, row in enumerate(rows.tolist())}
        self._cells: IntArray | None = None
        self._ties: Ties | None = None
        self._first_cell = 0
        self._order = np.argsort(rank, kind="stable")
        self._start = np.r_[0, np.cumsum(np.bincount(rank, minlength=accounts))]

    def ranks(self, rows: Sequence[int]) -> list[int]:
        """Ranks of those of `rows` that are in the view, ascending."""
        return sorted(self.rank_of[row] for row in rows if row in self.rank_of)

    def traces_of(self, ranks: Sequence[int]) -> IntArray:
        """Places of the traces of `ranks`, account by account."""
        parts = [self._order[self._start[r] : self._start[r + 1]] for r in ranks]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def base_rates(self, ranks: Sequence[int]) -> list[float]:
        """Traces per ms of `ranks` together, by kind, shape (KINDS,)."""
        return [float(v) for v in self.counts[list(ranks)].sum(axis=0) / self.span_ms]

    def shares(self, ranks: Sequence[int]) -> dict[int, float]:
        """Row -> its share of the traces that `ranks` made."""
        traces = self.counts[list(ranks)].sum(axis=1)
        return dict(zip(self.rows[list(ranks)].tolist(), (traces / traces.sum()).tolist(), strict=True))

    def co_occurrence_rates(self, members: Sequence[int], controls: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        """How often `members` met `control set`, and how often they were to, by kind of trace, shape (KINDS,) each."""
        if self._ties is None:
            ends = np.r_[self.pairs.a, self.pairs.b]
            order = np.argsort(ends, kind="stable")
            count = len(self.pairs.a)
            start = np.r_[0, np.cumsum(np.bincount(ends, minlength=len(self.rows)))]
            model = expectation(self.met, np.zeros(len(self.rows), np.int64))
            self._ties = Ties(start, np.r_[self.pairs.b, self.pairs.a][order], order % max(count, 1), model)
        ties = self._ties
        inside = np.zeros(len(self.rows), bool)
        inside[list(controls)] = True
        mine = np.concatenate([np.arange(ties.start[r], ties.start[r + 1]) for r in members])
        pair = ties.pair[mine[inside[ties.other[mine]]]]
        unit = ties.model.unit
        met = np.bincount(self.pairs.kind[pair], self.pairs.weight[pair], KINDS) / unit
        ours, theirs = (ties.model.degree[:, list(side)].sum(axis=1) for side in (members, controls))
        chance = ours * theirs / np.maximum(2.0 * ties.model.total, 1e-12) / unit
        for values in (met, chance):
            values[REPOST] += values[FAST_REPOST]
        return met[:KINDS], chance[:KINDS]

    def activity(self, ranks: Sequence[int], bin_ms: int) -> dict[int, int]:
        """Traces that `ranks` made together by activity cell (see `graph.group_test.activity_cell`)."""
        if self._cells is None:
            cells = self.at // bin_ms * KINDS + self.kind
            self._first_cell = int(cells.min())
            self._cells = cells - self._first_cell
        counts = np.bincount(self._cells[self.traces_of(ranks)])
        found = np.flatnonzero(counts)
        return dict(zip((found + self._first_cell).tolist(), counts[found].tolist(), strict=True))


class Residuals(NamedTuple):
    """Soft edges of a view and the expectation they exceed."""

    edges: SoftEdges
    model: Expectation


def build_view(
    window: TraceWindow, now_ms: int, names: Callable[[int], str], settings: CoordinationSettings
) -> View | None:
    """The window in name order with its co-occurrences; None where fewer than three accounts acted on anything.

    Args:
        window: the traces.
        now_ms: weights decay with the time before it.
        names: account name of a row.
        settings: of coordination.
    """
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
    met = co_occurrences(at, rank, objects, window.kind.astype(np.int64), now_ms, settings)
    met = _with_direct(met, window, rows, now_ms, settings)
    span = max(now_ms - int(at[0]), settings.activity_bin_ms)
    ordered = [named[i] for i in by_name]
    return View(rows, ordered, at, rank, objects, kind, met, span)


def exceed(
    view: View, blocks: Mapping[int, int], settings: CoordinationSettings, kinds: Collection[int] | None = None
) -> Residuals:
    """Soft edges against activity, popularity and the coarse communities of `blocks` (row -> community, from 1).

    Args:
        kinds: of co-occurrences that count; all where None.
    """
    block = np.array([blocks.get(r, NO_BLOCK) for r in view.rows.tolist()], np.int64)
    met, pairs = view.met, view.pairs
    if kinds is not None:
        met, pairs = _of_kinds(met, kinds), _of_kinds(pairs, kinds)
    model = expectation(met, block)
    z, _ = residuals(pairs, model)
    return Residuals(soft_edges(pairs, z, len(view.rows), settings.top_edges), model)


def _of_kinds(met: CoOccurrences, kinds: Collection[int]) -> CoOccurrences:
    mine = np.isin(met.kind, list(kinds))
    return CoOccurrences(met.a[mine], met.b[mine], met.kind[mine], met.weight[mine])


def _with_direct(
    met: CoOccurrences, window: TraceWindow, rows: IntArray, now_ms: int, settings: CoordinationSettings
) -> CoOccurrences:
    """The co-occurrences, and direct interactions between accounts that are both in the window."""
    direct = window.direct
    if not len(direct):
        return met
    order = np.argsort(rows)
    ends = [order[np.minimum(np.searchsorted(rows, column, sorter=order), len(rows) - 1)] for column in direct.T[1:]]
    known = (rows[ends[0]] == direct[:, 1]) & (rows[ends[1]] == direct[:, 2])
    a, b = np.minimum(*ends)[known], np.maximum(*ends)[known]
    weight = DIRECT_WEIGHT * np.exp2(-(now_ms - direct[known, 0]) / settings.half_life_ms)
    kind = np.full(len(a), INTERACTION, np.int64)
    return CoOccurrences(np.r_[met.a, a], np.r_[met.b, b], np.r_[met.kind, kind], np.r_[met.weight, weight])
