"""Proposed groups: dense cores of the communities of soft edges, and the coarse communities they lie in.

`propose` takes a view with its soft edges and gives the groups to be tested, strongest first, and the `ControlSet` that
they are compared with. Communities are found by Leiden (Traag et al. 2019) with one thread and a fixed seed on accounts
in name order with whole-number weights, and numbered by their first member, so equal edges give equal groups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Final, NamedTuple

import graspologic_native
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from graph.coincidences import MIN_BLOCK, NO_BLOCK, Expectation, Residuals, SoftEdges, View, absent, distinct, exceed
from graph.groups import CONTINUE_JACCARD, ControlSet
from graph.traces import KIND_TABLE, CoordinationSettings

LEIDEN_ITERATIONS: Final = 2
"""Passes of local moving, refinement and aggregation; the second settles nearly all nodes."""

CORE_SHARE: Final = 0.5
"""A further core of one community must be at least this dense, against the first: looser rests are no group."""

DENSE_LIMIT: Final = 1500
"""Accounts of one community that are peeled, the strongest: a dense matrix of them takes 18 MB."""

JOIN_SHARE: Final = 0.35
"""Who is tied to a core this much as well as its members are to each other belongs to it: the densest part of a group
is its busiest, and leaves out members who took part in less."""

MAX_CORES: Final = 8
"""Cores taken from one community: each costs a pass over what is left of it."""

IntArray = NDArray[np.int64]


def leiden(edges: SoftEdges, accounts: int, resolution: float, seed: int) -> IntArray:
    """Community of each account, shape (accounts,); -1 for accounts without an edge; numbered by first member.

    Args:
        edges: with whole-number weights.
        accounts: how many there are.
        resolution: of modularity.
        seed: of the local moves.
    """
    community = np.full(accounts, -1, np.int64)
    if not len(edges.a):
        return community
    nodes = np.unique(np.r_[edges.a, edges.b])
    a, b = np.searchsorted(nodes, edges.a), np.searchsorted(nodes, edges.b)
    data = edges.weight.astype(np.float64)
    matrix = csr_matrix((np.r_[data, data], (np.r_[a, b], np.r_[b, a])), shape=(len(nodes), len(nodes)))
    matrix.sort_indices()
    _, found = graspologic_native.leiden_csr(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data,
        len(nodes),
        resolution=resolution,
        iterations=LEIDEN_ITERATIONS,
        seed=seed,
    )
    raw = np.array([found[i] for i in range(len(nodes))], np.int64)
    _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    community[nodes] = np.argsort(np.argsort(first))[inverse]
    return community


def merge_small(community: IntArray, edges: SoftEdges, least: int) -> IntArray:
    """The communities with each that has fewer than `least` accounts merged, smallest first, into the one it has most
    edge weight with; -1 where none is large enough in the end. Renumbered from 0 by first member, shape (accounts,).

    Args:
        community: of each account, -1 for none, shape (accounts,).
        edges: between accounts.
        least: accounts that a community has to have.
    """
    names, counts = np.unique(community[community >= 0], return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    ties = _ties(community, edges)
    into: dict[int, int] = {}
    small = [(n, name) for name, n in size.items() if n < least]
    heapify(small)
    while small:
        n, name = heappop(small)
        if size.get(name) != n:  # it was merged, or has grown
            continue
        del size[name]
        others = ties.pop(name, {})
        # The one it is tied to best, the first of equals.
        home = into[name] = min(others, key=lambda other: (-others[other], other), default=-1)
        if home < 0:
            continue
        size[home] += n
        if size[home] < least:
            heappush(small, (size[home], home))
        for other, weight in others.items():
            del ties[other][name]
            if other != home:
                ties[home][other] = ties[other][home] = ties[home].get(other, 0) + weight
    label = community.copy()
    for name in into:
        home = name
        while home in into:
            home = into[home]
        label[community == name] = home
    found, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(np.where(found < 0, -1, first)))
    return np.asarray(order[inverse] - int((found < 0).any()), np.int64)


def _ties(community: IntArray, edges: SoftEdges) -> dict[int, dict[int, int]]:
    """Weight between each two communities that have an edge: ties[a][b] == ties[b][a]."""
    x, y = community[edges.a], community[edges.b]
    across = np.flatnonzero((x != y) & (x >= 0) & (y >= 0))
    x, y = np.minimum(x, y)[across], np.maximum(x, y)[across]
    many = int(community.max(initial=0)) + 1
    pairs, inverse = np.unique(x * many + y, return_inverse=True)
    weights = np.bincount(inverse, edges.weight[across], len(pairs)).astype(np.int64)
    ties: dict[int, dict[int, int]] = {}
    for pair, weight in zip(pairs.tolist(), weights.tolist(), strict=True):
        a, b = divmod(pair, many)
        ties.setdefault(a, {})[b] = ties.setdefault(b, {})[a] = weight
    return ties


def cores(
    edges: SoftEdges, community: IntArray, model: Expectation, min_size: int, max_size: int
) -> list[tuple[int, IntArray]]:
    """Dense cores of the communities: (strength in millinats, sorted members), strongest first, disjoint.

    Strength is the residual inside a core: its soft edges less what its other pairs were expected to meet and did not.
    Without the second half a whole community of people would be its own densest core. Greedy peeling (Charikar 2000):
    take away the account with the least strength inside until nothing is left; the core is the set at which strength
    per member was largest. The rest is peeled again, until what is found is less than half as dense as the first core.

    Args:
        edges: soft edges.
        community: of each account, shape (accounts,).
        model: what pairs were expected to weigh.
        min_size: of a core.
        max_size: of a core; larger ones are left out.
    """
    inside = np.flatnonzero(community[edges.a] == community[edges.b])
    order = inside[np.argsort(community[edges.a[inside]], kind="stable")]
    label = community[edges.a[order]]
    cuts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(label) else np.zeros(0, np.int64)
    found: list[tuple[int, IntArray]] = []
    for start, stop in pairwise([*cuts.tolist(), len(order)]):
        part = order[start:stop]
        found += _cores_of(SoftEdges(edges.a[part], edges.b[part], edges.weight[part]), model, min_size)
    found = [core for core in found if len(core[1]) <= max_size]
    return sorted(found, key=lambda core: (-core[0], core[1].tolist()))


def _cores_of(edges: SoftEdges, model: Expectation, min_size: int) -> list[tuple[int, IntArray]]:
    ranks = distinct(np.r_[edges.a, edges.b])
    if len(ranks) > DENSE_LIMIT:
        strength = np.bincount(np.r_[edges.a, edges.b], np.r_[edges.weight, edges.weight])
        ranks = np.sort(ranks[np.lexsort((ranks, -strength[ranks]))[:DENSE_LIMIT]])
        kept = np.isin(edges.a, ranks) & np.isin(edges.b, ranks)
        edges = SoftEdges(edges.a[kept], edges.b[kept], edges.weight[kept])
    missed = absent(model, ranks)
    missed *= -1000.0
    matrix = np.rint(missed, out=missed).astype(np.int64)
    a, b = np.searchsorted(ranks, edges.a), np.searchsorted(ranks, edges.b)
    matrix[a, b] = matrix[b, a] = edges.weight
    np.fill_diagonal(matrix, 0)
    found: list[tuple[int, IntArray]] = []
    floor = 0.0
    left = np.arange(len(ranks))
    for _ in range(MAX_CORES):
        if len(left) < min_size:
            break
        rest = matrix if len(left) == len(ranks) else matrix[np.ix_(left, left)]
        core, strength_inside = _expand(rest, *_densest(rest, min_size))
        density = strength_inside / len(core)
        if strength_inside <= 0 or density < floor:
            break
        floor = floor or CORE_SHARE * density
        found.append((strength_inside, ranks[left[core]]))
        left = np.delete(left, core)
    return found


def _expand(matrix: IntArray, core: IntArray, inner: int) -> tuple[IntArray, int]:
    """The core and all who are tied to it `JOIN_SHARE` as well as its members to each other, the best first."""
    size = len(core)
    inside = np.zeros(len(matrix), bool)
    inside[core] = True
    ties = matrix[core].sum(axis=0)
    for _ in range(size):
        best = int(np.where(inside, np.iinfo(np.int64).min, ties).argmax())
        if inside[best] or ties[best] * (size - 1) < JOIN_SHARE * 2 * inner:
            break
        inside[best] = True
        inner += int(ties[best])
        ties = ties + matrix[best]
        size += 1
    return np.flatnonzero(inside), inner


def _densest(matrix: IntArray, min_size: int) -> tuple[IntArray, int]:
    """(places, strength inside) of the peeling step with the largest strength per member, of at least `min_size`."""
    n = len(matrix)
    gone = np.iinfo(np.int64).max // 2  # what is taken off it later does not bring it back
    degree = matrix.sum(axis=1)
    inner = int(degree.sum()) // 2
    order: list[int] = []
    best, best_step, best_inner = -np.inf, 0, 0
    for step in range(n - min_size + 1):
        density = inner / (n - step)
        if density > best:
            best, best_step, best_inner = density, step, inner
        least = int(degree.argmin())  # the first of equals: by name
        order.append(least)
        inner -= int(degree[least])
        np.subtract(degree, matrix[least], out=degree)
        degree[least] = gone
    kept = np.ones(n, bool)
    kept[order[:best_step]] = False
    return np.flatnonzero(kept), best_inner


COARSE_RESOLUTION: Final = 1.0
"""Leiden resolution of coarse communities, before those smaller than `MIN_BLOCK` are merged."""

MIN_OBJECTS: Final = 2
"""Objects on which a proposed group's members meet, at least."""

