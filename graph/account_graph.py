"""The account graph: what the graph network sees of a window, as plain arrays.

Nodes are the accounts of the window in name order. Edges are typed: the soft edges, one relation for each kind of
trace, and interactions (reply, repost, quote, like, mention, follow), all seen from both ends. Of every account only
a few edges are kept in each relation, chosen by strength or by a hash of the two names, so that an account's edges
are the same whoever asks and in whatever order events came. Only candidates (accounts in a group under test or with
a strong soft edge) and their two hops are kept; all others are left out of the arrays' edges.

Node features are ranks among accounts that left about as many traces: counts, hours, kinds, ages and names never enter.
Own evidence enters as a rank too, among accounts of the same language with about as many posts: what text models say of
people differs from platform to platform, and a rank asks no model to be right about where people lie, only that
machines lie higher. All values lie on a grid of `1 / GRID`, so that sums of them are exact and no order matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from graph.coincidences import SoftEdges, View, exceed, residuals
from graph.proposals import coarse
from graph.traces import (
    EDGE_WINDOW_MS,
    FAST_REPOST,
    MODELLED_KINDS,
    REPOST,
    SYNCHRONY_MS,
    CoordinationSettings,
)

INTERACTIONS: Final = ("reply", "repost", "quote", "like", "mention", "follow")
"""Relations after the soft ones of `MODELLED_KINDS`: one account acted upon another."""

RELATIONS: Final = MODELLED_KINDS + len(INTERACTIONS)

EDGE_FEATURES: Final = 6
"""Of a soft edge: residual, expectation, closeness in time, rarity, objects shared, neighbours shared. Of an
interaction: how often, how mutual."""

STRUCTURE: Final = MODELLED_KINDS + 2
"""Node features: rank of the residual strength of each kind, of the strongest edge, and of closed triangles."""

GRID: Final = float(1 << 20)
"""All that enters the model lies on multiples of one over this: finer than anything measured, coarse enough that sums
of products with weights on their own grid stay exact in 53 bits."""

SOFT_FANOUT: Final = 10
"""Accounts taken of each account's soft edges, the strongest: half of what proposals look at."""

INTERACTION_FANOUT: Final = 5
"""Partners taken of each account in each kind of interaction, by hash: they only say in whose company it is."""

STRONG_MILLINATS: Final = 1500
"""Weight of a soft edge that makes its ends candidates: more than one ordinary co-occurrence."""

MAX_CANDIDATES: Final = 20_000
"""Candidates looked at in one tick, the strongest: bounds its length at some seconds."""

MIN_STRATUM: Final = 30
"""Accounts that share a stratum of activity, at least: fewer make no rank."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ActedUpon = Callable[[int, str], tuple[int, str] | None]
"""(kind of trace, object) -> (place in `INTERACTIONS`, name of the account acted upon); None where it is nobody's."""


class AccountGraph(NamedTuple):
    """Accounts and typed edges.

    Args:
        rows: row of each node, shape (n,); names: their names, ascending.
        features: shape (n, STRUCTURE), in [0, 1].
        candidate: who is judged, shape (n,).
        source, target, relation: directed edges, shape (e,), by (target, relation, source).
        edge: shape (e, EDGE_FEATURES), in [0, 1].
    """

    rows: IntArray
    names: list[str]
    features: FloatArray
    candidate: NDArray[np.bool_]
    source: IntArray
    target: IntArray
    relation: IntArray
    edge: FloatArray


def on_grid(values: FloatArray) -> FloatArray:
    """The nearest multiples of 1 / GRID."""
    out: FloatArray = np.rint(values * GRID) / GRID
    return out


