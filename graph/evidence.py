"""What members of a group had in common, for a person to check."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from graph.touches import BET_WINDOW_MS, FAST_REPOST_MS, TOUCH_KINDS, TraceKind
from graph.window import TouchWindow

MAX_OBJECTS: Final = 5
"""Objects named per edge: enough to check, small enough for an alert."""

MAX_TOUCHERS: Final = 200
"""Members of one object that are paired (the earliest): a group of a thousand would make half a million pairs."""


class Edge(msgspec.Struct, frozen=True):
    """What two members had in common, of one kind: rows a, b, objects shared, expected, residual, some objects."""

    a: int
    b: int
    kind: str
    count: int
    expected: float
    z: float
    objects: tuple[str, ...]


def edges_within(window: TouchWindow, members: Sequence[int], limit: int) -> list[Edge]:
    """Edges between `members` (rows), largest residual first, ties in the order of `members`; at most `limit`."""
    place = {row: n for n, row in enumerate(members)}
    at, row, slot = window.view()
    mine = np.flatnonzero(np.isin(row, np.asarray(members, np.int64)))
    first: dict[int, dict[int, int]] = defaultdict(dict)  # slot -> member -> its first touch, in order of time
    touched: dict[tuple[int, int], int] = defaultdict(int)
    for n in mine.tolist():
        s, r = int(slot[n]), int(row[n])
        first[s].setdefault(r, int(at[n]))
        touched[r, int(window.kind[s])] += 1
    chance = _chance(window)
    shared: dict[tuple[int, int, int], list[tuple[int, int]]] = defaultdict(list)
    for s, who in first.items():
        rows = list(who)[:MAX_TOUCHERS]
        kind = int(window.kind[s])
        for i, a in enumerate(rows):
            for b in rows[i + 1 :]:
                lag = who[b] - who[a]
                if lag > BET_WINDOW_MS[kind]:
                    break
                fast = kind == TraceKind.REPOST and lag <= FAST_REPOST_MS
                low, high = sorted((a, b), key=place.__getitem__)
                shared[low, high, int(TraceKind.FAST_REPOST) if fast else kind].append((who[b], s))
    edges = []
    for (a, b, kind), objects in shared.items():
        source = int(TraceKind.REPOST) if kind == TraceKind.FAST_REPOST else kind
        expected = touched[a, source] * touched[b, source] * chance[source]
        z = (len(objects) - expected) / math.sqrt(expected + 1.0)
        keys = tuple(window.key(s) for _, s in sorted(objects, key=lambda o: (o[0], window.key(o[1])))[:MAX_OBJECTS])
        edges.append(Edge(a, b, TraceKind(kind).label, len(objects), expected, z, keys))
    edges.sort(key=lambda e: (-e.z, place[e.a], place[e.b], e.kind))
    return edges[:limit]


def _chance(window: TouchWindow) -> list[float]:
    """Probability that two touches of a kind in the window are of one object, by kind."""
    out = []
    for kind in range(TOUCH_KINDS):
        counts = window.count[window.kind == kind].astype(np.float64)
        total = counts.sum()
        out.append(float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0)
    return out
