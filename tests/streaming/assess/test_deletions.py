"""Deletions and duplicates, settled when an event's turn comes."""

from __future__ import annotations

from typing import Any

from graph.coincidences import coincidences
from graph.traces import KIND_TABLE, LINK
from streaming.assess import AssessSettings
from tests.streaming.assess import harness
from tests.streaming.assess.harness import Played
from tests.streaming.builders import T0, batch, end, event

ROBOT = "robot robot robot said the old robot"
MINUTE = 60_000


def run(*items: dict[str, Any], settings: AssessSettings = harness.SETTINGS) -> Played:
    observed = harness.score(items)
    return harness.play([batch(observed), end(len(observed))], settings)


def posts(account: str, count: int, *, start: int = 0, text: str = ROBOT) -> list[dict[str, Any]]:
    return [
        event(account, at=start + i * MINUTE, id=f"{account}{start}-{i}", text=text, lang="en") for i in range(count)
    ]


def kept_texts(played: Played, account: str) -> list[str]:
    assess = played.assess
    row = assess.state.accounts.find(account)
    return [] if row is None else [text.id for text in assess.state.texts.of(row)]


def test_the_earliest_copy_wins_whichever_was_read_first() -> None:
    early, late = (event(at=at, id="x", text=ROBOT, lang=lang) for at, lang in ((0, "en"), (1000, "fi")))
    for items in ((early, late), (late, early)):
        played = run(*items)
        assert played.assess.counts.accepted == played.assess.counts.duplicate == 1
        assert [text.lang for text in played.assess.state.texts.of(0)] == ["en"]


HUMAN = "human human human here and there and here"


def test_an_edit_is_accepted_and_no_further_post() -> None:
    first, soon = event(at=0, id="x", text=HUMAN), event(at=1000, id="x", text=ROBOT)
    alone = run(first).scores()["ann"]
    for items in ((first, soon), (soon, first), (first, soon | {"at": soon["at"] + 5 * MINUTE})):
        played = run(*items)
        counts, row = played.assess.counts, played.scores()["ann"]
        assert (counts.accepted, counts.revised, counts.duplicate) == (2, 1, 0)
        assert (row.posts, row.llr.text) == (1, alone.llr.text)
        assert [text.text for text in played.assess.state.texts.of(0)] == [ROBOT]


def test_each_edit_of_many_is_one_and_the_same_text_again_is_a_duplicate() -> None:
    texts = [HUMAN, ROBOT, ROBOT, HUMAN, HUMAN, ""]
    played = run(*(event(at=i * MINUTE, id="x", text=text) for i, text in enumerate(texts)))
    counts = played.assess.counts
    assert (counts.accepted, counts.revised, counts.duplicate) == (4, 3, 2)
    assert kept_texts(played, "ann") == []
    assert played.scores()["ann"].posts == 1


def test_an_edit_of_what_was_deleted_brings_nothing_back() -> None:
    played = run(
        event(at=0, id="x", text=HUMAN),
        event(at=MINUTE, id="d", kind="delete", target="x"),
        event(at=2 * MINUTE, id="x", text=ROBOT),
    )
    assert played.assess.counts.revised == 1
    assert kept_texts(played, "ann") == []


def test_a_repeated_like_or_repost_is_a_duplicate_whatever_comes_with_it() -> None:
    played = run(*(event(at=i, id="x", kind="repost", target="t", text=text) for i, text in enumerate((HUMAN, ROBOT))))
    assert (played.assess.counts.accepted, played.assess.counts.duplicate) == (1, 1)


def test_copies_beyond_the_window_are_events_of_their_own() -> None:
    settings = AssessSettings(duplicate_window_s=60)
    played = run(event(at=0, id="x"), event(at=60_000, id="x"), event(at=60_001, id="x"), settings=settings)
    assert (played.assess.counts.accepted, played.assess.counts.duplicate) == (2, 1)


def test_the_same_id_of_another_account_is_another_event() -> None:
    played = run(event("a", id="x"), event("b", id="x"))
    assert played.assess.counts.accepted == 2


def test_a_deleted_text_is_gone_and_the_statistics_stay() -> None:
    items = posts("ann", 3)
    played = run(*items, event(at=5 * MINUTE, id="d", kind="delete", target="ann0-1"))
    assert kept_texts(played, "ann") == ["ann0-0", "ann0-2"]
    row = played.scores()["ann"]
    assert row.posts == 3
    assert row.llr.text == run(*items).scores()["ann"].llr.text


def test_nobody_else_can_delete_an_event() -> None:
    played = run(*posts("ann", 2), event("eve", at=5 * MINUTE, id="d", kind="delete", target="ann0-1"))
    assert len(kept_texts(played, "ann")) == 2


def test_a_target_that_comes_after_its_deletion_counts_and_does_nothing_else() -> None:
    played = run(event(at=0, id="d", kind="delete", target="x"), event(at=1000, id="x", text=ROBOT, lang="en"))
    row = played.scores()["ann"]
    assert played.assess.counts.accepted == 2
    assert row.posts == 1
    assert row.llr.total == 0.0
    assert kept_texts(played, "ann") == []


def test_a_deletion_is_forgotten_after_the_window() -> None:
    late = event(at=3_601_000, id="x", text=ROBOT, lang="en")
    assert run(event(at=0, id="d", kind="delete", target="x"), late).scores()["ann"].llr.text > 0


