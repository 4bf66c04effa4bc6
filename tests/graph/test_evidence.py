"""Edges that an alert shows."""

from __future__ import annotations

from graph.coordination import Coordination
from graph.touches import HOUR_MS, Touch, TraceKind


def test_edges_name_kind_count_and_objects_in_the_given_order_of_members() -> None:
    coordination = Coordination()
    touches = [Touch(n * HOUR_MS + m, m, TraceKind.LINK, f"l{n}") for n in range(7) for m in (1, 2)]
    touches += [Touch(8 * HOUR_MS, 1, TraceKind.REPOST, "r"), Touch(8 * HOUR_MS + 5000, 2, TraceKind.REPOST, "r")]
    touches += [Touch(9 * HOUR_MS + n, 10 + n, TraceKind.LINK, f"noise{n}") for n in range(50)]
    coordination.add(touches)
    edges = coordination.edges_within([2, 1, 10])
    assert [(e.a, e.b, e.kind, e.count) for e in edges] == [(2, 1, "link", 7), (2, 1, "fast_repost", 1)]
    assert edges[0].objects == ("l0", "l1", "l2", "l3", "l4")
    assert edges[0].z > 2 > edges[0].expected > 0
    assert len(coordination.edges_within([1, 2], limit=1)) == 1


def test_far_apart_in_time_is_no_edge() -> None:
    coordination = Coordination()
    coordination.add([Touch(0, 1, TraceKind.DOMAIN, "d"), Touch(2 * HOUR_MS, 2, TraceKind.DOMAIN, "d")])
    assert coordination.edges_within([1, 2]) == []
