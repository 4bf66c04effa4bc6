"""Groups among all accounts: those that meet on several objects, and far more often than their activity explains.

Two accounts are *tied* that coincide on `MIN_OBJECTS` objects and are surprising by `MIN_NATS` in sum. What counts is
how far a tie exceeds w_i w_j / W, with w an account's surprise summed over all others and W that of everybody: accounts
that do much meet much (a configuration model, Newman & Girvan 2004). In each community of the network of excesses
(Leiden) the densest part is found by taking away the most weakly tied account again and again and keeping the best that
came by (Charikar 2000); what is left is searched again. So a group holds whoever is tied to it at least half as
strongly as its members are on average, and a large loose community hides no tight group.

Groups are compared by a contrast: what ties a member to the others beyond what their activity explains, over what ties
it to as many outsiders, those it is tied to most. In a community whom one meets fades out slowly, so that a circle of
friends cut out of it has a contrast of one to two however much its members meet, on a small platform as on a large one;
those who act together meet each other and hardly anybody else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.coincidences import Uses, meetings
from graph.groups import MAX_SIZE, MILLINATS, MIN_SIZE, Proposal, communities

MIN_OBJECTS: Final = 3
"""Different objects that two accounts must coincide on to be tied, where all accounts are searched."""

MIN_NATS: Final = 8.0
"""Surprise (nats) of a tie there: three objects of six nats at most, met on by chance, hardly reach it."""

PRIOR_NATS: Final = 1.0
"""Added to what ties a member to an outsider: who has met nobody else yet may still."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Neighbours = dict[int, dict[int, int]]
"""Account -> whom it is tied to -> by how much the tie exceeds what is expected, whole millinats."""


class Ties(NamedTuple):
    """Pairs of accounts that meet, m of them.

    Args:
        a, b: places of the accounts, a < b, sorted, shape (m,).
        nats: surprise of their meetings, shape (m,).
        objects: on how many objects, shape (m,).
        activity: surprise of all meetings of each account, shape (accounts,).
    """

    a: Ints
    b: Ints
    nats: Floats
    objects: Ints
    activity: Floats

    def tied(self) -> Ties:
        """Those that meet on several objects, and surprisingly."""
        kept = np.flatnonzero((self.objects >= MIN_OBJECTS) & (self.nats >= MIN_NATS))
        return Ties(self.a[kept], self.b[kept], self.nats[kept], self.objects[kept], self.activity)


def ties(uses: Uses, accounts: int, now_ms: int | None) -> Ties:
    """The pairs that `uses` show.

    Args:
        uses: of objects, whose meetings count.
        accounts: how many there are.
        now_ms: as of when they are weighed; where None, meetings of long ago count as those of today.
    """
    a, b, nats = meetings(uses, accounts, now_ms)
    code = a * accounts + b
    order = np.argsort(code, kind="stable")
    code, nats = code[order], nats[order]
    starts = np.flatnonzero(np.r_[True, code[1:] != code[:-1]]) if len(code) else np.zeros(0, np.int64)
    total: Floats = np.add.reduceat(nats, starts).astype(np.float64) if len(code) else nats
    objects = np.diff(np.r_[starts, len(code)])
    a, b = code[starts] // max(accounts, 1), code[starts] % max(accounts, 1)
    activity = (np.bincount(a, total, accounts) + np.bincount(b, total, accounts)).astype(np.float64)
    return Ties(a, b, total, objects, activity)


def dense_groups(found: Ties, seed: int) -> list[Proposal]:
    """The groups that ties hold together, best first.

    Args:
        found: all pairs that meet.
        seed: of the communities.
    """
    accounts = len(found.activity)
    everything = max(float(found.activity.sum()), 1e-9)
    tied = found.tied()
    explained = tied.activity[tied.a] * tied.activity[tied.b] / everything
    excess = np.floor((tied.nats - explained) * MILLINATS).astype(np.int64)
    kept = np.flatnonzero(excess >= 1)
    a, b, excess = tied.a[kept], tied.b[kept], excess[kept]
    if not len(kept):
        return []
    label = communities(a, b, excess.astype(np.float64), accounts, seed)
    inside = label[a] == label[b]
    near = _neighbours(a[inside], b[inside], excess[inside])
    members: list[list[int]] = []
    waiting = _parts(near, near)
    while waiting:
        part = waiting.pop()
        if len(part) < MIN_SIZE:
            continue
        core = _densest(part, near)
        members += [piece for piece in _parts(core, near) if len(piece) >= MIN_SIZE]
        inner = set(core)
        waiting += _parts([one for one in part if one not in inner], near)
    members = _joined(members, _neighbours(a, b, excess))
    return sorted(_proposals(members, found), key=lambda g: (-g.statistic, sorted(g.members)))


def _neighbours(a: Ints, b: Ints, weight: Ints) -> Neighbours:
    near: Neighbours = {}
    for one, two, tie in zip(a.tolist(), b.tolist(), weight.tolist(), strict=True):
        near.setdefault(one, {})[two] = tie
        near.setdefault(two, {})[one] = tie
    return near


