"""The first card: who, about what, since when, how sure, what to do."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from moderation import words
from moderation.cases import AlertWithDetails, load_alert
from moderation.web.case_views import first_activity, sure
from moderation.web.evidence_views import bar, statistic
from moderation.web.similarity import similar_groups
from moderation.web.subject import subject
from streaming.schema.alert import AlertRecord, MomentRecord, NearRecord, PageRecord, TalkingPointRecord
from streaming.schema.score import LlrRecord
from tests.moderation.browser import scenes
from tests.moderation.builders import alert, stamp
from tests.moderation.conftest import Site
from tests.moderation.test_web import text_of


def whole(record: AlertRecord, *pages: PageRecord, **row: Any) -> AlertWithDetails:
    return AlertWithDetails(SimpleNamespace(**row), record, list(pages), bool(pages))


def test_what_a_campaign_is_about_is_read_off_its_posts_and_objects() -> None:
    found = subject(whole(*scenes.tunnel()))
    assert found.phrases[0] == ("the harbour tunnel will cost every household 2,300 a year", 3)
    assert found.sites == [("tunnel.example", 9)]
    assert found.tags == [("#voteno", 5)]
    # Members that repost each other are the group, and no target of it.
    assert found.targets == []
    assert found.scripts == ["Latin"]
    assert subject(whole(*scenes.tunnel("arabic", scenes.ARABIC))).known


def test_scripts_and_strangers_words_are_named_safely() -> None:
    record = alert(texts=["النفق سيكلف كل أسرة", "النفق سيكلف كل أسرة جدا", "tunnel"])
    assert subject(whole(record)).scripts == ["Arabic", "Latin"]
    hostile = alert(texts=["\u202eevil words in here", "so \u202eevil words in here"])
    assert "\u202e" not in subject(whole(hostile)).phrases[0].text


def test_one_account_that_repeats_itself_makes_no_subject() -> None:
    record = alert(accounts=("ada", "bob"), texts=["buy the blue lamp now"])
    record = replace(record, posts=[replace(record.posts[0], id=f"p{n}", account="ada") for n in range(4)], edges=[])
    assert not subject(whole(record)).known


def test_talking_points_come_first_where_the_alert_has_them() -> None:
    record = alert()
    record = replace(record, talking_points=[TalkingPointRecord(2, record.posts[:2]), TalkingPointRecord(1)])
    assert subject(whole(record)).points == [(record.posts[0].text, 2)]


def test_talking_points_and_those_near_are_shown_with_each_members_words_and_escaped(site: Site) -> None:
    record = alert("c1", texts=["<b>they</b> say \u202eit", "it is <said> so", "lovely morning"])
    near = [NearRecord("<i>star", "copied", 3), NearRecord("zed", "acted_upon", 2)]
    site.feed.put(replace(record, talking_points=[TalkingPointRecord(2, record.posts[:2])], near=near))
    page = site.browser("moderator").get("/alerts/c1").text
    part = page.split('id="points-title"')[1].split("</section>")[0]
    assert "2 members make this point" in part
    assert "&lt;b&gt;they&lt;/b&gt; say" in part
    assert "it is &lt;said&gt; so" in part
    assert "lovely morning" not in part
    assert "\u202e" not in page
    listed = page.split('id="near-title"')[1].split("</section>")[0]
    assert "its words copied by 3 members" in listed
    assert "answered, reposted, liked or followed by 2 members" in listed
    assert "&lt;i&gt;star" in listed
    assert "<i>star" not in page


def test_a_group_s_number_is_said_in_words_whatever_version_the_alert_is_of() -> None:
    record = alert()
    said = "as much is found 1.0% as often where nobody acts together; it is listed at 5.0% or less"
    assert statistic(record).startswith(said)
    old = replace(record, v=2, threshold_kind="e_value", statistic=300.0, threshold=264.0)
    assert statistic(old).startswith("e-value 300; 264 is needed")


def test_links_and_mentions_are_no_wording() -> None:
    posts = [
        ("ada", "Ha! https://a.example/one/two/three @x @y @z"),
        ("bob", "No https://a.example/one/two/three @x @y @z"),
    ]
    assert similar_groups(posts) == []
    # Words around a link do not grow together over it.
    assert similar_groups([("ada", "read this https://a.example now"), ("bob", "read this now")]) == []
    assert similar_groups([("ada", "read this now https://a.example"), ("bob", "well: read this now")]) == [[0, 1]]


def test_since_when_begins_with_the_first_thing_that_is_shown() -> None:
    record = alert()
    page = PageRecord("c1", 1, 1, 1, posts=[MomentRecord("ada", stamp(-600))])
    first, last = first_activity(whole(record, page, first_post_at=10**15, last_post_at=0))
    assert (words.when(first), last > first) == ("31 May 2025, 22:00", True)


@pytest.mark.parametrize(("nats", "said"), [(math.log(13.6), "13.6"), (math.log(1.07), "1.07"), (9.4, "12,100")])
def test_a_factor_is_shown_as_it_is(nats: float, said: str) -> None:
    assert words.factor(nats) == said
    assert bar("text", "", "", nats, "").words == f"{said} times likelier for a machine-driven account"


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_the_factors_shown_multiply_to_the_total_shown(nats: list[float]) -> None:
    shown = [float(bar("", "", "", each, "").factor.replace(",", "")) for each in nats]
    total = float(bar("", "", "", math.fsum(nats), "").factor.replace(",", ""))
    assert math.prod(shown) == pytest.approx(total, rel=0.03)


def test_how_sure_names_the_base_rate_and_counts_members() -> None:
    said = sure(scenes.tunnel()[0])
    assert said[0].startswith("70% a member: about 8 of 12 accounts expected to be driven by a language model, if 0.")
    assert said[1] == "At most 5% of the groups listed act together by chance."
    assert sure(scenes.club()[0])[-1] == "Nothing is said about machines."


def test_the_first_card_answers_all_five_questions_and_jargon_is_behind_how_this_is_computed(site: Site) -> None:
    site.feed.put(*scenes.tunnel())
    page = site.browser("moderator").get("/alerts/tunnel").text
    card = text_of(page.partition('class="card first"')[2].partition("</section>")[0])
    for question in ("Who", "About what", "Since when", "How sure", "What to do"):
        assert question in card
    assert "the harbour tunnel will cost every household" in card
    shown, computed = page.partition('id="computed"')[::2]
    inside, after = computed.partition("</details>")[::2]
    for jargon in ("nats", "e-value", "conformal", "revision 1", "cheap@1"):
        assert jargon not in text_of(shown).lower(), jargon
        assert jargon not in text_of(after).lower(), jargon
    assert "nats" in inside.lower()
    assert "as much is found 1.0% as often where nobody acts together" in inside


def test_what_to_do_depends_on_what_is_known_and_on_who_looks(site: Site) -> None:
    weak = alert("a1", kind="account", accounts=("ada",))
    weak = replace(weak, members=[replace(weak.members[0], posterior=0.1)], evidence=LlrRecord(total=3.0))
    site.feed.put(weak, alert("k1", kind="coordination"))
    moderator, viewer = site.browser("moderator"), site.browser("viewer")
    assert "More likely a person" in moderator.get("/alerts/a1").text
    assert "acting together is no offence" in moderator.get("/alerts/k1").text
    assert "You can look, but not decide." in viewer.get("/alerts/a1").text
    assert site.feed.see(load_alert, site.feed.actors["viewer"], "a1").row.odds == 0.1
