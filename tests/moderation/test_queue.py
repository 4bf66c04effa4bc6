"""Nothing is claimed twice; claims end; people claim, release, assign and snooze as their role permits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, true

from detector.errors import FeedError
from moderation import alert_lists, bulk_actions, cases, decisions, queue
from moderation.database_tables import AlertRow
from moderation.decisions import DecisionRequest
from tests.moderation.builders import alert
from tests.moderation.conftest import Clock, Feed, Site
from tests.moderation.test_ingest import waiting
from tests.moderation.test_web import text_of

PEOPLE = ("moderator", "colleague", "lead")


def holder(feed: Feed, name: str = "c1") -> str | None:
    """Who holds an alert now."""
    row = feed.see(cases.load_alert, feed.actors["viewer"], name).row
    return row.holder if row.claimed_by is not None and row.claimed_until > feed.clock() else None


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("claim", "release", "next", "wait")),
            st.sampled_from(PEOPLE),
            st.sampled_from(("a1", "a2")),
            st.integers(1, 20),
        ),
        max_size=20,
    )
)
def test_an_alert_is_held_by_one_person_until_the_lease_ends(
    feed: Feed, steps: list[tuple[str, str, str, int]]
) -> None:
    """Against a model: who may hold what, and until when."""
    with feed.database.write() as connection:
        connection.execute(delete(AlertRow))
    feed.clock.at = Clock().at
    feed.put(alert("a1", kind="account"), alert("a2", kind="account"))
    assert [holder(feed, each) for each in ("a1", "a2")] == [None, None]
    held: dict[str, tuple[str, int]] = {}
    for action, who, name, minutes in steps:
        now = feed.clock()
        live = {each: person for each, (person, until) in held.items() if until > now}
        if action == "wait":
            feed.clock.pass_s(60 * minutes)
        elif action == "claim":
            if live.get(name, who) == who:
                held[name] = (who, feed.do(queue.claim, who, name))
            else:
                with pytest.raises(FeedError, match="somebody else"):
                    feed.do(queue.claim, who, name)
        elif action == "release":
            # A lead may also clear a claim that has ended.
            if live.get(name) == who or (who == "lead" and name in held):
                feed.do(queue.release, who, name)
                held.pop(name, None)
            else:
                with pytest.raises(FeedError, match="not yours"):
                    feed.do(queue.release, who, name)
        else:
            found = feed.do(queue.claim_next, who, true())
            free = [each for each in ("a1", "a2") if each not in live]
            assert found == (free[0] if free else None)
            if found:
                held[found] = (who, now + queue.LEASE_MS)
        now = feed.clock()
        for each in ("a1", "a2"):
            person, until = held.get(each, ("", 0))
            assert holder(feed, each) == (person if until > now else None)


def test_many_people_at_once_never_get_the_same_alert(feed: Feed) -> None:
    feed.put(*(alert(f"a{number}", kind="account", accounts=(f"u{number}",)) for number in range(40)))

    def take(who: str) -> list[str]:
        got = []
        while (found := feed.do(queue.claim_next, who, true())) is not None:
            got.append(found)
        return got

    with ThreadPoolExecutor(4) as pool:
        taken = [name for got in pool.map(take, ["moderator", "colleague", "lead", "admin"]) for name in got]
    assert sorted(taken) == sorted(f"a{number}" for number in range(40))


def test_the_most_urgent_comes_first_and_escalated_ones_are_for_leads(feed: Feed) -> None:
    feed.put(alert("small"), alert("large", accounts=[f"u{n}" for n in range(30)]), alert("info", kind="coordination"))
    feed.do(queue.escalate, "moderator", "large")
    assert feed.do(queue.claim_next, "moderator", true()) == "small"
    assert feed.do(queue.claim_next, "lead", true()) == "large"


def test_what_is_the_leads_alone_waits_for_no_moderator(feed: Feed) -> None:
    feed.put(alert("free"), alert("passed-on"))
    feed.do(queue.escalate, "moderator", "passed-on")

    def seen(who: str, state: Literal["waiting", "escalated"]) -> tuple[int, set[str]]:
        actor = feed.actors[who]
        found = feed.see(alert_lists.list_alerts, actor, alert_lists.Filters(state), feed.clock())
        return feed.see(alert_lists.counts, actor, feed.clock())[state], {row.id for row in found.rows}

    assert seen("moderator", "waiting") == (1, {"free"})
    assert seen("moderator", "escalated") == (1, {"passed-on"})
    # Who only reads sees what waits for anybody.
    assert seen("lead", "waiting") == seen("viewer", "waiting") == (2, {"free", "passed-on"})


def test_what_was_escalated_is_the_leads_alone_in_every_way(feed: Feed) -> None:
    feed.put(alert("c1"), alert("c2"))
    feed.do(queue.claim, "moderator", "c1")
    feed.do(queue.escalate, "moderator", "c1", reason="their lawyer wrote to us")
    refused: tuple[Callable[[], object], ...] = (
        lambda: feed.do(queue.claim, "colleague", "c1"),
        lambda: feed.do(queue.snooze, "colleague", "c1", feed.clock() + 60_000),
        lambda: feed.do(queue.snooze, "moderator", "c1", 0),
        lambda: feed.do(queue.escalate, "colleague", "c1", reason="nothing to see"),
        lambda: feed.do(decisions.decide, "moderator", DecisionRequest("c1", "not_a_campaign")),
        lambda: feed.do(decisions.decide, "moderator", DecisionRequest("c1", "not_a_campaign", account="ada")),
    )
    for attempt in refused:
        with pytest.raises(FeedError, match="escalated: a lead works on it"):
            attempt()
    bulk = bulk_actions.BulkRequest("snooze", ("c1", "c2"), until=feed.clock() + 60_000)
    shown = feed.do(bulk_actions.preview, "colleague", bulk)
    assert [outcome.problem is None for outcome in shown.outcomes] == [False, True]
    row = feed.see(cases.load_alert, feed.actors["viewer"], "c1").row
    assert (row.escalated, row.escalated_name, row.escalated_at) == (1, "moderator", feed.clock())
    assert row.escalated_reason == "their lawyer wrote to us"
    with pytest.raises(FeedError, match="escalated already"):
        feed.do(queue.escalate, "lead", "c1", reason="another")
    with pytest.raises(FeedError, match="hand it back"):
        feed.do(queue.assign, "lead", "c1", feed.actors["moderator"].user_id)
    feed.do(queue.claim, "lead", "c1")
    feed.do(queue.escalate, "lead", "c1", up=False)
    feed.do(queue.claim, "colleague", "c1")
    assert feed.see(cases.load_alert, feed.actors["viewer"], "c1").row.escalated_name is None


def test_an_escalation_follows_a_merged_alert_and_takes_it_from_a_moderator(feed: Feed) -> None:
    feed.put(alert("c1"), alert("c2"))
    feed.do(queue.escalate, "moderator", "c1", reason="ask the police")
    feed.do(queue.claim, "colleague", "c2")
    feed.put(alert("c1", revision=2, status="merged", merged_into="c2"))
    row = feed.see(cases.load_alert, feed.actors["viewer"], "c2").row
    assert (row.escalated_name, row.escalated_reason, row.claimed_by) == ("moderator", "ask the police", None)


def test_the_page_says_who_escalated_or_put_it_off_when_and_why(site: Site) -> None:
    site.feed.put(alert("c1"), alert("c2"))
    browser = site.browser("moderator")
    browser.post("/alerts/c1/escalate", {"reason": "their lawyer wrote to us"})
    browser.post("/alerts/c2/snooze", {"minutes": "60", "reason": "the vote is tomorrow"})
    page = text_of(site.browser("colleague").get("/alerts/c1").text).replace(" :", ":").replace(" ,", ",")
    assert "Escalated by moderator, 15 Jan 2027, 08:00 (just now): their lawyer wrote to us" in page
    assert "only a lead works on it now" in page
    assert "Claim" not in page.partition("Decide")[2].partition("Decide")[0]
    page = text_of(site.browser("colleague").get("/alerts/c2").text)
    assert "Put off until 15 Jan 2027, 09:00 by moderator, just now: the vote is tomorrow" in page.replace(" :", ":")


def test_a_moderator_has_nothing_to_pass_over_in_what_waits_for_a_lead(site: Site) -> None:
    site.feed.put(alert())
    assert 'id="skip"' in site.browser("moderator").get("/alerts/c1").text
    site.feed.do(queue.escalate, "moderator", "c1", reason="a lead should look")
    assert 'id="skip"' not in site.browser("moderator").get("/alerts/c1").text
    assert 'id="skip"' in site.browser("lead").get("/alerts/c1").text


def test_a_lead_assigns_over_anybody_s_claim(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.claim, "moderator", "c1")
    feed.do(queue.assign, "lead", "c1", feed.actors["colleague"].user_id)
    assert holder(feed) == "colleague"
    with pytest.raises(FeedError, match="right 'lead'"):
        feed.do(queue.assign, "moderator", "c1", feed.actors["moderator"].user_id)
    with pytest.raises(FeedError, match="active and may decide"):
        feed.do(queue.assign, "lead", "c1", feed.actors["viewer"].user_id)


def test_what_is_put_off_leaves_the_queue_until_its_time(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.snooze, "moderator", "c1", feed.clock() + 60_000)
    assert waiting(feed) == []
    feed.clock.pass_s(61)
    assert waiting(feed) == ["c1"]
    feed.do(queue.snooze, "moderator", "c1", feed.clock() + 60_000)
    feed.do(queue.snooze, "moderator", "c1", 0)
    assert waiting(feed) == ["c1"]
    with pytest.raises(FeedError, match="30 days"):
        feed.do(queue.snooze, "moderator", "c1", feed.clock() + 40 * 86_400_000)


def test_closed_alerts_cannot_be_worked_on_and_say_why(feed: Feed) -> None:
    feed.put(alert(revision=1), alert(revision=2, status="withdrawn"), alert("m", status="merged", merged_into="c1"))
    with pytest.raises(FeedError, match="withdrawn"):
        feed.do(queue.claim, "moderator", "c1")
    with pytest.raises(FeedError, match="now part of c1"):
        feed.do(queue.claim, "moderator", "m")
    with pytest.raises(FeedError, match="no such alert"):
        feed.do(queue.claim, "moderator", "none")


def test_pages_of_the_queue_show_every_alert_once_in_order(feed: Feed) -> None:
    feed.put(*(alert(f"a{n:02}", kind=("campaign", "account")[n % 2], accounts=[f"u{n}"] * 1) for n in range(23)))
    viewer = feed.actors["viewer"]
    assert len(alert_lists.SORTS) == 4
    for sort in alert_lists.SORTS:
        filters = alert_lists.Filters(sort=sort)
        seen: list[str] = []
        cursor = None
        while True:
            found = feed.see(alert_lists.list_alerts, viewer, filters, feed.clock(), cursor, 5)
            seen += [row.id for row in found.rows]
            cursor = found.cursor
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 23
        assert seen == [
            row.id for row in feed.see(alert_lists.list_alerts, viewer, filters, feed.clock(), None, 50).rows
        ]


def test_filters_find_by_kind_size_state_and_words(feed: Feed) -> None:
    feed.put(alert("c1"), alert("a1", kind="account", accounts=("zoe_50%",)), alert("k1", kind="coordination"))
    viewer = feed.actors["viewer"]

    def found(**fields: str) -> list[str]:
        rows = feed.see(alert_lists.list_alerts, viewer, alert_lists.Filters.read(fields), feed.clock()).rows
        return [row.id for row in rows]

    assert found() == ["c1", "a1", "k1"]
    assert found(kind="account") == found(q="ZOE_50%") == found(q="zoe_50% harbour") == ["a1"]
    assert found(min_members="3") == ["c1", "k1"]
    assert found(q="tunnel.example nobody-wrote-this") == found(q="zoe_51") == []
    # Of punctuation alone there is nothing to find.
    assert found(q="%") == []
    assert found(state="decided") == found(state="closed") == found(state="mine") == []
    for bad in ({"state": "x"}, {"min_members": "-1"}, {"min_members": "²"}, {"q": "x" * 300}, {"sort": "id; --"}):
        with pytest.raises(FeedError, match="cannot be filtered"):
            alert_lists.Filters.read(bad)
