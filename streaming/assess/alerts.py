"""Writes alerts and their details pages as the contract has them, within its limits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from graph.evidence import Edge
from streaming.assess.lifecycle import Alert
from streaming.assess.records import AlertRecord, rfc3339, to_json

MOST_POSTS: Final = 20
MOST_EDGES: Final = 50
MOST_MEMBERS: Final = 1_000
"""What the contract lets one alert show."""

POSTS_PER_MEMBER: Final = 3
"""Texts of one member that a group's alert quotes: a moderator should see many accounts, not one."""

RECORD_BYTES: Final = 900_000
"""Largest record of topic `alerts` (contract), under Kafka's default of a mebibyte."""

PAGE_BYTES: Final = 500_000
"""Largest page of topic `alert-details` (contract)."""

_PAGE_ROOM: Final = 4_096
"""Bytes of a page kept for what stands around its items."""

Json = dict[str, Any]


def alert_record(alert: Alert, body: Json) -> AlertRecord:
    """The record of the alert's present revision; lists in `body` are shortened until it fits.

    Args:
        alert: after `Book.revise`.
        body: the contract's fields except those the book knows.
    """
    record: Json = {
        "v": 1,
        "id": alert.id,
        "kind": alert.kind,
        "revision": alert.revision,
        "status": alert.status,
        "merged_into": alert.merged_into,
        **body,
    }
    lists = {"members": MOST_MEMBERS, "edges": MOST_EDGES, "posts": MOST_POSTS}
    for name, most in lists.items():
        record[name] = record[name][:most]
    encoded = to_json(record)
    while len(encoded) > RECORD_BYTES:
        sizes = {name: len(to_json(record[name])) for name in lists}
        longest = max(lists, key=lambda name: (sizes[name], name))
        record[longest] = record[longest][: len(record[longest]) // 2]
        encoded = to_json(record)
    return AlertRecord(alert.id, alert.revision, alert.kind, alert.status, encoded)


def detail_pages(
    alert: Alert, edges: Sequence[Json], posts: Sequence[Json], objects: Sequence[Json]
) -> list[tuple[str, bytes | None]]:
    """The pages of a revision, keyed `ID/PAGE` from 1, and the deletion of pages that only older revisions have.

    `alert.pages` becomes the number of pages.
    """
    pages: list[dict[str, list[msgspec.Raw]]] = [{}]
    room = PAGE_BYTES - _PAGE_ROOM
    for name, items in (("edges", edges), ("posts", posts), ("objects", objects)):
        for item in items:
            encoded = to_json(item)
            if len(encoded) + 1 > room:
                if not pages[-1]:
                    pages.pop()
                pages.append({})
                room = PAGE_BYTES - _PAGE_ROOM
            pages[-1].setdefault(name, []).append(msgspec.Raw(encoded))
            room -= len(encoded) + 1
    keyed: list[tuple[str, bytes | None]] = []
    for number, page in enumerate(pages, 1):
        body = {"id": alert.id, "revision": alert.revision, "page": number, "pages": len(pages)}
        lists = {name: page.get(name, []) for name in ("edges", "posts", "objects")}
        keyed.append((f"{alert.id}/{number}", to_json(body | lists)))
    keyed += [(f"{alert.id}/{number}", None) for number in range(len(pages) + 1, alert.pages + 1)]
    alert.pages = len(pages)
    return keyed


def no_pages(alert: Alert) -> list[tuple[str, bytes | None]]:
    """The deletion of all pages of an alert."""
    keyed: list[tuple[str, bytes | None]] = [(f"{alert.id}/{number}", None) for number in range(1, alert.pages + 1)]
    alert.pages = 0
    return keyed


def edge_json(edge: Edge, name_a: str, name_b: str) -> Json:
    """One edge of the contract; names in order, numbers rounded."""
    a, b = sorted((name_a, name_b))
    return {
        "a": a,
        "b": b,
        "kind": edge.kind,
        "count": edge.count,
        "expected": round(edge.expected, 4),
        "z": round(edge.z, 4),
        "objects": [readable(key) for key in edge.objects],
    }


def readable(key: str) -> str:
    """An object's key as it is shown: `account/event` for events of a known account."""
    return key.replace("\n", "/")


def post_json(event: str, account: str, at_ms: int, text: str, millinats: int) -> Json:
    """One quoted text of the contract."""
    return {"id": event, "account": account, "at": rfc3339(at_ms), "text": text, "llr": millinats / 1000}


def mean_parts(members: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean of the members' parts: the `evidence` of a group."""
    names = ("text", "behaviour", "coordination", "graph", "total")
    count = max(len(members), 1)
    return {name: round(sum(member["llr"][name] for member in members) / count, 6) for name in names}


def objects_of(edges: Sequence[Json]) -> Iterator[Json]:
    """The objects that a group shared, each with its kind and the members seen to share it, most shared first."""
    shared: dict[tuple[str, str], set[str]] = {}
    for edge in edges:
        for name in edge["objects"]:
            shared.setdefault((edge["kind"], name), set()).update((edge["a"], edge["b"]))
    for (kind, name), accounts in sorted(shared.items(), key=lambda item: (-len(item[1]), item[0])):
        yield {"kind": kind, "object": name, "accounts": sorted(accounts)}
