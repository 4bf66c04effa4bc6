"""Soft edges: how much more two accounts met than their activity, the objects' popularity and their community explain.

Meetings are pairs of touches of one object near each other in time. For each kind, with meeting weights w, account
degrees d_i = sum of w over i's meetings and total T, a pair's expectation is d_i d_j / (2 T) times the ratio at which
the accounts' coarse communities meet (a degree-corrected block model, Karrer & Newman 2011). Degrees are sums over
the meetings that were kept, so what the caps drop is dropped from the expectation too. The residual is
z = (observed - expected) / sd, with one meeting's variance added, so that two silent accounts who meet once score
about one and not a hundred.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.touches import (
    FAST_REPOST_MS,
    HOUR_MS,
    KIND_WEIGHT,
    KINDS,
    SYNCHRONY_MS,
    TOUCH_KINDS,
    CoordinationSettings,
    TraceKind,
)

EDGE_WINDOW_MS: Final[tuple[int, ...]] = (
    48 * HOUR_MS,  # LINK: an operator's link is spread over its campaign, drop by drop; strangers' links die in hours
    1 * HOUR_MS,  # DOMAIN: everybody meets on large domains within a day
    48 * HOUR_MS,  # HASHTAGS: as links
    24 * HOUR_MS,  # REPOST: posts are worked off within a day
    24 * HOUR_MS,  # REPLY_TARGET
    24 * HOUR_MS,  # QUOTE
    1 * HOUR_MS,  # MENTION: well-known accounts are mentioned all the time
    48 * HOUR_MS,  # NEAR_DUPLICATE: the same words by chance are rare at any lag
    24 * HOUR_MS,  # INTERACTION
)
"""How long after each other two accounts may touch an object and still have met, by kind of touch. Longer than the
windows of the bets: a soft edge only proposes, and members of slow campaigns meet hours apart. Meetings in step weigh
up to twice as much (`SYNCHRONY_MS`)."""

MIN_BLOCK: Final = 50
"""Smallest community that may have an affinity of its own: in a smaller one a campaign would explain itself away."""

MAX_AFFINITY: Final = 20.0
"""Largest factor that affinity may put on an expectation; estimates beyond it come from a handful of meetings."""

PRIOR_MEETINGS: Final = 5.0
"""Meetings of prior weight at affinity 1, so that communities which hardly meet do not get an extreme one."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def distinct(values: IntArray) -> IntArray:
    """The different values, ascending: `np.unique` by sorting, much faster than its hash table on short arrays."""
    ordered = np.sort(values)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


