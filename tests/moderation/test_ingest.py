"""Alerts come in once, in any order, and follow what happened to them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from detector.errors import FeedError
from moderation import alert_lists, cases, decisions, queue
from moderation.database_tables import AlertRow, Member, Page
from moderation.topic_records import read_alert
from streaming.schema.alert import AlertRecord, PageRecord
from tests.moderation.builders import alert, altered, pages
from tests.moderation.conftest import Feed

TABLES: tuple[Any, ...] = (AlertRow, Member, Page)


def state(feed: Feed) -> list[Any]:
    """Everything that alerts left in the database."""
    with feed.database.read() as connection:
        return [sorted(map(tuple, connection.execute(select(table))), key=repr) for table in TABLES]


def clear(feed: Feed) -> None:
    with feed.database.write() as connection:
        for table in TABLES:
            connection.execute(delete(table))


REVISIONS: list[AlertRecord | PageRecord] = [
    alert("c1", revision=1, accounts=("ada", "bob")),
    alert("c1", revision=2, accounts=("ada", "bob", "cyd")),
    alert("c1", revision=3, status="merged", merged_into="c2"),
    alert("c2", revision=1, kind="coordination", accounts=("dan", "eve")),
    alert("c2", revision=2, accounts=("dan", "eve", "ada")),
    *pages("c2", revision=1, size=60),
    *pages("c2", revision=2, size=120),
]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_order_repetition_and_batches_change_nothing(feed: Feed, data: st.DataObject) -> None:
    clear(feed)
    feed.put(*REVISIONS)
    expected = state(feed)
    clear(feed)
    order = data.draw(st.permutations(REVISIONS + REVISIONS[:4]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        feed.put(*order[start:end])
    assert state(feed) == expected


def test_an_old_revision_is_counted_as_stale(feed: Feed) -> None:
    assert not feed.put(alert(revision=2)).stale
    counts = feed.put(alert(revision=1), alert(revision=2))
    assert (counts.stale, dict(counts.revisions)) == (2, {})


def test_a_claim_follows_a_merge_where_the_other_is_free(feed: Feed) -> None:
    feed.put(alert("old"), alert("new"))
    feed.do(queue.claim, "moderator", "old")
    feed.put(alert("old", revision=2, status="merged", merged_into="new"))
    row = feed.see(cases.load_alert, feed.actors["moderator"], "new").row
    assert row.claimed_by == feed.actors["moderator"].user_id
    assert feed.see(cases.merged_ancestors, "new") == ["new", "old"]


def test_a_merge_takes_nobody_s_claim_away(feed: Feed) -> None:
    feed.put(alert("old"), alert("new"))
    feed.do(queue.claim, "moderator", "old")
    feed.do(queue.claim, "colleague", "new")
    feed.put(alert("old", revision=2, status="merged", merged_into="new"))
    row = feed.see(cases.load_alert, feed.actors["moderator"], "new").row
    assert row.claimed_by == feed.actors["colleague"].user_id


def test_a_decided_alert_returns_to_the_queue_when_it_opens_again(feed: Feed) -> None:
    feed.put(alert())
    feed.do(decisions.decide, "moderator", decisions.DecisionRequest("c1", "not_a_campaign"))
    feed.put(alert(revision=2, status="withdrawn"))
    assert waiting(feed) == []
    feed.put(alert(revision=3))
    row = feed.see(cases.load_alert, feed.actors["moderator"], "c1").row
    assert (waiting(feed), row.returned, row.decision) == (["c1"], 1, None)


def test_a_decided_alert_that_is_only_revised_stays_decided(feed: Feed) -> None:
    feed.put(alert())
    feed.do(decisions.decide, "moderator", decisions.DecisionRequest("c1", "llm_campaign"))
    feed.put(alert(revision=2))
    assert waiting(feed) == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"\xff", b"[" * 100_000, altered(alert(), id="a/b"), altered(alert(), id="x" * 200),
        altered(alert(), revision=0), altered(alert(), status="new"), altered(alert(), at="yesterday"),
        altered(alert(), v=4), altered(alert(), merged_into="<script>"),
        altered(alert(), members=[{"account": 7}]),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_record_that_is_no_alert_is_refused(body: bytes) -> None:
    with pytest.raises(FeedError) as refused:
        read_alert(body)
    assert refused.value.code == "invalid"


def test_untrusted_names_are_stored_as_they_are(feed: Feed) -> None:
    names = ["<script>alert(1)</script>", "'; DROP TABLE alerts; --", "a\u202eb", "nul\0nul", "x" * 5000]
    feed.put(alert(accounts=names))
    with feed.database.read() as connection:
        kept = set(connection.scalars(select(Member.account)))
    assert kept == {*names[:3], "nul\ufffdnul", "x" * 512}


def waiting(feed: Feed) -> list[str]:
    """Ids in the queue of somebody who only looks."""
    actor = feed.actors["viewer"]
    found = feed.see(alert_lists.list_alerts, actor, alert_lists.Filters(), feed.clock())
    return [row.id for row in found.rows]
