"""A shift: decide and go on, pass over, comment, draft; the history says it all; others' work is out of one's way."""

from __future__ import annotations

import re
from html import unescape

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from detector.errors import FeedError
from moderation import alert_lists, case_log, decisions, drafts, privacy, queue
from moderation.database_tables import CaseEntry, Draft
from moderation.decisions import DecisionRequest
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_web import text_of


def three(site: Site) -> None:
    site.feed.put(
        alert("a1", kind="account", accounts=("ada",)), alert("a2", kind="account", accounts=("bob",)),
        alert("c3", accounts=("cyd", "dan")),
    )  # fmt: skip


def test_decide_and_next_stays_within_the_queue_one_works_on(site: Site) -> None:
    three(site)
    browser = site.browser("moderator")
    first = browser.post("/queue/next", {"kind": "account"}).headers["location"]
    assert first == "/alerts/a1?done=claimed&from=kind%3Daccount"
    page = browser.get(first).text
    assert 'href="/queue?kind=account" id="back"' in page
    assert re.search(r'name="from" value="kind=account"', page)
    decide = {"decision": "not_a_campaign", "then": "next", "from": "kind=account"}
    second = browser.post("/alerts/a1/decide", decide).headers["location"]
    assert second == "/alerts/a2?done=next&was=a1&from=kind%3Daccount"
    assert 'href="/alerts/a1" id="was"' in browser.get(second).text
    # The campaign is another queue's: this one is done.
    assert browser.post("/alerts/a2/decide", decide).headers["location"] == "/queue?kind=account&done=last"
    stay = browser.post("/alerts/c3/decide", {"decision": "not_a_campaign", "then": "stay"})
    assert stay.headers["location"] == "/alerts/c3?done=decided"


@pytest.mark.parametrize("hostile", ["kind=x", "//evil.example", '"><script>', "q=" + "x" * 500])
def test_a_queue_that_is_none_is_everything(site: Site, hostile: str) -> None:
    three(site)
    browser = site.browser("moderator")
    page = browser.get("/alerts/a1", params={"from": hostile}).text
    assert 'href="/queue" id="back"' in page
    decide = {"decision": "not_a_campaign", "then": "next", "from": hostile}
    assert browser.post("/alerts/a1/decide", decide).headers["location"] == "/alerts/c3?done=next&was=a1"


def test_what_one_passes_over_comes_to_others_and_not_again_to_oneself_this_shift(site: Site) -> None:
    three(site)
    browser, other = site.browser("moderator"), site.browser("colleague")
    assert browser.post("/queue/next").headers["location"].startswith("/alerts/c3")
    assert browser.post("/alerts/c3/skip").headers["location"].startswith("/alerts/a1?done=skipped&was=c3")
    assert "/alerts/c3" not in browser.get("/queue").text
    assert "/alerts/c3" in browser.get("/queue?state=all").text
    assert other.post("/queue/next").headers["location"].startswith("/alerts/c3")
    site.feed.do(queue.release, "colleague", "c3")
    site.feed.clock.at += queue.SKIP_MS
    assert site.feed.do(queue.claim_next, "moderator", alert_lists.claimable(
        site.feed.actors["moderator"], alert_lists.Filters(kind="campaign"), site.feed.clock()
    )) == "c3"  # fmt: skip


def test_claiming_what_one_passed_over_takes_the_skip_back(feed: Feed) -> None:
    feed.put(alert())
    feed.do(queue.skip, "moderator", "c1")
    feed.do(queue.claim, "moderator", "c1")
    feed.do(queue.release, "moderator", "c1")
    rows = feed.see(alert_lists.list_alerts, feed.actors["moderator"], alert_lists.Filters(), feed.clock()).rows
    assert [row.id for row in rows] == ["c1"]
    with pytest.raises(FeedError, match="no such alert"):
        feed.do(queue.skip, "moderator", "none")


