"""What the members of a group have in common, and who stands near them without being one, for people to check."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from graph.coincidences import Coincidences
from graph.trace_memory import TraceView
from graph.traces import CONTACT, COPIED, KIND_NAMES, NEAR_DUPLICATE

MAX_OBJECTS: Final = 5
"""Objects named per edge: enough to check, small enough for an alert."""

How = Literal["copied", "acted_upon"]
"""`copied`: members published nearly what the account published; `acted_upon`: they answered, reposted, liked or
followed it. Flattery and attack look the same from here."""


class Edge(msgspec.Struct, frozen=True):
    """What two members had in common, of one kind.

    Args:
        a, b: places of the members in the view.
        kind: name of the kind.
        count: objects.
        expected: how many of them chance would have it that somebody came so close: the sum of exp(-nats).
        nats: how surprising they are together.
        objects: keys of some of them, the most surprising first.
    """

    a: int
    b: int
    kind: str
    count: int
    expected: float
    nats: float
    objects: tuple[str, ...]


class Near(NamedTuple):
    """An account that is near a group and no member: how, and for how many members."""

    place: int
    how: How
    members: int


def edges_within(view: TraceView, met: Coincidences, members: NDArray[np.bool_], limit: int) -> list[Edge]:
    """Edges between members, the most surprising first, ties by name.

    Args:
        view: the traces.
        met: coincidences in it.
        members: which accounts of the view, shape (n,).
        limit: edges at most.
    """
    inside = np.flatnonzero(members[met.a] & members[met.b])
    found: dict[tuple[int, int, int], list[tuple[float, str]]] = defaultdict(list)
    for n in inside.tolist():
        a, b, kind = int(met.a[n]), int(met.b[n]), int(met.kind[n])
        found[a, b, kind].append((-float(met.nats[n]), object_name(view, kind, int(met.item[n]))))
    edges = []
    for (a, b, kind), objects in found.items():
        objects.sort()
        nats = -sum(each for each, _ in objects)
        expected = float(np.exp([each for each, _ in objects]).sum())
        keys = tuple(dict.fromkeys(key for _, key in objects))[:MAX_OBJECTS]
        edges.append(Edge(a, b, KIND_NAMES[kind], len(objects), expected, nats, keys))
    edges.sort(key=lambda edge: (-edge.nats, edge.a, edge.b, edge.kind))
    return edges[:limit]


def object_name(view: TraceView, kind: int, item: int) -> str:
    """The key of an object of a coincidence; of a copied account its name.

    Args:
        view: the traces.
        kind: of the coincidence.
        item: its number in the view, or the account's place.
    """
    return view.names[item] if kind == COPIED else view.keys[item]


def nearby(view: TraceView, met: Coincidences, members: NDArray[np.bool_], limit: int) -> list[Near]:
    """Accounts that at least two members copy or act upon, most members first, ties by name.

    Args:
        view: the traces.
        met: coincidences that a member takes part in.
        members: which accounts of the view, shape (n,).
        limit: how many at most.
    """
    touched: dict[tuple[int, How], set[int]] = defaultdict(set)
    one_sided = members[met.a] != members[met.b]
    acting = np.flatnonzero(members[view.account] & (view.other >= 0))
    acted = set(zip(view.account[acting].tolist(), view.other[acting].tolist(), strict=True))
    kinds: tuple[tuple[int, How], ...] = ((NEAR_DUPLICATE, "copied"), (CONTACT, "acted_upon"))
    for kind, how in kinds:
        for n in np.flatnonzero(one_sided & (met.kind == kind)).tolist():
            a, b = int(met.a[n]), int(met.b[n])
            member, other = (a, b) if members[a] else (b, a)
            if kind != CONTACT or (member, other) in acted:  # contact is of both, whoever acts
                touched[other, how].add(member)
    out = [Near(place, how, len(who)) for (place, how), who in touched.items() if len(who) > 1]
    out.sort(key=lambda near: (-near.members, near.place, near.how))
    return out[:limit]
