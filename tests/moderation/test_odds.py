"""Claims follow the odds at the operator's base rate; one post decides nothing; colours follow the threshold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import update

from detector.reasons import ACTIVE_ACCOUNT, Reason
from moderation import ingest
from moderation.cases import load_alert, summarise
from moderation.database_tables import AlertRow
from moderation.odds import EVEN_ODDS, certainty, claim, look, passes, percent
from moderation.web.evidence_views import graph_json
from moderation.web.view_models import total_bar
from streaming.assess.alert_store import account_alert_id
from streaming.schema.alert import AlertRecord, MemberRecord
from streaming.schema.score import LlrRecord
from tests.moderation.browser import scenes
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_ingest import waiting
from tests.moderation.test_web import text_of


def lone(name: str, posterior: float, posts: int, total: float = 3.0) -> AlertRecord:
    """An account's alert with these odds on so many posts, past a threshold of 2.4 nats."""
    record = alert(name, kind="account", accounts=(f"user {name}",))
    member = MemberRecord(f"user {name}", posterior, LlrRecord(text=total, total=total), 1.0)
    reasons = [Reason(ACTIVE_ACCOUNT, observed=posts)]
    return replace(record, members=[member], evidence=member.llr, reasons=reasons, threshold=2.4)


@pytest.mark.parametrize(
    ("odds", "posts", "said"),
    [
        (0.77, 0, "probably driven by a language model: 77%"),
        (0.18, 1, "weak signs of a language model: 18%, one post"),
        (0.34, 2, "possibly driven by a language model: 34%, 2 posts"),
        (0.999, 0, "very probably driven by a language model: over 99%"),
        (None, 0, "signs of a language model, odds not known"),
    ],
)
def test_the_claim_follows_the_odds(odds: float | None, posts: int, said: str) -> None:
    assert claim(odds, posts) == said


@given(st.floats(0.0001, 0.9999))
def test_nothing_is_called_likely_under_even_odds(odds: float) -> None:
    assert ("probably" in claim(odds) or "more likely" in claim(odds)) == (odds >= EVEN_ODDS)
    assert percent(odds) not in ("100%", "0%")


@given(st.floats(0.01, 0.5), st.floats(-5, 8))
def test_the_base_rate_is_read_back_from_an_alert(prior: float, total: float) -> None:
    odds = 1 / (1 + math.exp(-(math.log(prior / (1 - prior)) + total)))
    found = certainty(lone("a", odds, 9, total)).base_rate
    assert found is not None
    assert found == pytest.approx(prior, rel=1e-6)


def test_a_page_and_a_list_claim_no_more_than_the_odds(site: Site) -> None:
    site.feed.put(lone("weak", 0.18, 8), lone("strong", 0.97, 8))
    browser = site.browser("moderator")
    page = text_of(browser.get("/alerts/weak").text)
    assert "user weak: weak signs of a language model: 18%" in page
    listed = text_of(browser.get("/queue").text)
    assert "weak signs of a language model: 18%" in listed
    assert "user strong very probably driven by a language model: 97%" in listed
    for text in (page, listed):
        assert "looks driven" not in text


def test_an_alert_on_one_post_is_watched_until_there_are_more(site: Site) -> None:
    feed = site.feed
    feed.put(lone("one", 0.18, 1), lone("three", 0.18, 3))
    assert waiting(feed) == ["three"]
    browser = site.browser("moderator")
    assert "18%, one post" in text_of(browser.get("/queue?state=watch").text)
    assert "too few to decide on" in text_of(browser.get("/alerts/one").text)
    feed.put(replace(lone("one", 0.4, 5), revision=2))
    assert sorted(waiting(feed)) == ["one", "three"]


def test_how_few_posts_are_watched_is_the_operators_and_holds_for_what_is_stored(feed: Feed) -> None:
    feed.put(lone("two", 0.6, 2), lone("nine", 0.6, 9))
    assert waiting(feed) == ["nine"]
    assert ingest.refresh_summaries(feed.database, 0) == 2
    assert sorted(waiting(feed)) == ["nine", "two"]
    assert ingest.refresh_summaries(feed.database, 0) == 0
    ingest.refresh_summaries(feed.database, 10)
    assert waiting(feed) == []


def test_alerts_stored_before_odds_were_kept_get_theirs(feed: Feed) -> None:
    feed.put(lone("old", 0.77, 9))
    with feed.database.write() as connection:
        connection.execute(update(AlertRow).values(odds=None, posts=0))
    ingest.refresh_summaries(feed.database, 3)
    row = feed.see(load_alert, feed.actors["viewer"], "old").row
    assert (row.odds, row.posts) == (0.77, 9)


def test_a_campaigns_odds_are_its_members_mean_and_coordination_has_none() -> None:
    record = alert(accounts=("ada", "bob"))
    members = [replace(member, posterior=odds) for member, odds in zip(record.members, (0.9, 0.5), strict=True)]
    assert summarise(replace(record, members=members)).odds == pytest.approx(0.7)
    assert summarise(alert(kind="coordination")).odds is None
    assert summarise(replace(record, members=[])).odds is None


def test_a_dot_is_coloured_by_the_threshold_and_not_from_a_third_of_a_nat(site: Site) -> None:
    quiet = MemberRecord("ada", 0.02, LlrRecord(total=0.6), 1.0)
    loud = MemberRecord("bob", 0.02, LlrRecord(total=2.5), 1.0)
    kind = MemberRecord("cyd", 0.001, LlrRecord(total=-2.0), 1.0)
    assert [look(member, 2.4, flagged=False) for member in (quiet, loud, kind)] == ["unclear", "flagged", "person"]
    assert [look(member, None, flagged=False) for member in (quiet, loud)] == ["unclear", "unclear"]
    assert look(quiet, None, flagged=True) == "flagged"
    site.feed.put(replace(alert(accounts=("ada", "bob", "cyd")), members=[quiet, loud, kind]))
    shown = site.browser("viewer").get("/alerts/c1/graph.json").json()
    assert [node["look"] for node in shown["nodes"]] == ["unclear", "unclear", "person"]


def test_a_member_with_an_alert_of_its_own_is_shown_as_flagged(site: Site) -> None:
    record = alert(accounts=("ada", "bob"))
    site.feed.put(replace(record, members=[replace(member, posterior=0.2) for member in record.members]))
    site.feed.put(alert(account_alert_id("bob"), kind="account", accounts=("bob",)))
    shown = site.browser("viewer").get("/alerts/c1/graph.json").json()
    assert [node["look"] for node in shown["nodes"]] == ["unclear", "flagged"]


def test_the_total_has_a_machines_colour_only_past_the_threshold() -> None:
    assert passes(lone("a", 0.2, 9))
    assert total_bar(lone("a", 0.2, 9)).toward == "machine"
    fallen = lone("a", 0.2, 9, total=2.0)
    assert (passes(fallen), total_bar(fallen).toward) == (False, "neither")
    assert total_bar(scenes.club()[0]).toward == "person"


def test_pictures_say_odds_and_no_evidence_without_its_base_rate(site: Site) -> None:
    site.feed.put(alert())
    whole = site.feed.see(load_alert, site.feed.actors["viewer"], "c1")
    assert [node["odds"] for node in graph_json(whole, {})["nodes"]] == ["70%"] * 3