def account_graph(
    view: View, groups: Iterable[Iterable[int]], settings: CoordinationSettings, seed: int, acted_upon: ActedUpon,
    keys: Callable[[int], str],
) -> AccountGraph:  # fmt: skip
    """The graph of a window.

    Args:
        view: the window in name order.
        groups: rows of the members of groups under test, who are always candidates.
        settings, seed: as for proposals.
        acted_upon: whom an object belongs to.
        keys: object of a slot.
    """
    found = exceed(view, coarse(view, settings, seed), settings)
    n = len(view.rows)
    soft = found.edges
    z, expected = residuals(view.pairs, found.model)
    pair = np.searchsorted(soft.a * n + soft.b, view.pairs.a * n + view.pairs.b)
    known = np.minimum(pair, max(len(soft.a) - 1, 0))
    kept = (z > 0) & (pair < len(soft.a)) & (view.pairs.kind < MODELLED_KINDS)
    if len(soft.a):
        kept &= (soft.a[known] == view.pairs.a) & (soft.b[known] == view.pairs.b)
    pair, kind = pair[kept], view.pairs.kind[kept]
    z, expected = z[kept], (expected[kept] / found.model.unit[kind])
    candidate = _candidates(view, soft, groups)
    closed = _closed(soft, n)
    features = _structure(view, soft, pair, kind, z, closed)
    mine = _strongest(soft, n)  # (2 m,) of both directions: whether the target keeps that edge
    hashed = np.array([int.from_bytes(blake2b(x.encode(), digest_size=8).digest(), "little") for x in view.names], "u8")
    acts = _interactions(view, acted_upon, keys, hashed)
    source = np.r_[soft.b[pair], soft.a[pair], acts.source]
    target = np.r_[soft.a[pair], soft.b[pair], acts.target]
    relation = np.r_[kind, kind, MODELLED_KINDS + acts.relation]
    near = np.r_[mine[pair], mine[len(soft.a) + pair], np.ones(len(acts.source), bool)]
    wanted = candidate.copy()
    wanted[source[near & candidate[target]]] = True
    near &= wanted[target]
    taken = np.flatnonzero(near[: 2 * len(pair)])
    used = np.unique(taken % max(len(pair), 1))
    shared = _shared(view, soft, pair[used], kind[used])
    place = np.zeros(len(pair), np.int64)
    place[used] = np.arange(len(used))
    edge = np.zeros((len(source), EDGE_FEATURES))
    both = np.r_[np.arange(len(pair)), np.arange(len(pair))]
    edge[: len(both), 0] = (z / (2.0 + z))[both]
    edge[: len(both), 1] = (expected / (1.0 + expected))[both]
    if len(used):
        edge[: len(both), 2:5] = shared[place[both]]
    edge[: len(both), 5] = (closed / (2.0 + closed))[pair[both]]
    edge[len(both) :, :2] = acts.edge
    order = np.flatnonzero(near)
    order = order[np.lexsort((source[order], relation[order], target[order]))]
    return AccountGraph(
        view.rows, view.names, features, candidate, source[order], target[order], relation[order], on_grid(edge[order])
    )


def _candidates(view: View, soft: SoftEdges, groups: Iterable[Iterable[int]]) -> NDArray[np.bool_]:
    n = len(view.rows)
    strength = np.zeros(n, np.int64)
    np.maximum.at(strength, soft.a, soft.weight)
    np.maximum.at(strength, soft.b, soft.weight)
    member = np.zeros(n, bool)
    for rows in groups:
        member[view.ranks(list(rows))] = True
    candidate = member | (strength >= STRONG_MILLINATS)
    if candidate.sum() > MAX_CANDIDATES:
        order = np.lexsort((np.arange(n), -strength, ~member))
        candidate[order[MAX_CANDIDATES:]] = False
    return candidate


def _strongest(soft: SoftEdges, n: int) -> NDArray[np.bool_]:
    """Whether the first end keeps each edge, then whether the second does, shape (2 m,)."""
    ends, others = np.r_[soft.a, soft.b], np.r_[soft.b, soft.a]
    order = np.lexsort((others, -np.r_[soft.weight, soft.weight], ends))
    first = np.searchsorted(ends[order], np.arange(n))
    kept = np.zeros(len(ends), bool)
    kept[order] = np.arange(len(ends)) - first[ends[order]] < SOFT_FANOUT
    return kept


def _closed(soft: SoftEdges, n: int) -> FloatArray:
    """(m,) how strongly the ends of each soft edge share neighbours: the sum over these of the product of both edges,
    each cut to w / (1 + w) in nats."""
    share = np.rint(1024.0 * soft.weight / (1000.0 + soft.weight)) / 1024.0  # coarse, so that sums are exact
    matrix = csr_matrix((np.r_[share, share], (np.r_[soft.a, soft.b], np.r_[soft.b, soft.a])), shape=(n, n))
    if not len(soft.a):
        return np.zeros(0)
    parts = [
        np.asarray(matrix[soft.a[i : i + _ROWS]].multiply(matrix[soft.b[i : i + _ROWS]]).sum(axis=1)).ravel()
        for i in range(0, len(soft.a), _ROWS)
    ]
    out: FloatArray = np.concatenate(parts)
    return out


