"""What alerts show of a group: what members had in common, and who stands near them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.coincidences import Coincidences, coincidences
from graph.ties import MAX_OBJECTS, Near, edges_within, nearby
from graph.trace_memory import TraceView
from graph.traces import HASHTAG, LIKE, LINK, NEAR_DUPLICATE, REPLY_TARGET
from tests.graph.views import HOUR, MINUTE, NOW, Use, view_of

LAST = 10 * HOUR


def met(*uses: Use) -> tuple[TraceView, Coincidences]:
    view = view_of(uses, NOW + LAST)
    return view, coincidences(view, NOW + LAST)


def are(view: TraceView, *members: str) -> NDArray[np.bool_]:
    return np.array([called in members for called in view.names])


def both(key: str, kind: int = LINK, lag: int = MINUTE, at: int = 0, pair: str = "ab") -> list[Use]:
    return [Use(pair[0], at, kind, key), Use(pair[1], at + lag, kind, key)]


def test_an_edge_says_what_two_members_shared_of_a_kind_and_how_surprising_it_is() -> None:
    view, found = met(*both("near"), *both("far", lag=9 * HOUR), *both("tag", HASHTAG), *both("other", pair="ax"))
    edges = edges_within(view, found, are(view, "a", "b"), 10)
    assert [(edge.a, edge.b, edge.kind, edge.count) for edge in edges] == [(0, 1, "link", 2), (0, 1, "hashtag", 1)]
    link = edges[0]
    nats = found.nats[(found.a == 0) & (found.b == 1) & (found.kind == LINK)]
    assert link.nats == pytest.approx(nats.sum())
    assert link.expected == pytest.approx(sum(math.exp(-each) for each in nats.tolist()))
    assert link.objects == ("near", "far")


def test_edges_are_few_the_most_surprising_first() -> None:
    uses = [use for n in range(4) for use in both(f"x{n}", at=n * HOUR)] + [*both("y", HASHTAG, 9 * HOUR)]
    view, found = met(*uses, *both("z", pair="bc"))
    edges = edges_within(view, found, are(view, "a", "b", "c"), 2)
    assert [(view.names[edge.a] + view.names[edge.b], edge.kind) for edge in edges] == [("ab", "link"), ("bc", "link")]


def test_an_edge_names_few_of_its_objects() -> None:
    view, found = met(*[use for n in range(MAX_OBJECTS + 3) for use in both(f"x{n}", at=n * MINUTE)])
    (edge,) = edges_within(view, found, are(view, "a", "b"), 10)
    assert (edge.count, len(edge.objects)) == (MAX_OBJECTS + 3, MAX_OBJECTS)


def test_an_account_copied_by_both_is_named() -> None:
    view, found = met(
        Use("src", 0, NEAR_DUPLICATE, "c1"), Use("a", HOUR, NEAR_DUPLICATE, "c1"),
        Use("src", 2 * HOUR, NEAR_DUPLICATE, "c2"), Use("b", 3 * HOUR, NEAR_DUPLICATE, "c2"),
    )  # fmt: skip
    edges = edges_within(view, found, are(view, "a", "b"), 10)
    assert [(edge.kind, edge.objects) for edge in edges] == [("copied", ("src",))]


def test_dealings_with_each_other_name_what_was_dealt_with() -> None:
    view, found = met(Use("a", LAST, REPLY_TARGET, "b\n1", "b"), Use("b", 0, LINK, "x"))
    (edge,) = edges_within(view, found, are(view, "a", "b"), 10)
    assert (edge.kind, edge.objects) == ("contact", ("b\n1",))


def test_whom_several_members_copy_or_act_upon_is_near_them() -> None:
    view, found = met(
        *[Use(member, n * MINUTE, LIKE, f"star\n{n}", "star") for n, member in enumerate("abc")],
        *[Use(who, n * MINUTE, NEAR_DUPLICATE, "c1") for n, who in enumerate(("poet", "a", "b"))],
        Use("a", 0, LIKE, "friend\n1", "friend"),
        *[Use(who, 0, LINK, f"own {who}") for who in ("star", "friend")],
        Use("a", HOUR, LIKE, "b\n1", "b"), Use("c", HOUR, LIKE, "b\n2", "b"),
        *[Use("fan", n * HOUR, LIKE, f"{member}\n7", member) for n, member in enumerate("abc")],  # acts on them
    )  # fmt: skip
    near = nearby(view, found, are(view, "a", "b", "c"), 10)
    place = {called: n for n, called in enumerate(view.names)}
    assert near == [Near(place["star"], "acted_upon", 3), Near(place["poet"], "copied", 2)]
    assert nearby(view, found, are(view, "a", "b", "c"), 1) == near[:1]
    assert nearby(view, found, are(view), 10) == []
