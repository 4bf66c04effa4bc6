"""What a group is called, and which existing group a proposed one is (contract, "Ids")."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from graph.view import View
from graph.window import TouchWindow

CONTINUE_JACCARD: Final = 0.5
"""Overlap from which a proposed group is an existing one (the contract's number)."""


class Meeting(NamedTuple):
    """Where two members first met: names a <= b, the object, ms. Founds a group's id."""

    at_ms: int
    a: str
    b: str
    key: str


class Plan(NamedTuple):
    """What becomes of existing groups, both sides by index.

    Args:
        continued: proposal -> the existing groups it continues, oldest first; the others merge into the first.
        absorbed: (existing, proposal): no proposal continues it, but most of its members are in one that continues
            another group; it merges into that.
    """

    continued: dict[int, list[int]]
    absorbed: list[tuple[int, int]]


def match(existing: Sequence[set[int]], proposed: Sequence[set[int]]) -> Plan:
    """Match proposals (strongest first) to existing groups (oldest first).

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
        inside = [p for p, n in shared.items() if p in continued and 2 * n >= len(existing[index])]
        if inside:
            absorbed.append((index, min(inside, key=lambda p: (-shared[p], p))))
    return Plan(continued, absorbed)


def first_meeting(view: View, window: TouchWindow, members: Sequence[int]) -> Meeting:
    """Where two of `members` (rows) first touched one object, earliest second touch first, ties by name."""
    ranks = view.ranks(members)
    mine = view.touches_of(ranks)
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
        a, b = sorted(view.names[r] for r in ranks)[:2]
        best = Meeting(int(view.at[mine].min()) if len(mine) else 0, a, b, "")
    return best


def group_id(meeting: Meeting) -> str:
    """The group's id: a hash of its founding pair and their first shared object and time."""
    parts = "\x00".join((meeting.a, meeting.b, meeting.key, str(meeting.at_ms)))
    return hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
