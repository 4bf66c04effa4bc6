"""What was typed is never lost: not to a conflict, not to an ended session; errors say what to do and lead back."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape

import pytest

from moderation import queue, users
from moderation.cases import load_alert
from moderation.decisions import DecisionRequest, decide
from tests.moderation.builders import alert
from tests.moderation.conftest import Browser, Site
from tests.moderation.test_web import text_of

NOTE = 'he said "wait" & <left>\nthen came back'
TYPED = {"decision": "llm_campaign", "reason": "one operator", "policy": "rule 4", "note": NOTE}


def fields(page: str) -> dict[str, str]:
    """Hidden fields of a page's forms."""
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page)}


def end_sessions(site: Site, who: str) -> None:
    site.feed.clock.at += users.SESSION_MS


def test_a_conflict_shows_the_page_again_with_all_that_was_typed(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    site.feed.do(queue.claim, "colleague", "c1")
    answer = browser.post("/alerts/c1/decide", TYPED)
    assert answer.status_code == 409
    assert "somebody else is working on this alert" in answer.text.lower()
    assert "What you wrote is kept" in answer.text
    # There is no form while a colleague has it: the words themselves are there, to be read and copied.
    assert 'name="note"' not in answer.text
    assert all(words in answer.text for words in (TYPED["reason"], "rule 4", "then came back"))
    site.feed.do(queue.release, "colleague", "c1")
    answer = browser.post("/alerts/c1/decide", TYPED | {"reason": "x" * 300})
    assert answer.status_code == 400
    page = answer.text
    assert re.search(r'value="llm_campaign" required checked', page)
    assert 'value="rule 4"' in page
    assert f"{'x' * 300}" in page
    assert "then came back</textarea>" in page


def test_an_ended_session_asks_to_log_in_and_gives_back_what_was_sent(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    end_sessions(site, "moderator")
    asked = browser.post("/alerts/c1/decide", TYPED)
    assert asked.status_code == 401
    assert "What you wrote is kept" in asked.text
    login = fields(asked.text) | {"name": "moderator", "password": "mistyped"}
    assert not any("csrf" in name for name in login)
    again = browser.client.post("/login", data=login)
    assert again.status_code == 401
    shown = browser.client.post(
        "/login", data=fields(again.text) | {"name": "moderator", "password": "password of moderator"}
    )
    assert shown.status_code == 200
    assert "he said" in text_of(shown.text)
    form = fields(shown.text.partition("<main")[2])
    assert form["note"] == NOTE
    assert browser.client.post("/alerts/c1/decide", data=form).status_code == 303
    row = site.feed.see(load_alert, site.feed.actors["viewer"], "c1").row
    assert row.decision == "llm_campaign"


@pytest.mark.parametrize("path", ["/people", "/me/tokens", "/password", "/logout", "//evil.example/alerts/"])
def test_forms_that_change_people_or_lead_elsewhere_are_not_resumed(site: Site, path: str) -> None:
    answer = site.client().post("/login", data={
        "name": "admin", "password": "password of admin", "resume": path, "resume-name": "eve", "resume-role": "admin",
    })  # fmt: skip
    assert answer.status_code == 303
    if path.startswith("/p"):
        assert "resume" not in site.client().post(path, data={"name": "eve"}).text


def test_what_another_site_sends_is_not_kept_for_later(site: Site) -> None:
    headers = {"origin": "https://evil.example"}
    answer = site.client().post("/alerts/c1/decide", data=TYPED, headers=headers)
    assert answer.status_code == 401
    assert "one operator" not in answer.text


def test_an_error_says_what_it_is_shows_what_was_typed_and_leads_back(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    number = site.feed.do(decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    browser.post(f"/decisions/{number}/undo")
    headers = {"referer": "http://localhost/decisions?mine=1"}
    answer = browser.post(f"/decisions/{number}/undo", {"reason": "by mistake"}, headers=headers)
    page = text_of(answer.text)
    assert answer.status_code == 409
    assert "It cannot be done as things are now" in page
    assert "faster" not in page
    assert "by mistake" in page
    assert 'href="/decisions?mine=1"' in answer.text
    stale = browser.client.post("/missed", data={"csrf": "of another session", "account": "sly", "note": NOTE})
    page = text_of(stale.text)
    assert "The page was out of date" in page
    assert "he said" in page
    # Nothing that another site may have made is offered to be sent again.
    assert "Try again" not in page


def test_a_way_back_is_only_one_of_the_feed(site: Site) -> None:
    browser = site.browser("moderator")
    for referer in ("https://evil.example/queue", "http://localhost//evil.example", "nonsense", "http://[", ""):
        page = browser.get("/alerts/none", headers={"referer": referer}).text
        assert "evil.example" not in page, referer


def test_locking_out_is_confirmed(site: Site) -> None:
    browser = site.browser("admin")
    number = site.feed.actors["viewer"].user_id
    assert "I am sure" in browser.get("/people").text
    assert browser.post(f"/people/{number}", {"active": "0"}).status_code == 400
    assert site.browser("viewer").get("/me").status_code == 200
    assert browser.post(f"/people/{number}", {"active": "0", "sure": "1"}).status_code == 303
    assert browser.post(f"/people/{number}", {"active": "1"}).status_code == 303


def accessible_names(page: str) -> list[str]:
    """Names of the buttons of a page, as a screen reader says them."""
    found = []
    for attributes, inside in re.findall(r"<button([^>]*)>(.*?)</button>", page, re.DOTALL):
        if re.search(r"\bhidden\b", attributes):
            continue
        label = re.search(r'aria-label="([^"]*)"', attributes)
        found.append(label.group(1) if label else text_of(inside).strip())
    return found


def busy(site: Site) -> Browser:
    site.feed.put(alert("c1"), alert("c2", accounts=("dan", "eve")), alert("c3", accounts=("fay",)))
    for name in ("c1", "c2"):
        site.feed.do(decide, "admin", DecisionRequest(name, "llm_campaign"))
        site.feed.do(decide, "admin", DecisionRequest(name, "not_a_campaign", account="ada" if name == "c1" else "dan"))
    browser = site.browser("admin")
    for name in ("one", "two"):
        browser.post("/views", {"name": name, "query": "kind=account"})
        browser.post("/me/tokens", {"name": name, "scopes": "read"})
    return browser


@pytest.mark.parametrize("path", ["/queue", "/alerts/c1", "/alerts/c3", "/decisions", "/people", "/me", "/audit"])
def test_no_two_buttons_of_a_page_are_called_the_same(site: Site, path: str) -> None:
    names = accessible_names(busy(site).get(path).text)
    assert names
    assert [name for name, count in Counter(names).items() if count > 1 or not name] == []
