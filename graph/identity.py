"""Which existing group a proposed one is (contract, "Ids")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

CONTINUE_JACCARD: Final = 0.5
"""Overlap from which a proposed group is an existing one (the contract's number)."""


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