class Meetings(NamedTuple):
    """Pairs of touches of one object, one row each: ranks a < b, kind, weight, shape (n,)."""

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
        degree: weight of each account's meetings, shape (kinds, accounts).
        total: sum of weights of meetings, shape (kinds,).
        unit: mean weight of a meeting weighted by weight, shape (kinds,): variance per expected weight.
        block: coarse community of each account, shape (accounts,).
        affinity: observed over expected weight between communities, shape (kinds, blocks, blocks).
    """

    degree: FloatArray
    total: FloatArray
    unit: FloatArray
    block: IntArray
    affinity: FloatArray

    def of(self, kind: int, a: IntArray, b: IntArray) -> FloatArray:
        """Expected weight between accounts a and b, which broadcast."""
        scale = 2.0 * max(float(self.total[kind]), 1e-12)
        degree = self.degree[kind]
        out: FloatArray = degree[a] * degree[b] / scale * self.affinity[kind, self.block[a], self.block[b]]
        return out


def meetings(
    at: IntArray, rank: IntArray, slot: IntArray, kind_of_slot: IntArray, now_ms: int, settings: CoordinationSettings
) -> Meetings:
    """All meetings in a window.

    Args:
        at, rank, slot: touches in event order, shape (n,); `rank` is the account's position in name order.
        kind_of_slot: kind of each object, shape (slots,).
        now_ms: weights decay with `settings.half_life_ms` before this.
    """
    parts: list[Meetings] = []
    kinds = kind_of_slot[slot]
    for kind in range(TOUCH_KINDS):
        mine = np.flatnonzero(kinds == kind)
        if len(mine) >= 2:
            parts.append(_of_kind(kind, at[mine], rank[mine], slot[mine], now_ms, settings))
    return concatenate(parts)


def _of_kind(
    kind: int, at: IntArray, rank: IntArray, slot: IntArray, now_ms: int, settings: CoordinationSettings
) -> Meetings:
    # Each account's first touch of an object, then touches of one object in (time, name) order.
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
    out: list[Meetings] = []
    for gap in range(1, gaps + 1):
        left = np.flatnonzero((slot[gap:] == slot[:-gap]) & (at[gap:] - at[:-gap] <= window))
        if not len(left):
            break
        right = left + gap
        lag = (at[right] - at[left]).astype(np.float64)
        synchrony = 0.5 + 0.5 * np.exp(-lag / SYNCHRONY_MS)
        decay = np.exp2((at[right] - now_ms) / float(settings.half_life_ms))
        fast = (kind == TraceKind.REPOST) & (lag <= FAST_REPOST_MS)
        out.append(
            Meetings(
                np.minimum(rank[left], rank[right]),
                np.maximum(rank[left], rank[right]),
                np.asarray(np.where(fast, int(TraceKind.FAST_REPOST), kind), np.int64),
                np.asarray(share[left] * synchrony * decay, np.float64),
            )
        )
    return concatenate(out)


def concatenate(parts: list[Meetings]) -> Meetings:
    """The meetings of all parts, in their order."""
    if not parts:
        empty = np.zeros(0, np.int64)
        return Meetings(empty, empty, empty, np.zeros(0))
    return Meetings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _gaps(size: IntArray, settings: CoordinationSettings) -> int:
    """How many neighbours in time each touch is paired with, so that the pairs stay within the budget."""
    gaps = settings.neighbours
    while gaps > 1 and int(np.minimum(size - 1, gaps).sum()) > settings.pair_budget:
        gaps //= 2
    return gaps


def sum_pairs(met: Meetings, accounts: int) -> Meetings:
    """Meetings added up per (kind, a, b), in that order."""
    key = (met.kind * accounts + met.a) * accounts + met.b
    unique, inverse = np.unique(key, return_inverse=True)
    weight: FloatArray = np.bincount(inverse, weights=met.weight, minlength=len(unique)).astype(np.float64)
    pair = unique % (accounts * accounts)
    return Meetings(pair // accounts, pair % accounts, unique // (accounts * accounts), weight)


def expectation(met: Meetings, block: IntArray) -> Expectation:
    """The expectation that `met` (not yet added up per pair) implies.

    Args:
        block: coarse community of each account by rank, 0 for none, shape (accounts,).
    """
    accounts, blocks = len(block), int(block.max(initial=0)) + 1
    degree = np.zeros((KINDS, accounts))
    total, unit = np.zeros(KINDS), np.ones(KINDS)
    affinity = np.ones((KINDS, blocks, blocks))
    for kind in range(KINDS):
        mine = met.kind == kind
        if not mine.any():
            continue
        a, b, weight = met.a[mine], met.b[mine], met.weight[mine]
        degree[kind] = np.bincount(a, weight, accounts) + np.bincount(b, weight, accounts)
        total[kind] = weight.sum()
        unit[kind] = np.square(weight).sum() / total[kind]
        observed = np.bincount(block[a] * blocks + block[b], weight, blocks * blocks).reshape(blocks, blocks)
        observed = observed + observed.T  # each meeting seen from both ends
        by_block = np.bincount(block, degree[kind], blocks)
        ought = np.outer(by_block, by_block) / (2.0 * total[kind])
        smooth = PRIOR_MEETINGS * unit[kind]
        affinity[kind] = np.clip((observed + smooth) / (ought + smooth), 1 / MAX_AFFINITY, MAX_AFFINITY)
    return Expectation(degree, total, unit, block, affinity)


def residuals(pairs: Meetings, model: Expectation) -> tuple[FloatArray, FloatArray]:
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
        known = model.affinity[kind]
        weight = np.multiply.outer(degree * scale, degree)
        weight *= known[its[0], its[0]] if one else known[its[:, None], its[None, :]]
        if some:
            out[busy[:, None], busy] += weight
        else:
            out += weight
    return out


def soft_edges(pairs: Meetings, z: FloatArray, accounts: int, top: int) -> SoftEdges:
    """Positive residuals added over kinds, each account's `top` largest kept (by either end); unfiltered."""
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
