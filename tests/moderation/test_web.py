"""The pages as a moderator uses them: without script, from the queue to a decision and back."""

from __future__ import annotations

import re

from moderation.cases import load_alert
from moderation.web.evidence_views import graph_json
from tests.moderation.builders import alert, pages
from tests.moderation.conftest import Site


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


def test_claim_decide_and_take_back(site: Site) -> None:
    site.feed.put(alert(), *pages())
    browser = site.browser("moderator")
    assert "/alerts/c1" in browser.get("/queue").text
    assert browser.post("/queue/next").headers["location"] == "/alerts/c1?done=claimed"
    page = text_of(browser.get("/alerts/c1?done=claimed").text)
    assert "It is yours" in page
    assert "3 accounts act together; more likely than not driven by a language model: 70%" in page
    # What a colleague works on is out of one's way, and can be seen.
    assert "/alerts/c1" not in site.browser("colleague").get("/queue").text
    assert "moderator" in text_of(site.browser("colleague").get("/queue?state=claimed").text)
    assert "is working on this alert" in text_of(site.browser("colleague").get("/alerts/c1").text)
    done = browser.post("/alerts/c1/decide", {"decision": "llm_campaign", "reason": "one operator", "revision": "1"})
    assert done.headers["location"] == "/alerts/c1?done=decided"
    assert "Nothing waits" in browser.get("/queue").text
    page = browser.get("/alerts/c1").text
    undo = re.search(r'action="(/decisions/[^"]+/undo)"', page)
    assert undo is not None
    back = browser.post(undo.group(1), {"back": "/alerts/c1"})
    assert back.headers["location"] == "/alerts/c1?done=undone"
    assert "/alerts/c1" in browser.get("/queue").text
    assert "The chain of" in text_of(site.browser("lead").get("/audit").text)


def test_a_viewer_sees_everything_and_can_change_nothing(site: Site) -> None:
    site.feed.put(alert())
    page = site.browser("viewer").get("/alerts/c1").text
    assert "You can look, but not decide." in page
    assert re.findall(r'action="([^"]+)"', page) == ["/logout"]


def test_a_campaign_of_a_thousand_accounts(site: Site) -> None:
    accounts = [f"user{n:04}" for n in range(1000)]
    site.feed.put(alert(accounts=accounts), *pages(accounts=accounts, edges=5000))
    browser = site.browser("moderator")
    page = browser.get("/alerts/c1")
    assert page.status_code == 200
    assert page.text.count('href="/account?name=user') >= 1000
    graph = browser.get("/alerts/c1/graph.json").json()
    assert (len(graph["nodes"]), len(graph["edges"]), len(graph["posts"])) == (1000, 5000, 64_000)
    assert graph["complete"]


def test_the_picture_without_details_is_that_of_the_alert(site: Site) -> None:
    site.feed.put(alert())
    alert_with_details = site.feed.see(load_alert, site.feed.actors["viewer"], "c1")
    graph = graph_json(alert_with_details, {})
    assert [node["id"] for node in graph["nodes"]] == ["ada", "bob", "cyd"]
    assert {(edge["a"], edge["b"]) for edge in graph["edges"]} == {(0, 1), (1, 2)}
    assert not graph["complete"]


def test_a_report_of_a_missed_account(site: Site) -> None:
    browser = site.browser("moderator")
    assert "Report that it should have been found" in browser.get("/account?name=sly").text
    assert browser.post("/missed", {"account": "sly", "reason": "posts all night"}).status_code == 303
    assert "Missed account" in browser.get("/decisions?mine=1").text


def test_bulk_by_forms(site: Site) -> None:
    site.feed.put(alert("a"), alert("b"))
    browser = site.browser("moderator")
    page = browser.post("/bulk/preview", {"action": "snooze", "minutes": "60", "ids": ["a", "b"]}).text
    assert "This would be done to 2 alerts" in text_of(page)
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page):
        fields.setdefault(name, []).append(value)
    fields["csrf"] = [browser.csrf]
    assert "Done to 2 alerts" in text_of(browser.post("/bulk/apply", fields).text)
    assert "Nothing waits" in browser.get("/queue").text


def test_saved_views_are_offered_and_deleted(site: Site) -> None:
    browser = site.browser("moderator")
    browser.post("/views", {"name": "Big ones", "query": "min_members=20&kind=campaign&evil=1"})
    page = browser.get("/queue").text
    assert "Big ones" in page
    found = re.search(r'href="/queue\?([^"]+)"><bdi>Big ones', page)
    assert found is not None
    assert found.group(1) == "kind=campaign&amp;min_members=20"
    remove = re.search(r'action="(/views/\w+/delete)"', page)
    assert remove is not None
    browser.post(remove.group(1))
    assert "Big ones" not in browser.get("/queue").text


def test_health_and_metrics_ask_for_no_login(site: Site) -> None:
    client = site.client()
    assert client.get("/healthz").json() == {"live": True}
    assert client.get("/readyz").json() == {"ready": True, "problems": []}
    assert "swarmlight_feed_request_seconds" in client.get("/metrics").text


def test_metrics_distinguish_routes_and_count_unsent_decisions(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    browser.get("/alerts/c1")
    browser.api("GET", "/alerts/c1")
    assert browser.api("POST", "/missed", json={"account": "sly"}).status_code == 201
    exposition = site.client().get("/metrics").text
    for route in ("/alerts/{alert_id}", "/api/v1/alerts/{alert_id}"):
        assert f'request_seconds_count{{method="GET",route="{route}",status="200"}}' in exposition
    assert "swarmlight_feed_unsent_decisions 1.0" in exposition


def test_texts_are_blurred_for_those_who_choose_so_until_they_ask(site: Site) -> None:
    site.feed.put(alert())
    chooser, other = site.browser("moderator"), site.browser("colleague")
    assert chooser.post("/me/blur", {"blur": "1"}).headers["location"] == "/me?done=changed"
    page = chooser.get("/alerts/c1?from=kind%3Dcampaign").text
    assert '<body class="blurred"' in page
    # Without scripts the link shows them, and loses nothing of the address.
    assert 'href="/alerts/c1?from=kind%3Dcampaign&amp;texts=shown"' in page
    assert "blurred" not in chooser.get("/alerts/c1?texts=shown").text
    assert "blurred" not in other.get("/alerts/c1").text
    chooser.post("/me/blur")
    assert "blurred" not in chooser.get("/alerts/c1").text
