"""What the picture of the network and the time line are drawn from. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moderation import words
from moderation.alerts import Whole
from moderation.hostile import visible
from moderation.records import milliseconds


def graph_json(whole: Whole, on_accounts: Mapping[str, Any]) -> dict[str, Any]:
    """What the picture and the time line are drawn from.

    Returns:
        `nodes`: `{"id", "total", "posterior", "strength", "verdict"}`; `edges`: `{"a", "b", "kind", "count",
        "expected", "z", "objects"}`, ends as places in nodes; `posts`: `{"n", "at", "kind"}`, place and ms; `kinds`:
        the kinds' words; `first`, `last`: ms; `complete`: whether these are all.
    """
    record = whole.record
    known = {member.account: member for member in record.members}
    pages = whole.details
    edges = [edge for page in pages for edge in page.edges] if pages else record.edges
    moments = [post for page in pages for post in page.posts]
    order: dict[str, int] = {name: place for place, name in enumerate(known)}
    for edge in edges:
        order.setdefault(edge.a, len(order))
        order.setdefault(edge.b, len(order))
    for post in moments:
        order.setdefault(post.account, len(order))
    nodes = []
    for name in order:
        member = known.get(name)
        decided = on_accounts.get(name)
        nodes.append(
            {
                "id": visible(name),
                "total": round(member.llr.get("total", 0.0), 3) if member else None,
                "posterior": round(member.posterior, 4) if member else None,
                "strength": round(member.strength, 4) if member else 0.0,
                "verdict": decided.verdict if decided is not None else None,
            }
        )
    times = [(order[post.account], milliseconds(post.at), post.kind) for post in moments]
    if not times:
        times = [(order.get(post.account, 0), milliseconds(post.at), "post") for post in record.posts if order]
    return {
        "nodes": nodes,
        "edges": [
            {
                "a": order[edge.a], "b": order[edge.b], "kind": edge.kind, "count": edge.count,
                "expected": edge.expected, "z": edge.z, "objects": [visible(name)[:200] for name in edge.objects[:10]],
            }
            for edge in edges
        ],
        "posts": [{"n": place, "at": at, "kind": kind} for place, at, kind in times if at is not None],
        "kinds": {kind: words.EDGE_KINDS.get(kind, visible(kind)) for kind in sorted({edge.kind for edge in edges})},
        "first": whole.row.first_post_at,
        "last": whole.row.last_post_at,
        "complete": whole.complete,
    }  # fmt: skip
