"""A campaign and the alerts of its members are one case: linked, decided on together, and never contradicted unseen."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from detector.errors import FeedError
from moderation import bulk_actions, cases, decisions, queue, related
from moderation.decisions import DecisionRequest
from streaming.assess.alert_store import account_alert_id
from streaming.schema.alert import AlertRecord, EdgeRecord
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_decisions import bodies
from tests.moderation.test_ingest import waiting
from tests.moderation.test_web import text_of

ADA, BOB, CYD = (account_alert_id(name) for name in ("ada", "bob", "cyd"))


def own(account: str) -> AlertRecord:
    """The alert an account has of its own."""
    return alert(account_alert_id(account), kind="account", accounts=(account,))


def decision_of(feed: Feed, name: str) -> str | None:
    found: str | None = feed.see(cases.load_alert, feed.actors["viewer"], name).row.decision
    return found


def test_one_decision_covers_the_chosen_alerts_of_members_and_is_taken_back_as_one(feed: Feed) -> None:
    feed.put(alert(), own("ada"), own("bob"), own("cyd"))
    request = DecisionRequest("c1", "llm_campaign", reason="one operator", covers=("ada", "cyd"))
    number = feed.do(decisions.decide, "moderator", request)
    assert [decision_of(feed, name) for name in ("c1", ADA, BOB, CYD)] == [
        "llm_campaign", "llm_campaign", None, "llm_campaign"
    ]  # fmt: skip
    assert sorted(body["alert"] for body in bodies(feed)) == sorted(["c1", ADA, CYD])
    assert {body["reason"] for body in bodies(feed)} == {"one operator"}
    feed.do(decisions.undo, "moderator", number, "wrong")
    assert [decision_of(feed, name) for name in ("c1", ADA, CYD)] == [None, None, None]
    assert sorted(waiting(feed)) == sorted(["c1", ADA, BOB, CYD])


def test_nothing_is_decided_where_a_covered_alert_cannot_be(feed: Feed) -> None:
    feed.put(alert(), own("ada"), own("bob"))
    feed.do(queue.claim, "colleague", BOB)
    with pytest.raises(FeedError, match="'bob' cannot be covered: somebody else"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", covers=("ada", "bob")))
    with pytest.raises(FeedError, match="no member of this alert"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", covers=("zoe",)))
    assert (bodies(feed), decision_of(feed, ADA)) == ([], None)


def test_a_contradiction_is_refused_until_it_is_meant(feed: Feed) -> None:
    feed.put(alert(), own("ada"), own("bob"))
    feed.do(decisions.decide, "lead", DecisionRequest(ADA, "not_a_campaign"))
    with pytest.raises(FeedError, match="lead decided 'not a campaign' on 'ada'") as said:
        feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    assert said.value.code == "contradicts"
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", despite=True))
    # And the other way round: an account against its campaign.
    with pytest.raises(FeedError, match="moderator decided 'llm campaign' on 'bob'"):
        feed.do(decisions.decide, "colleague", DecisionRequest(BOB, "human_coordination"))
    feed.do(decisions.decide, "colleague", DecisionRequest(BOB, "llm_campaign"))


def test_what_agrees_or_was_taken_back_contradicts_nothing(feed: Feed) -> None:
    feed.put(alert(), own("ada"))
    first = feed.do(decisions.decide, "moderator", DecisionRequest(ADA, "not_a_campaign"))
    feed.do(decisions.undo, "moderator", first, "")
    feed.do(decisions.decide, "moderator", DecisionRequest(ADA, "llm_campaign"))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "needs_more"))
    feed.put(alert(revision=2))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))


def test_an_exception_within_the_group_is_meant(feed: Feed) -> None:
    feed.put(alert())
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "not_a_campaign", account="ada"))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    assert feed.see(related.contradictions, "c1", None) == []


def test_a_decision_on_a_member_in_one_group_is_seen_from_the_other(feed: Feed) -> None:
    feed.put(alert("c1"), alert("c2", accounts=("ada", "dan")))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "human_coordination", account="ada"))
    with pytest.raises(FeedError, match="'human coordination' on 'ada'"):
        feed.do(decisions.decide, "moderator", DecisionRequest("c2", "llm_campaign"))


def test_in_bulk_a_contradiction_leaves_the_alert_as_it_is(feed: Feed) -> None:
    feed.put(alert(), own("ada"), alert("other", accounts=("eve",)))
    feed.do(decisions.decide, "lead", DecisionRequest(ADA, "not_a_campaign"))
    bulk = bulk_actions.BulkRequest("decide", ("c1", "other"), "llm_campaign")
    shown = feed.do(bulk_actions.preview, "moderator", bulk)
    assert ["contradicts" in (each.problem or "") for each in shown.outcomes] == [True, False]


def test_the_page_of_a_campaign_links_the_alerts_of_its_members_and_covers_them(site: Site) -> None:
    site.feed.put(alert(), own("ada"), own("bob"), alert("c2", accounts=("cyd", "dan")))
    site.feed.do(decisions.decide, "lead", DecisionRequest(BOB, "not_a_campaign"))
    browser = site.browser("moderator")
    page = browser.get("/alerts/c1").text
    assert f'href="/alerts/{ADA}"' in page
    assert 'href="/alerts/c2"' in page
    assert re.findall(r'name="cover" value="(\w+)"', page) == ["ada"]
    assert "lead: Not a campaign on bob" in re.sub(r"\s+([:,])", r"\1", text_of(page))
    refused = browser.post("/alerts/c1/decide", {"decision": "llm_campaign", "cover": "ada", "reason": "one hand"})
    assert refused.status_code == 409
    assert "this contradicts a decision in force" in text_of(refused.text).lower()
    assert 'value="one hand"' in refused.text
    assert decision_of(site.feed, "c1") is None
    again = {"decision": "llm_campaign", "cover": "ada", "reason": "one hand", "despite": "1"}
    assert browser.post("/alerts/c1/decide", again).status_code == 303
    assert [decision_of(site.feed, each) for each in ("c1", ADA, BOB)] == [
        "llm_campaign", "llm_campaign", "not_a_campaign"
    ]  # fmt: skip


def test_the_page_of_an_account_says_where_it_appears_besides(site: Site) -> None:
    site.feed.put(alert(), own("ada"))
    page = site.browser("viewer").get(f"/alerts/{ADA}").text
    assert 'Also in</strong> <a href="/alerts/c1">Campaign: ada, bob and cyd' in page


def test_the_api_says_what_belongs_together(site: Site) -> None:
    site.feed.put(alert(), own("ada"), alert("c2", accounts=("cyd", "dan")))
    browser = site.browser("moderator")
    shown = browser.api("GET", "/alerts/c1").json()
    assert (shown["member_alerts"], shown["also_in"]) == ({"ada": ADA}, {"cyd": ["c2"]})
    body = {"decision": "llm_campaign", "covers": ["ada"]}
    assert browser.api("POST", "/alerts/c1/decisions", json=body).status_code == 201
    made = browser.api("GET", "/decisions").json()["decisions"]
    assert sorted(each["part_of"] is None for each in made) == [False, True]
    refused = browser.api("POST", "/alerts/c2/decisions", json={"decision": "llm_campaign", "account": "none"})
    assert refused.status_code == 404


def test_who_is_tied_to_members_and_is_none_is_named_as_a_neighbour(site: Site) -> None:
    record = alert()
    edges = [*record.edges, EdgeRecord("bob", "zed", "link", 4, 0.5, 3.0)]
    site.feed.put(replace(record, edges=edges), own("zed"))
    page = site.browser("viewer").get("/alerts/c1").text
    assert "Near it, and no members" in page
    assert "tied to 1 member" in page
    assert f'href="/alerts/{account_alert_id("zed")}"' in page
    assert 'name="cover" value="zed"' not in page