CHOSEN: Final = frozenset(number for number, kind in enumerate(KIND_TABLE) if kind.chosen)
"""Kinds of trace that an account chose to publish; domains only repeat links."""


class Proposal(NamedTuple):
    """One proposed group: rows in name order, and the strength of its core in millinats."""

    members: tuple[int, ...]
    strength: int


def near(view: View, blocks: Mapping[int, int], settings: CoordinationSettings, seed: int) -> dict[int, int]:
    """Community within the coarse communities `blocks` of each row, numbered from 1, none smaller than `MIN_BLOCK`.

    Whom a group is compared with comes from there: people of one town have more in common than people of one country.

    Args:
        view: the window in name order.
        blocks: row -> coarse community, from 1.
        settings: of coordination.
        seed: of Leiden.
    """
    edges = exceed(view, blocks, settings).edges
    block = np.array([blocks.get(row, NO_BLOCK) for row in view.rows.tolist()], np.int64)
    out: dict[int, int] = {}
    first = 1
    for number in range(1, int(block.max(initial=0)) + 1):
        # Each by itself: in all of the platform at once, what is small against it stays hidden (the resolution limit).
        mine = np.flatnonzero((block[edges.a] == number) & (block[edges.b] == number))
        inside = SoftEdges(edges.a[mine], edges.b[mine], edges.weight[mine])
        found = merge_small(leiden(inside, len(view.rows), COARSE_RESOLUTION, seed), inside, MIN_BLOCK)
        known = np.flatnonzero(found >= 0)
        out |= dict(zip(view.rows[known].tolist(), (found[known] + first).tolist(), strict=True))
        first += int(found.max()) + 1
    return out


