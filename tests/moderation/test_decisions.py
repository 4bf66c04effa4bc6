"""Decisions close alerts, undoing restores, and each is sent to the system exactly as it was made."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select

from detector.errors import FeedError
from moderation import bulk_actions, cases, decisions, outbox, queue
from moderation.database_tables import AlertRow, DecisionRow, Outgoing
from moderation.decisions import CLOSING_VERDICTS, VERDICTS, DecisionRequest
from moderation.permissions import Actor
from streaming.assess.alert_store import account_alert_id
from streaming.assess.feedback import parse
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed
from tests.moderation.test_ingest import waiting


def bodies(feed: Feed) -> list[dict[str, Any]]:
    """Records in the outbox."""
    with feed.database.read() as connection:
        return [json.loads(body) for body in connection.scalars(select(Outgoing.body).order_by(Outgoing.seq))]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.sampled_from(VERDICTS), st.integers(0, 9)), max_size=14))
def test_current_is_the_last_decision_that_was_not_undone(feed: Feed, steps: list[Any]) -> None:
    """Against a model: a list of decisions, of which some are struck out. A number takes that one back."""
    with feed.database.write() as connection:
        for table in (AlertRow, DecisionRow, Outgoing):
            connection.execute(delete(table))
    feed.put(alert())
    made: list[tuple[str, str]] = []
    gone: set[str] = set()
    for step in steps:
        feed.clock.pass_s(1)
        current = [verdict for number, verdict in made if number not in gone]
        settled = bool(current) and current[-1] in CLOSING_VERDICTS
        if isinstance(step, int):
            if step >= len(made):
                continue
            number = made[step][0]
            if number in gone:
                with pytest.raises(FeedError, match="already"):
                    feed.do(decisions.undo, "moderator", number, "")
            else:
                feed.do(decisions.undo, "moderator", number, "")
                gone.add(number)
        elif settled:
            with pytest.raises(FeedError, match="is decided"):
                feed.do(decisions.decide, "moderator", DecisionRequest("c1", step))
        else:
            made.append((feed.do(decisions.decide, "moderator", DecisionRequest("c1", step)), step))
        current = [verdict for number, verdict in made if number not in gone]
        last = current[-1] if current else None
        row = feed.see(cases.load_alert, feed.actors["viewer"], "c1").row
        assert row.decision == (last if last in CLOSING_VERDICTS else None)
        assert waiting(feed) == ([] if last is not None else ["c1"])
    assert len(bodies(feed)) == len(made) + len(gone)


def test_the_record_is_what_the_contract_says_and_assess_reads_it(feed: Feed) -> None:
    feed.put(alert())
    request = DecisionRequest(
        "c1", "not_a_campaign", account="ada", policy="rule 4", reason="a fan club", note="saw them live"
    )
    number = feed.do(decisions.decide, "moderator", request)
    undone = feed.do(decisions.undo, "moderator", number, "wrong one")
    first, second = bodies(feed)
    assert first == {
        "v": 1, "alert": "c1", "account": "ada", "decision": "not_a_campaign", "undoes": None, "id": number,
        "at": "2027-01-15T08:00:00.000Z", "by": feed.actors["moderator"].pseudonym, "reason": "a fan club",
        "sampled_with": 1.0,
    }  # fmt: skip
    assert (second["decision"], second["undoes"], second["id"]) == ("undo", number, undone)
    for body in (first, second):
        read = parse(json.dumps(body).encode())
        assert read is not None
        assert read.id == body["id"]


def test_a_missed_account_is_reported_under_the_alert_it_would_have(feed: Feed) -> None:
    feed.do(decisions.report_missed, "moderator", "sly_one", "posts all night", "")
    (body,) = bodies(feed)
    assert (body["decision"], body["alert"], body["account"]) == ("missed", account_alert_id("sly_one"), "sly_one")
    assert body["sampled_with"] is None


def test_needs_more_waits_for_the_next_revision(feed: Feed) -> None:
    feed.put(alert())
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "needs_more"))
    assert waiting(feed) == []
    feed.put(alert(revision=2))
    assert waiting(feed) == ["c1"]


def test_what_a_colleague_has_claimed_is_theirs_to_decide(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.claim, "colleague", "c1")
    for request in (DecisionRequest("c1", "llm_campaign"), DecisionRequest("c1", "llm_campaign", account="ada")):
        with pytest.raises(FeedError, match="somebody else"):
            feed.do(decisions.decide, "moderator", request)
    assert bodies(feed) == []
    feed.clock.at += queue.LEASE_MS
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    assert [body["decision"] for body in bodies(feed)] == ["llm_campaign"]


def test_an_escalated_alert_is_decided_by_leads(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.escalate, "moderator", "c1")
    with pytest.raises(FeedError, match="a lead works on it"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    feed.do(decisions.decide, "lead", DecisionRequest("c1", "llm_campaign"))


def test_only_members_are_decided_on_and_only_one_s_own_decisions_taken_back(feed: Feed) -> None:
    feed.put(alert())
    with pytest.raises(FeedError, match="no member"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", account="stranger"))
    number = feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    with pytest.raises(FeedError, match="right 'lead'"):
        feed.do(decisions.undo, "colleague", number, "")
    undone = feed.do(decisions.undo, "lead", number, "")
    with pytest.raises(FeedError, match="not undone"):
        feed.do(decisions.undo, "lead", undone, "")


def test_asking_twice_with_one_id_decides_once(feed: Feed) -> None:
    feed.put(alert(), alert("c2"))
    number = str(uuid.uuid4())
    assert {
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", id=number)) for _ in range(2)
    } == {number}
    assert len(bodies(feed)) == 1
    with pytest.raises(FeedError, match="another decision"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c2", "llm_campaign", id=number))


def test_nothing_is_left_of_a_decision_whose_transaction_fails(feed: Feed) -> None:
    feed.put(alert())

    def fail(connection: Connection, actor: Actor, now: int) -> None:
        decisions.decide(connection, actor, DecisionRequest("c1", "llm_campaign"), now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        feed.do(fail, "moderator")
    assert (bodies(feed), waiting(feed)) == ([], ["c1"])


def test_bulk_does_what_its_preview_showed_and_nothing_else(feed: Feed) -> None:
    feed.put(alert("a"), alert("b"), alert("c"))
    feed.do(queue.claim, "colleague", "b")
    order = bulk_actions.BulkRequest("decide", ("a", "b", "c", "none"), "not_a_campaign", reason="spring cleaning")
    shown = feed.do(bulk_actions.preview, "moderator", order)
    assert [outcome.problem for outcome in shown.outcomes] == [
        None, "somebody else is working on this alert: wait until they release it, or ask a lead", None,
        "there is no such alert",
    ]  # fmt: skip
    assert (bodies(feed), len(waiting(feed))) == ([], 2)  # what a colleague works on is not shown to others
    revisions = {outcome.id: outcome.revision for outcome in shown.outcomes}
    other = bulk_actions.BulkRequest("decide", ("a", "b", "c", "none"), "llm_campaign", reason="spring cleaning")
    for forged, proof in ((other, shown.proof), (order, "0" * 64)):
        with pytest.raises(FeedError, match="not what the preview showed"):
            feed.do(bulk_actions.apply, "moderator", forged, revisions, shown.made, proof)
    with pytest.raises(FeedError, match="not what the preview showed"):
        feed.do(bulk_actions.apply, "colleague", order, revisions, shown.made, shown.proof)
    feed.put(alert("c", revision=2))
    done = feed.do(bulk_actions.apply, "moderator", order, revisions, shown.made, shown.proof)
    assert [outcome.problem is None for outcome in done] == [True, False, False, False]
    assert [body["alert"] for body in bodies(feed)] == ["a"]
    feed.clock.at += bulk_actions.PREVIEW_VALID_MS + 1
    with pytest.raises(FeedError, match="too old"):
        feed.do(bulk_actions.apply, "moderator", order, revisions, shown.made, shown.proof)


def test_the_outbox_counts_what_waits(feed: Feed) -> None:
    feed.do(decisions.report_missed, "moderator", "sly_one", "", "")
    assert feed.see(outbox.count_unsent) == 1
