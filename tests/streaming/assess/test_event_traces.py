"""Which traces an event leaves, and whose the shared objects are."""

from __future__ import annotations

from graph.traces import DOMAIN, KIND_TABLE, LINK
from streaming.assess.event_traces import observed_traces
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
        ("LINK", "https://a.example/x", -1),
        ("LINK", "https://a.example/y", -1),
        ("DOMAIN", "a.example", -1),
        ("HASHTAG", "b", -1),
        ("HASHTAG", "a", -1),
        ("QUOTE", "bob\ne1", 1),
        ("MENTION", "cid", -1),
        ("NEAR_DUPLICATE", "cluster", -1),
    ]
    assert {(t.at_ms, t.account) for t in traces} == {(T0 + 5, 0)}


def test_a_flood_of_links_is_cut() -> None:
    event = observation(0, "ann", urls=tuple(f"https://{i}.example/" for i in range(32)))
    kinds = [trace.kind for trace in observed_traces(event, 0, AccountTable(), None)]
    assert kinds.count(LINK) == kinds.count(DOMAIN) == 8
