"""What the pages say of evidence, and on whom a form decides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.reasons import group_reasons
from moderation.topic_records import read_alert
from moderation.web.evidence_views import bars, even, in_detail, limits, odds, seen_together, statistic
from tests.moderation.browser import scenes
from tests.moderation.builders import alert, group_case, line, said
from tests.moderation.conftest import Site


def test_how_often_they_met_is_read_from_the_alerts_reasons() -> None:
    record = read_alert(line(scenes.tunnel()[0]))
    met = seen_together(record)
    assert [(each.seen, each.expected_words, each.times) for each in met] == [
        (121, "15.8", "7.7 times"), (73, "13.8", "5.3 times"), (48, "0.9", "53 times")
    ]  # fmt: skip
    assert met[0].seen_width == 100
    assert [label for label, _ in in_detail(record)] == ["Chance", "Machine"]


def test_the_sentences_of_an_alert_of_version_1_are_shown_as_they_are() -> None:
    old = msgspec.structs.replace(
        alert(), v=1, reasons=[], limitations=[], why=["Together: they met a lot."], limits=["Not used: graph (x)."]
    )
    record = read_alert(line(old))
    assert seen_together(record) == []
    assert in_detail(record) == [("", "Together: they met a lot.")]
    assert limits(record) == ["Not used: graph (x)."]
    assert {bar.abstained for bar in bars(record)} == {""}


def test_a_part_that_was_not_used_says_why() -> None:
    by_component = {bar.component: bar for bar in bars(read_alert(line(alert())))}
    assert by_component["graph"].abstained == "no graph model"
    assert limits(alert()) == ["Who runs the accounts, and why, cannot be seen from posts."]
    # A factor of 1.2 is neither here nor there, and has no colour.
    assert (by_component["text"].toward, by_component["behaviour"].toward) == ("machine", "neither")


@given(st.floats(allow_nan=False))
def test_widths_are_those_of_the_style_sheet(percent: float) -> None:
    assert even(percent) in range(0, 101, 2)


def test_a_decision_on_several_members_is_one_on_each(site: Site) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    chosen = {"scope": "accounts", "account": ["ada", "cyd", "ada"], "decision": "not_a_campaign"}
    assert browser.post("/alerts/c1/decide", chosen).status_code == 303
    made = browser.api("GET", "/decisions").json()
    found = made if isinstance(made, list) else next(each for each in made.values() if isinstance(each, list))
    assert sorted(each["account"] for each in found) == ["ada", "cyd"]


@pytest.mark.parametrize(
    "form",
    [
        {"scope": "accounts"},
        {"scope": "alert", "account": "ada"},
        {"scope": "accounts", "account": [f"u{place}" for place in range(201)]},
    ],
)
def test_a_form_that_contradicts_itself_decides_nothing(site: Site, form: dict[str, object]) -> None:
    site.feed.put(alert())
    browser = site.browser("moderator")
    assert browser.post("/alerts/c1/decide", form | {"decision": "llm_campaign"}).status_code == 400
    assert "No decisions yet" in browser.get("/decisions").text


def test_a_single_account_is_spoken_of_as_one_and_its_odds_are_told() -> None:
    record = read_alert(line(scenes.lone("a1", "ada", 2.2)))
    assert [bar.meaning for bar in bars(record)][::3] == ["how it writes", "whom it deals with"]
    # What the bars say is not said again.
    assert [label for label, _ in in_detail(record)] == ["Text", "Chance"]
    assert odds(record) == "if 1% of all accounts were machine-driven, 12% of those with such evidence would be"
    assert "of these 12 members would be, on what is seen of each" in odds(read_alert(line(scenes.tunnel()[0])))
    assert odds(read_alert(line(scenes.club()[0]))) == ""
    assert odds(msgspec.structs.replace(record, members=[])) == ""


def test_a_statistic_that_has_fallen_since_is_not_said_to_pass() -> None:
    record = scenes.lone("a1", "ada", 2.2)
    assert "2.60 nats; the threshold is 2.42" in statistic(read_alert(line(record)))
    fallen = statistic(msgspec.structs.replace(record, statistic=2.1))
    assert "total 2.10 nats; it was flagged when it passed 2.42" in fallen
    group = msgspec.structs.replace(scenes.tunnel()[0], statistic=0.061)
    assert "6.1% as often where nobody acts together; it was listed at 5.0% or less" in statistic(group)
    old = msgspec.structs.replace(group, v=2, threshold_kind="e_value", statistic=31.8, threshold=40.0)
    assert "e-value 31.8; it was listed when it passed 40" in statistic(read_alert(line(old)))


def test_reasons_of_every_kind_of_edge_are_shown_in_its_own_words() -> None:
    met = {kind: (1.0 + 20 * place, 0.4) for place, kind in enumerate(("contact", "repost", "link"))}
    record = read_alert(line(said(alert(), group_reasons(group_case("campaign", 3, **met)), [])))
    shown = seen_together(record)
    assert [each.seen for each in shown] == [41, 21, 1]
    assert shown[-1].words == "an answer, repost, like or follow of the other"
    assert [label for label, _ in in_detail(record)] == ["Chance", "Machine"]
