"""Proposed groups: from the touches of a window to dense cores of communities, each with what its test needs.

Everything is computed on ranks (positions in name order), so rows and the order of arrival change nothing.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.communities import cores, leiden, merge_small
from graph.edges import (
    MIN_BLOCK,
    Expectation,
    Meetings,
    SoftEdges,
    expectation,
    meetings,
    residuals,
    soft_edges,
    sum_pairs,
)
from graph.touches import TOUCH_KINDS, CoordinationSettings, TraceKind
from graph.window import TouchWindow

COARSE_RESOLUTION: Final = 1.0
"""Leiden resolution of coarse communities, before those smaller than `MIN_BLOCK` are merged."""

NO_BLOCK: Final = 0
"""The coarse community of accounts that belong to none of at least `MIN_BLOCK`."""

MIN_OBJECTS: Final = 2
"""Objects on which a proposed group's members meet, at least."""

DIRECT_WEIGHT: Final = 0.5
"""Weight of one account acting upon another, against 1 for meeting on a rare object: people talk to those they know."""

IntArray = NDArray[np.int64]


class Meeting(NamedTuple):
    """Where two members first met: names a <= b, the object, ms. Founds a group's id."""

    at_ms: int
    a: str
    b: str
    key: str


class Proposal(NamedTuple):
    """One proposed group: rows in name order, with what the members and the pool did per ms, by kind."""

    members: tuple[int, ...]
    strength: int
    pool: tuple[int, ...]
    shadow: tuple[int, ...]


class View(NamedTuple):
    """A window in name order: what proposals, pools and base rates are computed from."""

    rows: IntArray  # row of each rank
    names: list[str]
    at: IntArray
    rank: IntArray
    slot: IntArray
    kind: IntArray
    counts: IntArray  # touches of each rank by kind, shape (accounts, TOUCH_KINDS)
    pairs: Meetings
    edges: SoftEdges
    model: Expectation
    span_ms: int