def test_a_deleted_account_has_no_row_no_texts_and_an_alert_that_names_nobody() -> None:
    played = run(*posts("ann", 8), event(at=20 * MINUTE, id="d", kind="delete_account"), event("bob", at=30 * MINUTE))
    assert list(played.scores()) == ["bob"]
    assert [each.account for each in played.gone()] == ["ann"]
    first, last = played.alerts()[0], played.alerts()[-1]
    assert (first.status, last.status) == ("open", "withdrawn")
    assert last.revision == len(played.alerts())
    assert "ann" not in str(last)
    assert (last.members, last.posts) == ([], [])
    pages = [key for output in played.outputs for key, body in output.details if body is None]
    assert pages == [f"{first.id}/1"]
    kept = {name: part for name, part in harness.picture(played.assess).items() if name.startswith("accounts/")}
    assert len(kept) > 20
    assert "ann" not in str(kept)


def test_what_a_deleted_account_does_within_the_window_counts_and_does_nothing_else() -> None:
    played = run(
        *posts("ann", 3),
        event(at=5 * MINUTE, id="d", kind="delete_account"),
        event(at=6 * MINUTE, id="late", text=ROBOT, lang="en"),
    )
    row = played.scores()["ann"]
    assert row.posts == 1
    assert row.llr.total == 0.0


def test_an_account_may_begin_again_after_the_window() -> None:
    played = run(
        *posts("ann", 3), event(at=5 * MINUTE, id="d", kind="delete_account"), *posts("ann", 1, start=7_200_000)
    )
    row = played.scores()["ann"]
    assert row.posts == 1
    assert row.llr.text > 0


def test_events_before_a_deletion_in_the_same_tick_leave_nothing() -> None:
    played = run(
        *[event(at=i, id=str(i), text=ROBOT, lang="en") for i in range(9)], event(at=9, id="d", kind="delete_account")
    )
    assert played.scores() == {}
    assert played.alerts() == []
    assert played.assess.counts.accepted == 10


def test_a_quoted_text_that_is_deleted_leaves_the_alert_at_once() -> None:
    played = run(*posts("ann", 6), event(at=9 * MINUTE, id="d", kind="delete", target="ann0-2"))
    shown = [[post.id for post in alert.posts] for alert in played.alerts()]
    assert any("ann0-2" in ids for ids in shown)
    assert "ann0-2" not in shown[-1]


def test_deleting_what_never_was_is_accepted() -> None:
    played = run(
        event(id="a", kind="delete", target="none"),
        event("bob", id="b", kind="delete_account"),
        event(id="c", kind="delete"),
    )
    assert played.assess.counts.accepted == 3
    assert list(played.scores()) == ["ann"]


def test_traces_of_a_deleted_event_leave_the_window() -> None:
    shared: dict[str, Any] = {"urls": ["https://a.example/1"], "lang": "en", "text": "human here"}
    items = [event(name, at=i, id=name, **shared) for i, name in enumerate("abc")]
    played = run(*items, event("b", at=MINUTE * 20, id="d", kind="delete", target="b"))
    assert shared_links(run(*items)) == {"ab", "ac", "bc"}
    assert shared_links(played) == {"ac"}


LINKED = "look at this https://a.example/1"


def test_an_edit_leaves_traces_of_what_it_names_anew() -> None:
    others = [event(name, at=12 * MINUTE, id=name, text=LINKED) for name in "bc"]
    edited = event("a", at=10 * MINUTE, id="x", text=LINKED)
    for at in (0, 10 * MINUTE - 1):
        first = event("a", at=at, id="x", text="look at this")
        played = run(first, edited, *others)
        assert shared_links(played) == {"ab", "ac", "bc"}
        assert played.scores()["a"].posts == 1
    assert shared_links(run(first, *others)) == {"bc"}


def test_what_an_edit_names_again_is_no_further_trace() -> None:
    texts = [LINKED, f"{LINKED} #tag", f"{LINKED} #tag and more", f"{LINKED} #tag @zoe"]
    for step in (1000, MINUTE):
        edits = [event("a", at=i * step, id="x", text=text) for i, text in enumerate(texts)]
        assert traces_of(run(*edits)) == [
            (0, "domain", "a.example"),
            (0, "link", "https://a.example/1"),
            (step, "hashtag", "tag"),
            (3 * step, "mention", "zoe"),
        ]


def test_a_deleted_post_takes_the_traces_of_its_edits_with_it() -> None:
    items = [event("a", at=i * 90_000, id="x", text=text) for i, text in enumerate(["here", LINKED, f"{LINKED} #tag"])]
    assert traces_of(run(*items)) != []
    for at in (3, 20):
        assert traces_of(run(*items, event("a", at=at * MINUTE, id="d", kind="delete", target="x"))) == []


def test_an_edit_leaves_nothing_where_its_account_goes_in_the_same_tick() -> None:
    edits = [event("a", at=i, id="x", text=text) for i, text in enumerate(["here", LINKED])]
    assert traces_of(run(*edits, event("a", at=5, id="d", kind="delete_account"), event("b", at=6))) == []


def traces_of(played: Played) -> list[tuple[int, str, str]]:
    """Time since the first event, kind and object of all traces that are kept."""
    accounts = played.assess.state.accounts
    view = played.assess.state.groups.memory.view(accounts.name, T0 + 60 * MINUTE)
    found = zip(view.at.tolist(), view.kind.tolist(), view.item.tolist(), strict=True)
    return sorted((at - T0, KIND_TABLE[kind].name, view.keys[item]) for at, kind, item in found)


def shared_links(played: Played) -> set[str]:
    """Pairs that met on a link, by their names."""
    accounts = played.assess.state.accounts
    view = played.assess.state.groups.memory.view(accounts.name, T0 + 60 * MINUTE)
    met = coincidences(view, T0 + 60 * MINUTE)
    pairs = zip(met.a.tolist(), met.b.tolist(), met.kind.tolist(), strict=True)
    return {view.names[a] + view.names[b] for a, b, kind in pairs if kind == LINK}