def test_the_history_says_who_did_what_when_and_why_and_what_changed(site: Site) -> None:
    feed = site.feed
    record = alert(accounts=("ada", "bob", "cyd"))
    feed.put(record)
    feed.clock.pass_s(60)
    feed.do(queue.claim, "moderator", "c1")
    feed.do(case_log.comment, "moderator", "c1", "looks like last spring's")
    feed.do(queue.snooze, "moderator", "c1", feed.clock() + 60_000, reason="the vote is tomorrow")
    feed.clock.pass_s(120)
    members = [replace(member, posterior=0.97) for member in record.members[:2]]
    feed.put(replace(record, revision=2, members=members))
    feed.do(queue.escalate, "colleague", "c1", reason="a party is involved")
    feed.do(queue.assign, "lead", "c1", feed.actors["admin"].user_id)
    number = feed.do(decisions.decide, "admin", DecisionRequest("c1", "llm_campaign", reason="one hand"))
    feed.clock.pass_s(60)
    feed.do(decisions.undo, "lead", number, "too early")
    page = site.browser("viewer").get("/alerts/c1").text.partition('id="history"')[2].partition("</section>")[0]
    text = re.sub(r"\s+([:,])", r"\1", unescape(text_of(page)))
    for said in (
        "Came in", "moderator claimed it", "moderator said: looks like last spring's",
        "moderator put it off: the vote is tomorrow", "Revised: 3 to 2 accounts, odds 70% to 97%",
        "colleague escalated it: a party is involved", "lead assigned it: to admin", "LLM campaign",
        "taken back by lead, just now: too early",
    ):  # fmt: skip
        assert said in text, said
    # The newest first.
    order = [text.index(said) for said in ("colleague escalated", "Revised", "moderator put it off", "Came in")]
    assert order == sorted(order)
    shown = site.browser("viewer").api("GET", "/alerts/c1").json()["log"]
    assert [line["action"] for line in shown] == ["assign", "escalate", "revised", "snooze", "comment", "claim"]


def test_revisions_that_change_nothing_a_moderator_reads_make_no_line(feed: Feed) -> None:
    feed.put(alert())
    for revision in range(2, 6):
        feed.put(alert(revision=revision, minutes=60 + revision))
    assert feed.see(case_log.entries, ["c1"]) == []
    feed.put(alert(revision=6, status="withdrawn"))
    assert [row.action for row in feed.see(case_log.entries, ["c1"])] == ["withdrawn"]


def test_comments_are_for_those_who_work_and_only_text(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    words = "<script>alert(1)</script> page 41 \u202e"
    assert browser.post("/alerts/c1/comment", {"comment": words}).headers["location"] == "/alerts/c1?done=commented"
    page = site.browser("viewer").get("/alerts/c1").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; page 41" in page
    assert "\u202e" not in page
    assert 'id="comment"' not in page
    assert browser.post("/alerts/c1/comment", {"comment": " "}).status_code == 400
    assert site.browser("viewer").post("/alerts/c1/comment", {"comment": "x"}).status_code == 403


def test_a_draft_is_kept_for_its_writer_until_decided(site: Site) -> None:
    site.feed.put(alert())
    browser, other = site.browser("moderator"), site.browser("colleague")
    typed = {"reason": "one oper", "note": "half a thought", "decision": "llm_campaign"}
    assert browser.post("/drafts/c1", typed).status_code == 204
    page = browser.get("/alerts/c1").text
    assert 'value="one oper"' in page
    assert "half a thought</textarea>" in page
    assert "Your draft, as you left it." in page
    assert "one oper" not in other.get("/alerts/c1").text
    assert site.browser("viewer").post("/drafts/c1", typed).status_code == 403
    browser.post("/alerts/c1/decide", {"decision": "needs_more", "reason": "one operator"})
    assert site.feed.see(drafts.find, site.feed.actors["moderator"], "c1") == {}
    browser.post("/drafts/c1", typed)
    browser.post("/drafts/c1", {"reason": "", "note": "", "decision": "llm_campaign"})
    with site.feed.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Draft)) == 0


def test_a_refused_form_is_a_draft_even_when_the_window_is_closed(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    site.feed.do(queue.claim, "colleague", "c1")
    assert browser.post("/alerts/c1/decide", {"decision": "llm_campaign", "note": "long thoughts"}).status_code == 409
    site.feed.do(queue.release, "colleague", "c1")
    assert "long thoughts</textarea>" in browser.get("/alerts/c1").text


def test_what_was_said_of_a_forgotten_account_is_forgotten(feed: Feed) -> None:
    feed.put(alert(accounts=("ada", "quetzal")))
    feed.do(case_log.comment, "moderator", "c1", "quetzal leads them")
    feed.do(drafts.keep, "moderator", "c1", {"note": "ask quetzal"})
    feed.do(queue.escalate, "moderator", "c1", reason="quetzal wrote to us")
    feed.do(privacy.forget, "admin", "quetzal")
    with feed.database.read() as connection:
        said = list(connection.scalars(select(CaseEntry.words)))
        assert connection.scalar(select(func.count()).select_from(Draft)) == 0
    assert not any("quetzal" in each for each in said)


def test_times_are_elements_that_a_browser_can_tell_in_its_own(site: Site) -> None:
    site.feed.put(alert())
    page = site.browser("viewer").get("/alerts/c1").text
    assert '<time datetime="2025-06-01T08:00:00Z">1 Jun 2025, 08:00</time>' in page