_ROWS: Final = 65_536
"""Edges whose neighbours are compared at once."""


def _structure(
    view: View, soft: SoftEdges, pair: IntArray, kind: IntArray, z: FloatArray, closed: FloatArray
) -> FloatArray:
    """(n, STRUCTURE) ranks among accounts of like activity."""
    n = len(view.rows)
    raw = np.zeros((n, STRUCTURE))
    millinats = np.rint(z * 1000)
    for end in (soft.a[pair], soft.b[pair]):
        raw[:, :MODELLED_KINDS] += np.bincount(end * MODELLED_KINDS + kind, millinats, n * MODELLED_KINDS).reshape(
            n, MODELLED_KINDS
        )
    np.maximum.at(raw[:, MODELLED_KINDS], soft.a, soft.weight)
    np.maximum.at(raw[:, MODELLED_KINDS], soft.b, soft.weight)
    whole = np.rint(closed * GRID)
    raw[:, MODELLED_KINDS + 1] = np.bincount(soft.a, whole, n) + np.bincount(soft.b, whole, n)
    return stratified_ranks(raw, view.counts.sum(axis=1))


def stratified_ranks(values: FloatArray, activity: IntArray) -> FloatArray:
    """Mid-rank in (0, 1) of each value among accounts of like activity, column by column, shape of `values`.

    Strata are the powers of two of `activity`, the small ones merged upwards until `MIN_STRATUM` accounts share one.
    """
    level = np.floor(np.log2(np.maximum(activity, 1))).astype(np.int64)
    size = np.bincount(level, minlength=1)
    merged, number, inside = np.zeros(len(size), np.int64), 0, 0
    for i, count in enumerate(size.tolist()):
        merged[i] = number
        inside += count
        if inside >= MIN_STRATUM:
            number, inside = number + 1, 0
    if inside and number:
        merged[merged == number] = number - 1
    stratum = merged[level]
    out = np.empty_like(values)
    for j in range(values.shape[1]):
        order = np.lexsort((values[:, j], stratum))
        value, group = values[order, j], stratum[order]
        fresh = np.flatnonzero(np.r_[True, (value[1:] != value[:-1]) | (group[1:] != group[:-1])])
        count = np.diff(np.r_[fresh, len(order)])
        begin = np.searchsorted(group, group[fresh])
        total = np.searchsorted(group, group[fresh], side="right") - begin
        out[order, j] = np.repeat((fresh - begin + count / 2) / total, count)
    return on_grid(out)


class _Acts(NamedTuple):
    source: IntArray
    target: IntArray
    relation: IntArray
    edge: FloatArray


def _interactions(view: View, acted_upon: ActedUpon, keys: Callable[[int], str], hashed: NDArray[np.uint64]) -> _Acts:
    """Interactions from both ends, at most `INTERACTION_FANOUT` partners of each account and kind."""
    n = len(view.rows)
    rank_of = {name: rank for rank, name in enumerate(view.names)}
    slots, first, inverse = np.unique(view.slot, return_index=True, return_inverse=True)
    whom, how = np.full(len(slots), -1, np.int64), np.zeros(len(slots), np.int64)
    for i, (slot, kind) in enumerate(zip(slots.tolist(), view.kind[first].tolist(), strict=True)):
        act = acted_upon(kind, keys(slot))
        if act is not None:
            how[i], whom[i] = act[0], rank_of.get(act[1], -1)
    other, relation = whom[inverse], how[inverse]
    real = (other >= 0) & (other != view.rank)
    code, count = np.unique((relation[real] * n + view.rank[real]) * n + other[real], return_counts=True)
    back = code // (n * n) * n * n + code % n * n + code // n % n
    codes = np.union1d(code, back)  # both directions of every pair that acted either way
    out, into = _counts(codes, code, count), _counts(codes, back, count)
    relation, source, target = codes // (n * n), codes % n, codes // n % n
    mix = (hashed[target] * np.uint64(0x9E3779B97F4A7C15)) ^ (hashed[source] * np.uint64(0xC2B2AE3D27D4EB4F))
    order = np.lexsort((source, mix, relation, target))
    cell = (target * len(INTERACTIONS) + relation)[order]
    start = np.searchsorted(cell, cell)
    keep = np.zeros(len(codes), bool)
    keep[order] = np.arange(len(codes)) - start < INTERACTION_FANOUT
    both = out + into
    edge = np.stack((both / (1.0 + both), np.minimum(out, into) / np.maximum(np.maximum(out, into), 1.0)), axis=1)
    return _Acts(source[keep], target[keep], relation[keep], edge[keep])


