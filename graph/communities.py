"""Communities of soft edges (Leiden) and their dense cores.

Reproducible: nodes are numbered in name order, weights are whole millinats, one thread, fixed seed, and communities
are renumbered by their first member, so equal edges give equal groups.
"""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import Final

import graspologic_native
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from graph.edges import SoftEdges

LEIDEN_ITERATIONS: Final = 2
"""Passes of local moving, refinement and aggregation; the second settles nearly all nodes."""

CORE_SHARE: Final = 0.5
"""A further core of one community must be at least this dense, against the first: looser rests are no group."""

MAX_CORES: Final = 8
"""Cores taken from one community: each costs a pass over what is left of it."""

IntArray = NDArray[np.int64]


def leiden(edges: SoftEdges, accounts: int, resolution: float, seed: int) -> IntArray:
    """Community of each account, shape (accounts,); -1 for accounts without an edge; numbered by first member."""
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


def cores(edges: SoftEdges, community: IntArray, min_size: int, max_size: int) -> list[tuple[int, IntArray]]:
    """Dense cores of the communities: (strength in millinats, sorted members), strongest first, disjoint.

    Greedy peeling (Charikar 2000): take away the account with the least weight inside until nothing is left; the core
    is the set at which weight per member was largest. The rest is peeled again, until what is found is less than half
    as dense as the first core.
    """
    inside = np.flatnonzero(community[edges.a] == community[edges.b])
    order = inside[np.argsort(community[edges.a[inside]], kind="stable")]
    label = community[edges.a[order]]
    cuts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]]) if len(label) else np.zeros(0, np.int64)
    found: list[tuple[int, IntArray]] = []
    for start, stop in pairwise([*cuts.tolist(), len(order)]):
        part = order[start:stop]
        found += _cores_of(edges.a[part].tolist(), edges.b[part].tolist(), edges.weight[part].tolist(), min_size)
    found = [core for core in found if len(core[1]) <= max_size]
    return sorted(found, key=lambda core: (-core[0], core[1].tolist()))


def _cores_of(a: list[int], b: list[int], weight: list[int], min_size: int) -> list[tuple[int, IntArray]]:
    links: dict[int, dict[int, int]] = {}
    for x, y, w in zip(a, b, weight, strict=True):
        links.setdefault(x, {})[y] = w
        links.setdefault(y, {})[x] = w
    found: list[tuple[int, IntArray]] = []
    floor = 0.0
    for _ in range(MAX_CORES):
        if len(links) < min_size:
            break
        core, inner = _densest(links, min_size)
        density = inner / len(core)
        if not inner or density < floor:
            break
        floor = floor or CORE_SHARE * density
        found.append((inner, np.array(sorted(core), np.int64)))
        taken = set(core)
        links = {x: {y: w for y, w in row.items() if y not in taken} for x, row in links.items() if x not in taken}
        links = {x: row for x, row in links.items() if row}
    return found


def _densest(links: dict[int, dict[int, int]], min_size: int) -> tuple[list[int], int]:
    """(members, weight inside) of the peeling step with the largest weight per member, of at least `min_size`."""
    degree = {x: sum(row.values()) for x, row in links.items()}
    inner = sum(degree.values()) // 2
    heap = [(d, x) for x, d in degree.items()]
    heapq.heapify(heap)
    gone: list[int] = []
    out: set[int] = set()
    best, best_gone, best_inner = -1.0, 0, 0
    left = len(links)
    while left >= min_size:
        if inner / left > best:
            best, best_gone, best_inner = inner / left, len(gone), inner
        while True:
            d, x = heapq.heappop(heap)
            if x not in out and d == degree[x]:
                break
        out.add(x)
        gone.append(x)
        inner -= d
        left -= 1
        for y, w in links[x].items():
            if y not in out:
                degree[y] -= w
                heapq.heappush(heap, (degree[y], y))
    removed = set(gone[:best_gone])
    return [x for x in links if x not in removed], best_inner