def look(
    window: TouchWindow,
    now_ms: int,
    names: Callable[[int], str],
    blocks: dict[int, int],
    settings: CoordinationSettings,
) -> View | None:
    """The window in name order with its soft edges; None where fewer than three accounts touched anything.

    Args:
        blocks: coarse community of rows, learned earlier; rows that it lacks have none.
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
    accounts = len(active)
    counts = np.bincount(rank * TOUCH_KINDS + kind, minlength=accounts * TOUCH_KINDS).reshape(-1, TOUCH_KINDS)
    met = meetings(at, rank, objects, window.kind.astype(np.int64), now_ms, settings)
    met = _with_direct(met, window, rows, now_ms, settings)
    pairs = sum_pairs(met, accounts)
    block = np.array([blocks.get(r, NO_BLOCK) for r in rows.tolist()], np.int64)
    model = expectation(met, block)
    z, _ = residuals(pairs, model)
    edges = soft_edges(pairs, z, accounts, settings.top_edges)
    span = max(now_ms - int(at[0]), settings.activity_bin_ms)
    ordered = [named[i] for i in by_name]
    return View(rows, ordered, at, rank, objects, kind, counts, pairs, edges, model, span)


def _with_direct(
    met: Meetings, window: TouchWindow, rows: IntArray, now_ms: int, settings: CoordinationSettings
) -> Meetings:
    """The meetings, and direct interactions between accounts that are both in the window."""
    if not window.direct:
        return met
    direct = np.array(window.direct, np.int64)
    order = np.argsort(rows)
    ends = [order[np.minimum(np.searchsorted(rows, column, sorter=order), len(rows) - 1)] for column in direct.T[1:]]
    known = (rows[ends[0]] == direct[:, 1]) & (rows[ends[1]] == direct[:, 2])
    a, b = np.minimum(*ends)[known], np.maximum(*ends)[known]
    weight = DIRECT_WEIGHT * np.exp2(-(now_ms - direct[known, 0]) / settings.half_life_ms)
    kind = np.full(len(a), int(TraceKind.INTERACTION), np.int64)
    return Meetings(np.r_[met.a, a], np.r_[met.b, b], np.r_[met.kind, kind], np.r_[met.weight, weight])


def coarse(view: View, settings: CoordinationSettings, seed: int) -> dict[int, int]:
    """Coarse community of each row, numbered from 1; communities smaller than `MIN_BLOCK` are merged into others.

    Learned from residuals against activity and popularity alone: against the communities known so far, they would hide.
    """
    plain = view.model._replace(block=np.zeros_like(view.model.block), affinity=np.ones((len(view.model.total), 1, 1)))
    z, _ = residuals(view.pairs, plain)
    edges = soft_edges(view.pairs, z, len(view.rows), settings.top_edges)
    community = leiden(edges, len(view.rows), COARSE_RESOLUTION, seed)
    merged = merge_small(community, edges, MIN_BLOCK)
    return {int(row): c + 1 for row, c in zip(view.rows.tolist(), merged.tolist(), strict=True) if c >= 0}


def propose(
    view: View, settings: CoordinationSettings, seed: int, languages: Callable[[int], str] | None = None
) -> list[Proposal]:
    """Dense cores of the communities of soft edges, strongest first, at most `max_groups`, with pools and shadows."""
    community = leiden(view.edges, len(view.rows), settings.resolution, seed)
    found = _supported(view, cores(view.edges, community, view.model, settings.min_size, settings.max_size))[
        : settings.max_groups
    ]
    if not found:
        return []
    outsiders = _Outsiders(view, community, seed, languages)
    out: list[Proposal] = []
    for strength, members in found:
        pool = outsiders.pool(members.tolist(), settings)
        shadow = _shadow(view, members.tolist(), pool)
        out.append(
            Proposal(
                tuple(int(view.rows[r]) for r in members),
                strength,
                tuple(int(view.rows[r]) for r in pool),
                tuple(int(view.rows[r]) for r in shadow),
            )
        )
    return out


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


class _Outsiders:
    """Who is comparable to a group without being a candidate for it, in a fixed pseudo-random order of names.

    Candidates are the accounts of the group's own community of soft edges: a campaign whose core was found in part
    must not be explained away by the rest of it.
    """

    def __init__(self, view: View, community: IntArray, seed: int, languages: Callable[[int], str] | None) -> None:
        self.community = community.tolist()
        self.view = view
        self.languages = languages
        self.shuffled = np.random.default_rng(seed).permutation(len(view.rows)).tolist()
        self.block = view.model.block.tolist()
        self.by_block: dict[int, list[int]] = {}
        for rank in self.shuffled:
            self.by_block.setdefault(self.block[rank], []).append(rank)

    def pool(self, members: Sequence[int], settings: CoordinationSettings) -> list[int]:
        """Ranks of `pool_size` outsiders and as many as the group has: of its coarse community where that has half of
        them, else filled with speakers of its language and then with anybody."""
        candidates = self.community[members[0]]
        size = settings.pool_size + len(members)
        chosen: dict[int, None] = {}
        block = self._main_block(members)
        home = self.by_block[block] if block != NO_BLOCK else []
        for source in (home, self._speakers, self.shuffled):
            for rank in source(members) if callable(source) else source:
                if len(chosen) >= size:
                    break
                if self.community[rank] != candidates or candidates < 0:
                    chosen[rank] = None
            if len(chosen) >= settings.pool_size:
                break
        inside = set(members)
        return sorted(r for r in chosen if r not in inside)

    def _main_block(self, members: Sequence[int]) -> int:
        blocks = [self.block[r] for r in members]
        main = max(sorted(set(blocks)), key=blocks.count)
        return main if 2 * blocks.count(main) > len(blocks) else NO_BLOCK

    def _speakers(self, members: Sequence[int]) -> list[int]:
        if self.languages is None:
            return []
        spoken = [self.languages(int(self.view.rows[r])) for r in members]
        main = max(sorted(set(spoken)), key=spoken.count)
        if not main:
            return []
        return [r for r in self.shuffled if self.languages(int(self.view.rows[r])) == main]


def _shadow(view: View, members: Sequence[int], pool: Sequence[int]) -> list[int]:
    """For each member, the account of the pool nearest in activity that is not taken yet: a random group to compare."""
    activity = view.counts.sum(axis=1)
    free = sorted(pool, key=lambda r: (activity[r], r))
    levels = [int(activity[r]) for r in free]
    chosen: list[int] = []
    for member in members:
        if not free:
            break
        place = min(bisect.bisect_left(levels, int(activity[member])), len(free) - 1)
        if place and levels[place] - activity[member] > activity[member] - levels[place - 1]:
            place -= 1
        chosen.append(free.pop(place))
        levels.pop(place)
    return sorted(chosen)


def base_rates(view: View, rows: Sequence[int]) -> list[float]:
    """Touches per ms of `rows` together in the window, by kind, shape (TOUCH_KINDS,)."""
    wanted = np.isin(view.rows, np.asarray(rows, np.int64))
    return [float(v) for v in view.counts[wanted].sum(axis=0) / view.span_ms]


def shares(view: View, rows: Sequence[int]) -> dict[int, float]:
    """Each row's share of the touches that `rows` made in the window."""
    place = {row: rank for rank, row in enumerate(view.rows.tolist())}
    counts = {row: float(view.counts[place[row]].sum()) for row in rows}
    total = sum(counts.values())
    return {row: count / total for row, count in counts.items()}


def first_meeting(view: View, window: TouchWindow, members: Sequence[int]) -> Meeting:
    """Where two of `members` (rows) first touched one object, earliest second touch first, ties by name."""
    ranks = np.flatnonzero(np.isin(view.rows, np.asarray(members, np.int64)))
    mine = np.flatnonzero(np.isin(view.rank, ranks))
    order = mine[np.lexsort((view.rank[mine], view.at[mine], view.slot[mine]))]
    best: Meeting | None = None
    first: tuple[int, int] | None = None  # (slot, rank) of the first member to touch the object at hand
    met = False
    for n in order.tolist():
        slot, rank, at = int(view.slot[n]), int(view.rank[n]), int(view.at[n])
        if first is None or first[0] != slot:
            first, met = (slot, rank), False
        elif not met and rank != first[1]:
            met = True
            a, b = sorted((view.names[first[1]], view.names[rank]))
            meeting = Meeting(at, a, b, window.key(slot))
            best = meeting if best is None or meeting < best else best
    if best is None:  # joined by direct interactions alone
        a, b = sorted(view.names[r] for r in ranks.tolist())[:2]
        best = Meeting(int(view.at[mine[0]]) if len(mine) else 0, a, b, "")
    return best


def group_id(meeting: Meeting) -> str:
    """The group's id: a hash of its founding pair and their first shared object and time."""
    parts = "\x00".join((meeting.a, meeting.b, meeting.key, str(meeting.at_ms)))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
