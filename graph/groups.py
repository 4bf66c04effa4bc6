"""Groups: from pairs to groups of accounts, and which group of the last search a new one continues.

Among suspects every pair has log-odds of one controller, and groups are found by average linkage on them (Sokal &
Michener 1958): a group is joined while the mean over all its pairs stays above a cut, so that one loud pair joins
nobody else's groups. Among all accounts only pairs that coincided count (`graph.dense_groups`), and groups are sought
within communities of their network (Leiden, Traag et al. 2019, one thread, a fixed seed). Log-odds and weights are
whole millinats and accounts come in the order of their names, so equal states give equal groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import graspologic_native
import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.spatial.distance import squareform

MIN_SIZE: Final = 3
"""Members of the smallest group: two accounts that do the same are a pair, not a campaign."""

MAX_SIZE: Final = 1000
"""Members of the largest group that is listed; the most strongly tied ones of a larger one."""

RESOLUTION: Final = 1.0
"""Of modularity."""

ITERATIONS: Final = 2
"""Rounds of Leiden: the second hardly changes anything."""

MILLINATS: Final = 1000

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Proposal(NamedTuple):
    """A group as a search finds it.

    Args:
        members: places of the accounts, the most strongly tied first.
        strength: of each member's ties to the others: mean log-odds or nats, in the order of `members`.
        statistic: what groups are compared by, larger is better.
    """

    members: list[int]
    strength: list[float]
    statistic: float


def linked(log_odds: Floats, cut: float) -> list[Proposal]:
    """Groups by average linkage, best first.

    The statistic is the number of members times the mean log-odds of their pairs above the cut: many members that go
    together fairly well are more of a campaign than three that go together perfectly.

    Args:
        log_odds: of every two accounts, capped, symmetric, shape (n, n), nats.
        cut: mean log-odds below which groups are not joined.
    """
    n = len(log_odds)
    if n < MIN_SIZE:
        return []
    whole = np.round(log_odds * MILLINATS)
    top = float(whole.max())
    distance = top - whole
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), "average")
    label = fcluster(tree, top - cut * MILLINATS, "distance")
    out: list[Proposal] = []
    for number in np.flatnonzero(np.bincount(label) >= MIN_SIZE).tolist():
        members = np.flatnonzero(label == number)
        inside = whole[np.ix_(members, members)].copy()
        np.fill_diagonal(inside, 0.0)
        strength = inside.sum(axis=1) / (len(members) - 1) / MILLINATS
        mean = float(strength.mean())
        order = np.lexsort((members, -strength))[:MAX_SIZE]
        out.append(Proposal(members[order].tolist(), strength[order].tolist(), len(members) * (mean - cut)))
    return sorted(out, key=_best_first)


def _best_first(group: Proposal) -> tuple[float, list[int]]:
    return -group.statistic, sorted(group.members)


def communities(a: Ints, b: Ints, weight: Floats, accounts: int, seed: int) -> Ints:
    """Community of each account (Leiden), -1 without a tie.

    Args:
        a: place of one account of each tie.
        b: of the other.
        weight: of each tie, whole millinats.
        accounts: how many there are.
        seed: of the search.
    """
    nodes = np.unique(np.r_[a, b])
    left, right = np.searchsorted(nodes, a), np.searchsorted(nodes, b)
    ends = np.r_[left, right], np.r_[right, left]
    matrix = csr_matrix((np.r_[weight, weight], ends), shape=(len(nodes), len(nodes)))
    matrix.sort_indices()
    _, found = graspologic_native.leiden_csr(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.data,
        len(nodes),
        resolution=RESOLUTION,
        iterations=ITERATIONS,
        seed=seed,
    )
    out = np.full(accounts, -1, np.int64)
    out[nodes] = [found[n] for n in range(len(nodes))]
    return out


CONTINUE_JACCARD: Final = 0.5
"""Overlap from which a proposed group is an existing one (the contract's number)."""


class Matching(NamedTuple):
    """What becomes of existing groups, both sides by index.

    Args:
        continued: proposal -> the existing groups it continues, oldest first; the others merge into the first.
        absorbed: (existing, proposal): no proposal continues it, but most of its members are in that one; it merges
            into the group of that proposal.
    """

    continued: dict[int, list[int]]
    absorbed: list[tuple[int, int]]


def match(existing: Sequence[set[int]], proposed: Sequence[set[int]]) -> Matching:
    """Match proposals (best first) to existing groups (oldest first).

    An existing group goes on in the proposal it shares the largest Jaccard overlap with, if that is at least 0.5 (of
    a split, the part with the larger overlap). A proposal continues the oldest of the groups that go on in it (a
    merge: the others are merged into it). Other proposals are new.
    """
    holders: dict[int, list[int]] = {}
    for place, members in enumerate(proposed):
        for member in members:
            holders.setdefault(member, []).append(place)
    continued: dict[int, list[int]] = {}
    left: list[tuple[int, dict[int, int]]] = []
    for index, members in enumerate(existing):
        shared: dict[int, int] = {}
        for member in members:
            for place in holders.get(member, ()):
                shared[place] = shared.get(place, 0) + 1
        overlap = {p: n / (len(members) + len(proposed[p]) - n) for p, n in shared.items()}
        best = min(overlap, key=lambda p: (-overlap[p], p), default=None)
        if best is not None and overlap[best] >= CONTINUE_JACCARD:
            continued.setdefault(best, []).append(index)
        else:
            left.append((index, shared))
    absorbed: list[tuple[int, int]] = []
    for index, shared in left:
        inside = [p for p, n in shared.items() if 2 * n >= len(existing[index])]
        if inside:
            absorbed.append((index, min(inside, key=lambda p: (-shared[p], p))))
    return Matching(continued, absorbed)


Among = Literal["suspects", "all"]
"""Which of the two searches found a group."""


class Group(msgspec.Struct):
    """A group as it is remembered from search to search.

    Args:
        id: hash of its first members and when it was first found.
        number: order of creation.
        among: which search found it.
        found_ms: tick of the first search that found it.
        seen_ms: tick of the last one.
        members: rows, the most strongly tied first.
        strength: of each member's ties.
        statistic: of the last search that found it.
        q: how often as much is found among decoys, over how often it is found (`graph.decoys`), then.
        passed: searches in a row in which q was at most `target_fdr`.
        accepted_ms: tick at which it was first accepted, None before.
        machine_ms: tick at which it was accepted and shown to be machine-driven, None before.
    """

    id: str
    number: int
    among: Among
    found_ms: int
    seen_ms: int
    members: list[int]
    strength: list[float]
    statistic: float
    q: float
    passed: int = 0
    accepted_ms: int | None = None
    machine_ms: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether it is or was beyond what decoys show: it has an alert."""
        return self.accepted_ms is not None


def group_id(among: Among, found_ms: int, names: Iterable[str]) -> str:
    """The id of a group that is found for the first time.

    Args:
        among: which search found it.
        found_ms: tick of that search.
        names: of its members.
    """
    parts = "\x00".join((among, str(found_ms), *sorted(names)))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
