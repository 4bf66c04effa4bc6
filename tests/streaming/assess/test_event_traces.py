"""Which traces an event leaves, and whose the shared objects are."""

from __future__ import annotations

from graph.account_graph import INTERACTIONS
from graph.trace_kind import object_key
from graph.traces import DOMAIN, INTERACTION, KIND_TABLE, LINK, MENTION, REPLY_TARGET, REPOST
from streaming.assess.event_traces import acted_upon, observed_traces
from streaming.assess.store import AccountTable
from streaming.schema.observation import Kind
from tests.streaming.builders import T0, observation


def test_an_event_gives_its_traces_next_to_each_other() -> None:
    accounts = AccountTable()
    for name in ("ann", "bob"):
        accounts.row(name)
    event = observation(
        0,
        "ann",
        at=5,
        kind=Kind.QUOTE,
        target="e1",
        target_account="bob",
        urls=("https://a.example/x", "https://a.example/y"),
        hashtags=("b", "a"),
        mentions=("cid", "ann"),
    )
    traces = list(observed_traces(event, 0, accounts, "cluster"))
    assert [(KIND_TABLE[t.kind].name.upper(), t.key, t.other) for t in traces] == [
        ("QUOTE", "bob\ne1", 1),
        ("LINK", "https://a.example/x", -1),
        ("LINK", "https://a.example/y", -1),
        ("DOMAIN", "a.example", -1),
        ("HASHTAGS", "a b", -1),
        ("MENTION", "cid", -1),
        ("NEAR_DUPLICATE", "cluster", -1),
    ]
    assert {(t.at_ms, t.account) for t in traces} == {(T0 + 5, 0)}


def test_a_flood_of_links_is_cut() -> None:
    event = observation(0, "ann", urls=tuple(f"https://{i}.example/" for i in range(32)))
    kinds = [trace.kind for trace in observed_traces(event, 0, AccountTable(), None)]
    assert kinds.count(LINK) == kinds.count(DOMAIN) == 8


def test_objects_say_whom_they_belong_to() -> None:
    post = object_key("ann", "17")
    assert acted_upon(REPOST, post) == (INTERACTIONS.index("repost"), "ann")
    assert acted_upon(INTERACTION, post) == (INTERACTIONS.index("like"), "ann")
    assert acted_upon(INTERACTION, object_key("ann", "")) == (INTERACTIONS.index("follow"), "ann")
    assert acted_upon(MENTION, "ann") == (INTERACTIONS.index("mention"), "ann")
    assert acted_upon(LINK, "https://example.com") is None
    assert acted_upon(REPLY_TARGET, "17") is None
