"""What stands around the evidence: the platform's own pages, profiles, neighbours, earlier and similar cases."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace

from moderation import decisions, similar_cases
from moderation.decisions import DecisionRequest
from moderation.topic_records import named_in, without
from moderation.web.charts import Share, shares, strip
from moderation.web.context_views import like_this_words, profile_words
from streaming.schema.alert import AccountProfileRecord, AlertRecord, PostRecord
from tests.moderation.builders import BEGIN, alert, llr, pages, stamp
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_console_config import configure
from tests.moderation.test_web import text_of

HOSTILE = 'a"><script>alert(1)</script>&b/../#'

LINKS = """
[links]
name = "Agora"
account = "https://agora.example/@{account}"
post = "https://agora.example/@{account}/{post}"
thread = "https://agora.example/thread/{thread}"
"""


def odds(record: AlertRecord, share: float) -> AlertRecord:
    return replace(record, members=[replace(member, posterior=share) for member in record.members])


def with_target(record: AlertRecord) -> AlertRecord:
    return replace(record, targets=[PostRecord("s/1", "mayor", stamp(3), "The pumps were paid for, see @ada.")])


def decide(feed: Feed, number: str, verdict: str) -> str:
    return str(feed.do(decisions.decide, "lead", DecisionRequest(number, verdict)))  # type: ignore[arg-type]


def test_posts_and_accounts_lead_to_the_platform_with_names_encoded(site: Site, tmp_path: Path) -> None:
    configure(site.feed, tmp_path, LINKS)
    site.feed.put(with_target(alert("c1", accounts=(HOSTILE, "bob"))))
    browser = site.browser("viewer")
    page = browser.get("/alerts/c1").text
    hrefs = re.findall(r'<a class="outside" href="([^"]*)"', page)
    assert hrefs
    assert all(re.fullmatch(r"https://agora\.example/[A-Za-z0-9@/%._~-]*", each) for each in hrefs), hrefs
    assert "https://agora.example/@mayor/s%2F1" in hrefs
    assert "https://agora.example/thread/s%2F1" in hrefs
    assert any(unquote(each) == f"https://agora.example/@{HOSTILE}/p0" for each in hrefs)
    assert 'rel="noopener noreferrer external"' in page
    assert "The pumps were paid for, see @ada." in text_of(page)
    account = browser.get("/account", params={"name": HOSTILE}).text
    assert 'class="outside" href="https://agora.example/@a%22%3E%3Cscript' in account
    assert "on Agora" in text_of(account)


def test_without_a_template_nothing_leads_outside(site: Site) -> None:
    site.feed.put(alert())
    assert 'class="outside"' not in site.browser("viewer").get("/alerts/c1").text


def test_what_events_said_of_an_account_is_in_words() -> None:
    seen = round(BEGIN.timestamp() * 1000)
    said = profile_words(AccountProfileRecord("2025-05-22T08:00:00Z", 1, True), seen)
    assert said == "made 22 May 2025, 10 days before this; 1 follower; says that it is automated"
    assert profile_words(AccountProfileRecord(None, None, False), seen) == "says that it is not automated"
    assert profile_words(AccountProfileRecord("no time", None, None), seen) == profile_words(None, seen) == ""


def test_an_account_s_page_has_profile_time_line_neighbours_and_earlier_cases(site: Site) -> None:
    feed = site.feed
    record = alert()
    first = replace(record.members[0], profile=AccountProfileRecord("2025-05-22T08:00:00Z", 12, None))
    feed.put(replace(record, members=[first, *record.members[1:]]), *pages("c1", edges=3))
    feed.put(alert("old", kind="account", accounts=("ada",)))
    decide(feed, "old", "not_a_campaign")
    page = site.browser("viewer").get("/account?name=ada").text
    said = text_of(page)
    assert "2 alerts name it; made 22 May 2025, 10 days before this; 12 followers." in said
    assert said.index("Open") < said.index("Earlier cases") < said.index("Tied to")
    assert re.search(
        r'<svg class="chart strip"[^>]*role="img" aria-label="When it acted: 64 acts from 1 Jun 2025', page
    )
    tied = said[said.index("Tied to") : said.index("Posts quoted")]
    assert "bob" in tied
    assert "cyd" in tied
    assert 'id="earlier-rows"' in page


def test_of_forty_like_this_so_many_were_confirmed(site: Site) -> None:
    feed = site.feed
    feed.put(*(odds(alert(f"c{number}", accounts=(f"a{number}", f"b{number}")), 0.97) for number in range(40)))
    feed.put(*(odds(alert(f"w{number}", accounts=(f"x{number}", f"y{number}")), 0.3) for number in range(6)))
    feed.put(odds(alert("now", accounts=("p", "q")), 0.96))
    for number in range(40):
        decide(feed, f"c{number}", "llm_campaign" if number < 34 else "not_a_campaign")
    for number in range(6):
        decide(feed, f"w{number}", "not_a_campaign")
    wanted = "Of 40 campaigns with such odds that were decided, 34 were confirmed."
    assert wanted in text_of(site.browser("viewer").get("/alerts/now").text)
    # It goes by what an alert showed when it was decided on: withdrawn since, it shows nothing any more.
    feed.put(alert("c39", accounts=("a39", "b39"), revision=2, status="withdrawn"))
    assert wanted in text_of(site.browser("viewer").get("/alerts/now").text)
    found = feed.see(similar_cases.like_this, "campaign", 0.3)
    assert like_this_words(found, "campaign") == "Of 6 campaigns with such odds that were decided, 0 were confirmed."
    assert feed.see(similar_cases.like_this, "campaign", 0.6).decided == 0
    assert like_this_words(similar_cases.LikeThis(4, 4), "campaign") == ""


def test_a_decision_taken_back_or_on_one_member_does_not_count(feed: Feed) -> None:
    feed.put(odds(alert("c1"), 0.97), odds(alert("c2", accounts=("x", "y")), 0.97))
    number = decide(feed, "c1", "llm_campaign")
    feed.do(decisions.decide, "lead", DecisionRequest("c2", "llm_campaign", account="x"))
    decide(feed, "c2", "needs_more")
    assert feed.see(similar_cases.like_this, "campaign", 0.97) == (1, 1)
    feed.do(decisions.undo, "lead", number, "")
    assert feed.see(similar_cases.like_this, "campaign", 0.97) == (0, 0)


def test_the_nearest_cases_are_those_of_like_evidence_and_size(site: Site) -> None:
    feed = site.feed

    def case(name: str, text: float, group: float, size: int = 3, kind: Any = "campaign") -> AlertRecord:
        names = [f"{name}{number}" for number in range(size)]
        return alert(name, accounts=names, evidence=llr(text, group), kind=kind)

    feed.put(
        case("now", 2.0, 3.0), case("close", 2.4, 3.0), case("closer", 2.0, 3.2), case("far", 8.0, 3.0),
        case("large", 2.0, 3.0, 90), case("single", 2.0, 3.0, 1, "account"),
    )  # fmt: skip
    for name in ("close", "closer", "far", "large", "single"):
        decide(feed, name, "not_a_campaign" if name == "closer" else "llm_campaign")
    page = text_of(site.browser("viewer").get("/alerts/now").text)
    part = page[page.index("Decided cases like this") : page.index("History")]
    assert part.index("closer0") < part.index("close0")
    assert "Not a campaign" in part
    assert not any(name in part for name in ("far0", "large0", "single0"))


def test_targets_of_a_forgotten_account_go_and_so_do_names_in_them() -> None:
    record = with_target(alert())
    assert {"mayor", "ada"} <= named_in([record])
    assert without(record, {"mayor"}).targets == []
    assert without(record, {"ada"}).targets[0].text == "The pumps were paid for, see @[forgotten]."


def test_charts_say_what_they_show_and_take_hostile_labels() -> None:
    made = strip([0, 1000, 1000, 5000], 'When "it" <acted>')
    assert made.count("<rect") == 3
    assert 'aria-label="When &#34;it&#34; &lt;acted&gt;"' in made
    assert strip([5], "x") == strip([5, 5], "x") == ""
    chart = shares([Share("<b>", 0.5, 0.25, 0.75, "2 of 4"), Share("none", None, 0, 0, "nothing")], "shares")
    assert (chart.count("<circle"), chart.count('class="interval"'), chart.count("<b>")) == (1, 1, 0)
    slim = shares([Share("a", 1.0, 0.9, 1.0, "9 of 9")], "shares", slim=True)
    # On a phone the whole scale is in the picture.
    assert 'viewBox="0 0 320 ' in slim
    assert max(float(x) for x in re.findall(r'cx="([\d.]+)"', slim)) < 320
    assert shares([], "x") == ""


def test_distance_is_in_units_of_two_nats_and_a_factor_of_size() -> None:
    class Case:
        text_nats, behaviour_nats, coordination_nats, graph_nats, members = 2.0, 0.0, 0.0, 0.0, 10

    class Other(Case):
        text_nats, members = 4.0, 10

    assert similar_cases.distance(Case, Other) == 1.0
    assert similar_cases.band(0.97) == (0.95, float("inf"))
    assert similar_cases.band(0.5) == (0.5, 0.75)
    assert similar_cases.band(None) is None
