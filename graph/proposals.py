"""Proposed groups: dense cores of the communities of soft edges, and the coarse communities they lie in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.communities import cores, leiden, merge_small
from graph.edges import MIN_BLOCK, SoftEdges
from graph.identity import CONTINUE_JACCARD
from graph.outsiders import Outsiders
from graph.touches import CoordinationSettings, TraceKind
from graph.view import NO_BLOCK, Residuals, View, exceed

COARSE_RESOLUTION: Final = 1.0
"""Leiden resolution of coarse communities, before those smaller than `MIN_BLOCK` are merged."""

MIN_OBJECTS: Final = 2
"""Objects on which a proposed group's members meet, at least."""

PUBLISHED: Final = frozenset(
    {
        int(kind)
        for kind in TraceKind
        if kind not in (TraceKind.REPOST, TraceKind.FAST_REPOST, TraceKind.INTERACTION, TraceKind.DOMAIN)
    }
)
"""Kinds of trace that an account chose to publish; domains only repeat links."""

IntArray = NDArray[np.int64]


class Proposal(NamedTuple):
    """One proposed group: rows in name order, and the strength of its core in millinats."""

    members: tuple[int, ...]
    strength: int


def near(view: View, blocks: Mapping[int, int], settings: CoordinationSettings, seed: int) -> dict[int, int]:
    """Community within the coarse communities `blocks` of each row, numbered from 1, none smaller than `MIN_BLOCK`.

    Whom a group is compared with comes from there: people of one town have more in common than people of one country.
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
) -> tuple[list[Proposal], Outsiders]:
    """Dense cores of the communities of soft edges, strongest first, at most `max_groups`, and whom to compare with.

    Proposed twice: from what accounts published alone, and from everything they did, where that finds other groups.
    Timelines serve a community the same posts to like and repost, which blurs a campaign's edge; its errands show in
    links, tags, replies and words.
    """
    found = exceed(view, blocks, settings)
    community = leiden(found.edges, len(view.rows), settings.resolution, seed)
    wrote = exceed(view, blocks, settings, PUBLISHED)
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
    return proposals, Outsiders(view, levels, community, [m for _, m in groups], seed, languages)


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
