"""Made-up alerts for tests and for the load script: everything the contract has, from a handful of numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

BEGIN = datetime(2025, 6, 1, 8, tzinfo=UTC)

KINDS = ("near_duplicate", "link", "repost", "mention")

TEXTS = (
    "The harbour tunnel is a waste of money and everybody on the council knows it, see https://tunnel.example/facts",
    "Everybody on the council knows it: the harbour tunnel is a waste of money. Ask them why!",
    "Lovely morning at the allotment, the beans are finally up.",
)


def stamp(minutes: float) -> str:
    """RFC 3339, minutes after `BEGIN`."""
    return (BEGIN + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def llr(text: float = 2.0, coordination: float = 3.0, graph: float = 0.0) -> dict[str, float]:
    """Parts and their sum."""
    return {"text": text, "behaviour": -0.2, "coordination": coordination, "graph": graph,
            "total": round(text - 0.2 + coordination + graph, 6)}  # fmt: skip


def alert(
    name: str = "c1",
    *,
    revision: int = 1,
    kind: str = "campaign",
    status: str = "open",
    accounts: Sequence[str] = ("ada", "bob", "cyd"),
    texts: Sequence[str] = TEXTS,
    merged_into: str | None = None,
    minutes: float = 60.0,
    **more: Any,
) -> dict[str, Any]:
    """A record of topic `alerts`; closed alerts name nobody, as assess has it."""
    accounts = list(accounts) if status == "open" else []
    count = len(accounts)
    edges = [
        {"a": min(a, b), "b": max(a, b), "kind": KINDS[place % len(KINDS)], "count": 5 + place % 7, "expected": 0.8,
         "z": 4.2, "objects": ["https://tunnel.example/facts", f"{a}/p{place}"]}
        for place, (a, b) in enumerate(itertools.pairwise(accounts))
    ][:50]  # fmt: skip
    return {
        "v": 1, "id": name, "kind": kind, "revision": revision, "status": status, "merged_into": merged_into,
        "at": stamp(minutes), "first_post_at": stamp(0), "last_post_at": stamp(minutes - 1),
        "members": [
            {"account": who, "posterior": 0.7, "llr": llr(), "strength": round(1 - place / (count + 1), 4)}
            for place, who in enumerate(accounts[:1000])
        ],
        "statistic": 1e6, "threshold": 264.0, "threshold_kind": "e_value" if kind != "account" else "conformal_p",
        "target_fpr": None, "target_fdr": 0.05, "evidence": llr(),
        "posts": [
            {"id": f"p{place}", "account": accounts[place % count], "at": stamp(place), "text": text, "llr": 0.6}
            for place, text in enumerate(texts)
        ] if accounts else [],
        "edges": edges, "models": {"text": "cheap@1"},
        "why": [f"What: {count} accounts act together and look driven by a language model.", "Since: 1 June 2025.",
                "Together: pairs of them met 157 times in the same links; about 16.8 would be expected by chance."],
        "limits": ["Not used: graph (no graph model).", "Who runs the accounts, and why, cannot be seen from posts."],
        **({} if accounts or status == "open" else emptied(status)), **more,
    }  # fmt: skip


def emptied(status: str) -> dict[str, Any]:
    """What is left of a closed alert."""
    why = "Withdrawn: fewer than two members are left." if status == "withdrawn" else "Merged: it goes on in another."
    return {
        "evidence": dict.fromkeys(("text", "behaviour", "coordination", "graph", "total"), 0.0), "why": [why],
        "limits": ["Everything else about it was removed."], "statistic": 0.0,
    }  # fmt: skip


def pages(name: str = "c1", *, revision: int = 1, accounts: Sequence[str] = ("ada", "bob", "cyd"),
          edges: int = 3, posts: int = 64, size: int = 4000) -> list[dict[str, Any]]:  # fmt: skip
    """Records of topic `alert-details`: a ring of edges, waves of posts every three hours, one shared link."""
    count = len(accounts)
    ring = [
        {"a": accounts[place % count], "b": accounts[(place + 1 + place // count) % count],
         "kind": KINDS[place % len(KINDS)], "count": 3, "expected": 0.5, "z": 3.0, "objects": ["https://tunnel.example/facts"]}
        for place in range(edges)
    ]  # fmt: skip
    moments = [
        {"account": who, "at": stamp(180 * (turn // 4) + (place * 7 + turn) % 25), "kind": "post"}
        for place, who in enumerate(accounts)
        for turn in range(posts)
    ]
    shared = [{"kind": "link", "object": "https://tunnel.example/facts", "accounts": list(accounts)}]
    items: list[tuple[str, Any]] = [
        *(("edges", each) for each in ring),
        *(("posts", each) for each in moments),
        *(("objects", each) for each in shared),
    ]
    cut = [items[place : place + size] for place in range(0, len(items), size)]
    return [
        {
            "id": name, "revision": revision, "page": number, "pages": len(cut),
            **{key: [each for kind, each in part if kind == key] for key in ("edges", "posts", "objects")},
        }
        for number, part in enumerate(cut, 1)
    ]  # fmt: skip


def line(record: dict[str, Any]) -> bytes:
    """The record as a line of a file."""
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