def _counts(wanted: IntArray, code: IntArray, count: IntArray) -> FloatArray:
    """The count of each of `wanted`, 0 for those that are not among `code` (any order, no repeats)."""
    out = np.zeros(len(wanted))
    out[np.searchsorted(wanted, code)] = count
    return out


def _shared(view: View, soft: SoftEdges, pair: IntArray, kind: IntArray) -> FloatArray:
    """(closeness in time, rarity, number) of the objects that the ends of each (pair, kind) share, in [0, 1], (p, 3).

    Closeness is 1 / (1 + m / 10 min) of the median lag m; rarity the mean information in the objects, against the
    rarest there could be; of k objects the number is k / (1 + k). 0 where they share none within the kind's window.
    """
    n, objects = len(view.rows), int(view.slot.max(initial=0)) + 1
    key, first = np.unique(view.rank * objects + view.slot, return_index=True)
    at, slot, kinds = view.at[first], view.slot[first], view.kind[first]
    begin = np.searchsorted(key, np.arange(n + 1) * objects)
    size = np.bincount(slot, minlength=objects)
    a, b = soft.a[pair], soft.b[pair]
    count = np.diff(begin)
    a, b = np.where(count[a] <= count[b], a, b), np.where(count[a] <= count[b], b, a)
    each = count[a]
    edge = np.repeat(np.arange(len(pair)), each)
    mine = np.arange(len(edge)) - np.repeat(np.cumsum(each) - each, each) + begin[a][edge]
    plain = np.where(kind == FAST_REPOST, REPOST, kind)
    right = kinds[mine] == plain[edge]
    edge, mine = edge[right], mine[right]
    wanted = b[edge] * objects + slot[mine]
    theirs = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    lag = np.abs(at[theirs] - at[mine])
    met = (key[theirs] == wanted) & (lag <= np.array(EDGE_WINDOW_MS)[plain[edge]])
    edge, mine, lag = edge[met], mine[met], lag[met]
    order = np.lexsort((lag, edge))
    shared = np.bincount(edge, minlength=len(pair))
    start = np.cumsum(shared) - shared
    close, rarity = np.zeros(len(pair)), np.zeros(len(pair))
    some = np.flatnonzero(shared)
    median = lag[order][start[some] + (shared[some] - 1) // 2]
    close[some] = 1.0 / (1.0 + median / SYNCHRONY_MS)
    information = on_grid(np.log1p(n / size[slot[mine]]) / np.log1p(n / 2))
    rarity[some] = np.minimum(np.bincount(edge, information, len(pair))[some] / shared[some], 1.0)
    return np.stack((close, rarity, shared / (1.0 + shared)), axis=1)


def within_stratum_rank(
    own: NDArray[np.float64], speaks: NDArray[np.bool_], posts: NDArray[Any], language: NDArray[Any]
) -> NDArray[np.float64]:
    """Twice the mid-rank less one, in (-1, 1), of each account that speaks; 0 for the others.

    Args:
        own: text and behaviour evidence, nats, shape (n,).
        speaks: whether text gave evidence, shape (n,).
        posts: texts of each account, shape (n,); accounts are compared within powers of two of it.
        language: code of the main language, shape (n,); languages of fewer than `MIN_STRATUM` accounts are compared
            with each other.
    """
    out = np.zeros(len(own))
    codes, place = np.unique(language, return_inverse=True)
    spoken = np.bincount(place[speaks], minlength=len(codes))
    population = np.where(spoken >= MIN_STRATUM, np.arange(1, len(codes) + 1), 0)[place]
    for number in np.unique(population[speaks]):
        mine = np.flatnonzero(speaks & (population == number))
        ranks = stratified_ranks(own[mine, None], posts[mine].astype(np.int64))[:, 0]
        out[mine] = 2.0 * ranks - 1.0
    return out