def coarse(view: View, settings: CoordinationSettings, seed: int) -> dict[int, int]:
    """Coarse community of each row, numbered from 1; communities smaller than `MIN_BLOCK` are merged into others.

    Learned from residuals against activity and popularity alone: against the communities known so far, they would hide.

    Args:
        view: the window in name order.
        settings: of coordination.
        seed: of Leiden.
    """
    edges = exceed(view, {}, settings).edges
    community = leiden(edges, len(view.rows), COARSE_RESOLUTION, seed)
    merged = merge_small(community, edges, MIN_BLOCK)
    return {int(row): c + 1 for row, c in zip(view.rows.tolist(), merged.tolist(), strict=True) if c >= 0}


def propose(
    view: View,
    blocks: Mapping[int, int],
    homes: Mapping[int, int],
    settings: CoordinationSettings,
    seed: int,
    languages: Callable[[int], str] | None = None,
) -> tuple[list[Proposal], ControlSet]:
    """Dense cores of the communities of soft edges, strongest first, at most `max_groups`, and whom to compare with.

    Proposed twice: from what accounts published alone, and from everything they did, where that finds other groups.
    Timelines serve a community the same posts to like and repost, which blurs a campaign's edge; its errands show in
    links, tags, replies and words.

    Args:
        view: the window in name order.
        blocks: row -> coarse community, from 1.
        homes: row -> community within that, from 1.
        settings: of coordination.
        seed: of Leiden and of the order of controls.
        languages: main language of a row, "" where unknown.
    """
    found = exceed(view, blocks, settings)
    community = leiden(found.edges, len(view.rows), settings.resolution, seed)
    wrote = exceed(view, blocks, settings, CHOSEN)
    groups = _cores(view, wrote, leiden(wrote.edges, len(view.rows), settings.resolution, seed), settings)
    known = [set(members.tolist()) for _, members in groups]
    core_of = {member: number for number, members in enumerate(known) for member in members}  # they are disjoint
    for strength, members in _cores(view, found, community, settings):
        mine = set(members.tolist())
        others = [known[number] for number in {core_of[member] for member in mine & core_of.keys()}]
        if all(len(mine & other) < CONTINUE_JACCARD * len(mine | other) for other in others):
            groups.append((strength, members))
    groups = sorted(groups, key=lambda group: (-group[0], group[1].tolist()))[: settings.max_groups]
    proposals = [Proposal(tuple(view.rows[members].tolist()), strength) for strength, members in groups]
    home = np.array([homes.get(row, NO_BLOCK) for row in view.rows.tolist()], np.int64)
    levels = (home, found.model.block)
    return proposals, ControlSet(view, levels, community, [m for _, m in groups], seed, languages)


def _cores(
    view: View, found: Residuals, community: IntArray, settings: CoordinationSettings
) -> list[tuple[int, IntArray]]:
    return _supported(view, cores(found.edges, community, found.model, settings.min_size, settings.max_size))


def _supported(view: View, found: list[tuple[int, IntArray]]) -> list[tuple[int, IntArray]]:
    """The cores whose members meet on at least `MIN_OBJECTS` objects; the crowd at a single one is no group."""
    core = np.full(len(view.rows), -1, np.int64)
    for number, (_, members) in enumerate(found):
        core[members] = number
    inside = np.flatnonzero(core[view.rank] >= 0)
    objects = int(view.slot.max()) + 1
    # One row per (core, object, member), then members per (core, object), then objects with two members per core.
    cell = core[view.rank[inside]] * objects + view.slot[inside]
    once = np.unique(cell * len(view.rows) + view.rank[inside]) // len(view.rows)
    cells, members_met = np.unique(once, return_counts=True)
    support = np.bincount(cells[members_met >= 2] // objects, minlength=len(found))
    return [group for group, n in zip(found, support.tolist(), strict=True) if n >= MIN_OBJECTS]
