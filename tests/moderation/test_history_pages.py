"""Decisions and audit can be read: whose alert, by whom, filtered, exported; and a bulk action is undone at once."""

from __future__ import annotations

import csv
import io
import re

import pytest

from detector.errors import FeedError
from moderation import decisions, queue
from moderation.decisions import DecisionRequest
from tests.moderation.builders import alert
from tests.moderation.conftest import Site
from tests.moderation.test_ingest import waiting
from tests.moderation.test_web import text_of


def rows(page: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page)))


def filled(site: Site) -> None:
    feed = site.feed
    feed.put(alert("c1"), alert("c2", accounts=("dan", "eve")), alert("a1", kind="account", accounts=("zoe",)))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", reason="one operator"))
    feed.clock.pass_s(86_400)
    number = feed.do(decisions.decide, "colleague", DecisionRequest("c2", "not_a_campaign", note="=HYPERLINK(1)"))
    feed.do(decisions.undo, "lead", number, "they are one")
    feed.clock.pass_s(86_400)
    feed.do(decisions.decide, "colleague", DecisionRequest("a1", "permitted_automation"))


def test_a_decision_names_its_alert_and_who_took_it_back(site: Site) -> None:
    filled(site)
    page = text_of(site.browser("viewer").get("/decisions").text)
    assert "Campaign: ada, bob, cyd" in page
    assert "Account: zoe" in page
    assert "taken back by lead, 1 h ago: they are one" in page.replace("24 h", "1 h")
    # That it was taken back is said once, where it stands, and is no entry of its own.
    assert page.count("taken back by") == 1
    assert "Taken back" not in page


@pytest.mark.parametrize(
    ("query", "alerts"),
    [
        ("who=colleague", ["a1", "c2"]),
        ("what=llm_campaign", ["c1"]),
        ("kind=account", ["a1"]),
        ("q=zoe", ["a1"]),
        ("q=dan", ["c2"]),
        ("since=2027-01-16", ["a1", "c2"]),
        ("until=2027-01-16", ["c2", "c1"]),
        ("since=2027-01-16&until=2027-01-16", ["c2"]),
        ("in_force=1", ["a1", "c1"]),
        ("mine=1", []),
        ("who=nobody", []),
    ],
)
def test_decisions_are_filtered_on_the_page_and_in_the_export(site: Site, query: str, alerts: list[str]) -> None:
    filled(site)
    browser = site.browser("viewer")
    page = browser.get(f"/decisions?{query}").text
    assert re.findall(r'<p><a href="/alerts/(\w+)"', page) == alerts
    assert [row["alert"] for row in rows(browser.get(f"/decisions.csv?{query}").text)] == alerts


def test_an_export_has_every_decision_once_and_no_formula(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.web.history_pages.EXPORT_ROWS", 2)
    filled(site)
    answer = site.browser("viewer").get("/decisions.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    found = rows(answer.text)
    assert [row["alert"] for row in found] == ["a1", "c2", "c1"]
    assert found[1]["note"] == "'=HYPERLINK(1)"
    assert (found[1]["taken_back_by"], found[2]["by"], found[2]["alert_names"]) == (
        "lead",
        "moderator",
        "ada, bob, cyd",
    )


def test_unusable_filters_are_refused(site: Site) -> None:
    browser = site.browser("viewer")
    for query in ("since=yesterday", "until=2025-13-01", "q=" + "x" * 300):
        assert browser.get(f"/decisions?{query}").status_code == 400, query


def test_the_last_day_of_the_calendar_is_a_day(site: Site) -> None:
    lead = site.browser("lead")
    for page in ("/decisions", "/decisions.csv", "/results", "/results.csv", "/audit", "/audit.csv"):
        for day in ("0001-01-01", "9999-12-31"):
            assert lead.get(f"{page}?since={day}&until={day}").status_code == 200, (page, day)


def test_the_audit_log_is_read_in_names_and_filtered_and_exported(site: Site) -> None:
    filled(site)
    lead = site.browser("lead")
    page = text_of(lead.get("/audit?what=undo").text)
    assert "lead took back ada" not in page
    assert re.search(r"lead took back dan, eve .*verdict: Taken back", page)
    found = rows(lead.get("/audit.csv?who=colleague&what=decide").text)
    assert [(row["name"], row["action"], row["subject"]) for row in found] == [
        ("colleague", "decide", "a1"), ("colleague", "decide", "c2")
    ]  # fmt: skip
    assert len(rows(lead.get("/audit.csv").text)) > 5
    for path in ("/audit", "/audit.csv"):
        assert site.browser("moderator").get(path).status_code == 403


def test_a_bulk_decision_is_taken_back_at_once(site: Site) -> None:
    site.feed.put(*(alert(f"b{n}", accounts=(f"user{n}",)) for n in range(5)))
    browser = site.browser("moderator")
    order = {"action": "decide", "decision": "not_a_campaign", "ids": [f"b{n}" for n in range(5)]}
    page = browser.post("/bulk/preview", order).text
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page):
        fields.setdefault(name, []).append(value)
    fields["csrf"] = [browser.csrf]
    done = browser.post("/bulk/apply", fields).text
    assert waiting(site.feed) == []
    undo = re.search(r'action="(/bulk/[0-9a-f]{64}/undo)"', done)
    assert undo is not None
    assert site.browser("colleague").post(undo.group(1)).status_code == 403
    assert browser.post(undo.group(1), {"back": "/queue?kind=campaign"}).headers["location"] == (
        "/queue?kind=campaign&done=undone"
    )
    assert len(waiting(site.feed)) == 5
    assert browser.post(undo.group(1)).status_code == 409
    with pytest.raises(FeedError, match="taken back already"):
        site.feed.do(decisions.undo_batch, "lead", undo.group(1).split("/")[2], "")


def test_what_was_put_off_or_claimed_in_bulk_comes_back_in_bulk(site: Site) -> None:
    site.feed.put(alert("b1"), alert("b2", accounts=("dan",)))
    browser = site.browser("moderator")
    site.feed.do(queue.snooze, "moderator", "b1", site.feed.clock() + 3_600_000)
    shown = browser.post("/bulk/preview", {"action": "snooze", "minutes": "0", "ids": ["b1"]})
    assert "This would be done to 1 alert" in text_of(shown.text)


def test_saving_a_view_keeps_its_filter(site: Site) -> None:
    browser = site.browser("moderator")
    saved = browser.post("/views", {"name": "Big", "query": "kind=campaign&min_members=20&q=kettle"})
    assert saved.headers["location"] == "/queue?kind=campaign&q=kettle&min_members=20&done=saved"
    nothing = browser.post("/queue/next", {"kind": "campaign", "q": "kettle", "min_members": "20", "sort": "newest"})
    assert nothing.headers["location"] == "/queue?kind=campaign&sort=newest&q=kettle&min_members=20&done=nothing"


def test_no_two_badges_say_the_same(site: Site) -> None:
    site.feed.put(alert())
    site.feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign"))
    page = site.browser("viewer").get("/queue?state=decided").text
    badges = re.findall(r'class="(?:badge|kind)[^"]*">([^<]+)<', page.partition("<tbody")[2])
    assert sorted(set(badges)) == ["Campaign", "decided: LLM campaign"]
