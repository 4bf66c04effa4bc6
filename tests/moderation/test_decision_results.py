"""What the decisions came to: counted by what was shown when they were made, with intervals that say how sure it is."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from scipy.stats import beta

from moderation import actions, decision_results, decisions
from moderation.action_loop import deliver_due
from moderation.decision_results import Rate, band_words
from moderation.decisions import DecisionRequest
from moderation.web.result_pages import rate_words
from streaming.schema.alert import AlertRecord
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_actions import one
from tests.moderation.test_context import decide, odds
from tests.moderation.test_web import text_of


def look(feed: Feed, since: int = 0, until: int = 0) -> decision_results.DecisionResults:
    found = feed.see(decision_results.results, feed.actors["viewer"], feed.clock(), since, until)
    assert isinstance(found, decision_results.DecisionResults)
    return found


def put(feed: Feed, name: str, share: float, kind: Any = "campaign") -> AlertRecord:
    accounts = (f"{name}a",) if kind == "account" else (f"{name}a", f"{name}b")
    record = odds(alert(name, kind=kind, accounts=accounts), share)
    feed.put(record)
    return record


def test_intervals_are_those_of_clopper_and_pearson() -> None:
    rate = Rate.counted(34, 40)
    assert rate.share == 0.85
    assert rate.low == pytest.approx(beta.ppf(0.025, 34, 7))
    assert rate.high == pytest.approx(beta.ppf(0.975, 35, 6))
    assert Rate.counted(0, 0) == Rate(0, 0, 0.0, 1.0)
    assert rate_words(Rate.counted(0, 0)) == "none yet"
    assert rate_words(rate) == "34 of 40, 85% (70% to 94%)"
    assert rate_words(Rate.counted(5, 5)) == "5 of 5, 100% (48% to 100%)"


def test_precision_is_by_kind_and_by_the_odds_when_decided(feed: Feed) -> None:
    for number in range(10):
        put(feed, f"sure{number}", 0.97)
        decide(feed, f"sure{number}", "llm_campaign" if number < 9 else "human_coordination")
    for number in range(4):
        put(feed, f"weak{number}", 0.3, "account")
        decide(feed, f"weak{number}", "llm_campaign" if number < 1 else "not_a_campaign")
    put(feed, "open", 0.97)
    put(feed, "later", 0.97)
    decide(feed, "later", "needs_more")
    # What was decided against is withdrawn by and by, and names nobody then: it counts as what it was.
    feed.put(alert("sure9", accounts=("sure9a", "sure9b"), revision=2, status="withdrawn"))
    found = {(each.kind, each.band): (each.rate.hits, each.rate.of, each.verdicts) for each in look(feed).precision}
    assert found == {
        ("campaign", "all"): (9, 10, {"human_coordination": 1, "llm_campaign": 9}),
        ("campaign", "95% or more"): (9, 10, {"human_coordination": 1, "llm_campaign": 9}),
        ("account", "all"): (1, 4, {"llm_campaign": 1, "not_a_campaign": 3}),
        ("account", "20% to 50%"): (1, 4, {"llm_campaign": 1, "not_a_campaign": 3}),
    }
    assert [band_words(share) for share in (0.99, 0.75, 0.5, 0.2, 0.0, None)] == [
        "95% or more", "75% to 95%", "50% to 75%", "20% to 50%", "under 20%", "none"
    ]  # fmt: skip


def test_what_was_taken_back_counts_as_that_and_not_as_confirmed(feed: Feed) -> None:
    for number in range(4):
        put(feed, f"c{number}", 0.97)
    made = [decide(feed, f"c{number}", "llm_campaign") for number in range(4)]
    feed.do(decisions.undo, "lead", made[0], "")
    feed.do(decisions.report_missed, "moderator", "sly", "", "")
    found = look(feed)
    assert (found.taken_back.hits, found.taken_back.of, found.reported) == (1, 4, 1)
    assert found.precision[0].rate.of == 3


def test_times_are_from_arrival_to_decision_and_what_waits_longest_is_named(feed: Feed) -> None:
    for number in range(10):
        put(feed, f"c{number}", 0.97)
    put(feed, "waits", 0.97)
    feed.clock.pass_s(600)
    for number in range(9):
        decide(feed, f"c{number}", "llm_campaign")
    feed.clock.pass_s(6000)
    decide(feed, "c9", "llm_campaign")
    put(feed, "young", 0.3, "account")
    (duration,) = look(feed).durations
    assert (duration.decided, duration.median_minutes, duration.ninetieth_minutes) == (10, 10.0, 110.0)
    assert look(feed).waiting == {"campaign": 1, "account": 1, "coordination": 0}
    assert [each.id for each in look(feed).oldest] == ["waits", "young"]


def test_a_time_is_from_one_day_to_another(feed: Feed) -> None:
    put(feed, "c1", 0.97)
    put(feed, "c2", 0.97)
    began = feed.clock()
    decide(feed, "c1", "llm_campaign")
    feed.clock.pass_s(86_400)
    feed.do(decisions.decide, "lead", DecisionRequest("c2", "not_a_campaign", policy="a"))
    assert look(feed, since=began + 1).precision[0].verdicts == {"not_a_campaign": 1}
    assert look(feed, until=began + 1).precision[0].verdicts == {"llm_campaign": 1}
    assert look(feed).by_policy == {"": 1, "a": 1}


def test_accounts_that_a_platform_restored_are_counted_of_those_it_was_told_of(feed: Feed) -> None:
    platform, ways = one(feed)
    for number in range(3):
        put(feed, f"c{number}", 0.97)
        decide(feed, f"c{number}", "llm_campaign")
    deliver_due(feed.database, ways, feed.clock)
    for outcome in ("suspended", "restored", "restored"):
        with feed.database.write() as connection:
            actions.note_outcome(
                connection, feed.actors["moderator"], delivery=platform.arrived[0], outcome=outcome,
                account="c0a", words="", id=None, now=feed.clock(),
            )  # fmt: skip
    assert (look(feed).restored.hits, look(feed).restored.of) == (1, 3)


def test_the_page_shows_it_in_a_chart_and_in_words_and_gives_it_as_csv(site: Site) -> None:
    feed = site.feed
    browser = site.browser("viewer")
    assert "Nothing was decided yet." in text_of(browser.get("/results").text)
    for number in range(20):
        put(feed, f"c{number}", 0.97)
        decide(feed, f"c{number}", "llm_campaign" if number < 17 else "not_a_campaign")
    page = browser.get("/results").text
    assert re.search(
        r'<svg class="chart shares"[^>]*role="img" aria-label="Confirmed, [^"]*Campaign, all: 17 of 20', page
    )
    said = text_of(page)
    assert "17 of 20, 85% (62% to 97%)" in said
    assert "not measured: no second look was made" in said
    assert "not estimated: no blind sample is drawn" in said
    rows = list(csv.DictReader(io.StringIO(browser.get("/results.csv").text)))
    (whole,) = [row for row in rows if (row["measure"], row["odds"]) == ("confirmed", "all")]
    assert (whole["kind"], whole["hits"], whole["of"], whole["share"]) == ("campaign", "17", "20", "0.8500")
    assert {row["measure"] for row in rows} >= {"taken_back", "minutes_to_decide_median", "waiting", "reported_missed"}
    assert "Nothing was decided in this time yet." in text_of(browser.get("/results?since=2031-01-01").text)
    assert browser.get("/results?since=yesterday").status_code == 400


def test_names_in_the_list_of_oldest_are_only_text(site: Site) -> None:
    site.feed.put(alert("evil", accounts=("<script>alert(1)</script>", "x")))
    assert "<script>alert(1)" not in site.browser("viewer").get("/results").text