def _parts(accounts: Iterable[int], near: Neighbours) -> list[list[int]]:
    """The connected parts of some accounts, each ascending, by their first."""
    left = set(accounts)
    out: list[list[int]] = []
    for first in sorted(left):
        if first not in left:
            continue
        left.discard(first)
        part, edge = [first], [first]
        while edge:
            fresh = near[edge.pop()].keys() & left
            left -= fresh
            part += fresh
            edge += fresh
        out.append(sorted(part))
    return out


def _densest(part: Sequence[int], near: Neighbours) -> list[int]:
    """The accounts whose mean tie to each other, summed by member, is largest, by taking the weakest away in turn."""
    left = set(part)
    strength = {one: sum(tie for other, tie in near[one].items() if other in left) for one in part}
    total, taken = sum(strength.values()), list[int]()
    heap = [(tie, one) for one, tie in strength.items()]
    heapq.heapify(heap)
    kept, best = 0, total / len(left)
    while len(left) > MIN_SIZE:
        tie, one = heapq.heappop(heap)
        if one not in left or tie != strength[one]:
            continue  # superseded by a weaker one
        left.discard(one)
        taken.append(one)
        for other, weight in near[one].items():
            if other in left:
                strength[other] -= weight
                total -= 2 * weight
                heapq.heappush(heap, (strength[other], other))
        if total / len(left) >= best:
            best, kept = total / len(left), len(taken)
    gone = set(taken[:kept])
    return [one for one in part if one not in gone]


def _joined(members: Sequence[Sequence[int]], near: Neighbours) -> list[list[int]]:
    """The groups with those who are in none and tied to one at least half as strongly as its members are on average.

    Communities are cut once and for all, and now and then cut a member off. The group that one is tied to most counts.
    """
    group = {one: number for number, each in enumerate(members) for one in each}
    mean = [_ties_within(each, near) / len(each) for each in members]
    out = [list(each) for each in members]
    for one in sorted(near.keys() - group.keys()):
        tied: dict[int, int] = {}
        for other, tie in near[one].items():
            if other in group:
                tied[group[other]] = tied.get(group[other], 0) + tie
        best = max(tied, key=lambda number: (tied[number], -number), default=-1)
        if best >= 0 and 2 * tied[best] >= mean[best]:
            out[best].append(one)
    return [sorted(each) for each in out]


def _ties_within(each: Sequence[int], near: Neighbours) -> int:
    """The ties of a group's members to each other, each from both ends: looks at ties, not at all pairs of a crowd."""
    inside = set(each)
    return sum(tie for one in each for other, tie in near[one].items() if other in inside)


def _proposals(members: Sequence[Sequence[int]], found: Ties) -> list[Proposal]:
    """Groups as proposals.

    Args:
        members: of each group, of whom none is in two.
        found: all pairs that meet.
    """
    accounts = len(found.activity)
    group = np.full(accounts, -1, np.int64)
    for number, each in enumerate(members):
        group[list(each)] = number
    one, other = np.r_[found.a, found.b], np.r_[found.b, found.a]
    mine = np.flatnonzero(group[one] >= 0)
    one, other = one[mine], other[mine]
    explained = found.activity[one] * found.activity[other] / max(float(found.activity.sum()), 1e-9)
    nats = np.maximum(np.r_[found.nats, found.nats][mine] - explained, 0.0)
    inside = group[one] == group[other]
    strength = np.bincount(one[inside], nats[inside], accounts)
    nearest = _nearest(one[~inside], nats[~inside], group, members)
    out = []
    for each in members:
        places = np.array(each, np.int64)
        mean = strength[places] / (len(each) - 1)
        outsiders = max(min(len(each) - 1, accounts - len(each)), 1)
        contrast = float(mean.mean()) / (float(nearest[places].mean()) / outsiders + PRIOR_NATS)
        order = np.lexsort((places, -mean))[:MAX_SIZE]
        out.append(Proposal(places[order].tolist(), mean[order].tolist(), contrast))
    return out


def _nearest(account: Ints, nats: Floats, group: Ints, members: Sequence[Sequence[int]]) -> Floats:
    """What ties each member of a group to as many outsiders as it has mates, those it is tied to most, nats in sum.

    Args:
        account: at one end of ties to outsiders, shape (m,).
        nats: of those ties, shape (m,).
        group: of each account, -1 for none.
        members: of each group.
    """
    order = np.lexsort((-nats, account))
    account, nats = account[order], nats[order]
    starts = np.flatnonzero(np.r_[True, account[1:] != account[:-1]]) if len(account) else np.zeros(0, np.int64)
    rank = np.arange(len(account)) - np.repeat(starts, np.diff(np.r_[starts, len(account)]))
    mates = np.array([len(each) - 1 for each in members], np.int64)
    near = rank < mates[group[account]]
    return np.bincount(account[near], nats[near], len(group)).astype(np.float64)
