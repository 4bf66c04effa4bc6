"""Queues of a team: rules that route each alert to one of them, a clock, and a time to decide in."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from detector.errors import FeedError
from moderation import alert_lists, words
from moderation.alert_lists import Filters
from streaming.schema.alert import AlertRecord
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, Site
from tests.moderation.test_web import text_of

ARABIC = ("النفق سيكلف كل أسرة أكثر من ألفي دينار",)


def odds(record: AlertRecord, share: float) -> AlertRecord:
    return replace(record, members=[replace(member, posterior=share) for member in record.members])


def fill(feed: Feed) -> None:
    feed.put(
        odds(alert("large", accounts=[f"u{n}" for n in range(30)]), 0.9), odds(alert("small"), 0.9),
        odds(alert("weak", accounts=("x", "y")), 0.3), alert("arabic", accounts=("m", "n"), texts=ARABIC),
        alert("info", kind="coordination", accounts=("p", "q")),
    )  # fmt: skip


def add(feed: Feed, name: str, query: str, due: int = 0) -> str:
    with feed.database.write() as connection:
        return alert_lists.save_view(connection, feed.actors["lead"], name, query, shared=False, due_minutes=due)


def of_queue(feed: Feed, number: str) -> list[str]:
    rows = feed.see(alert_lists.list_alerts, feed.actors["viewer"], Filters(queue=number), feed.clock()).rows
    return sorted(row.id for row in rows)


def test_every_alert_is_in_the_first_queue_that_takes_it(feed: Feed) -> None:
    fill(feed)
    names = [("1 arabic", "script=Arabic"), ("2 large", "kind=campaign&min_members=20"),
             ("3 sure", "min_odds=75&max_members=19"), ("4 rest", "")]  # fmt: skip
    made = [add(feed, name, query) for name, query in names]
    assert [of_queue(feed, number) for number in made] == [["arabic"], ["large"], ["small"], ["info", "weak"]]
    # What the database selects is what a row by itself says.
    queues = feed.see(alert_lists.list_queues)
    rows = feed.see(alert_lists.list_alerts, feed.actors["viewer"], Filters(), feed.clock()).rows
    assert {row.id: getattr(alert_lists.queue_of(row, queues), "id", None) for row in rows} == {
        "arabic": made[0], "large": made[1], "small": made[2], "info": made[3], "weak": made[3]
    }  # fmt: skip


def test_the_next_of_a_queue_is_its_own(site: Site) -> None:
    fill(site.feed)
    number = add(site.feed, "weak ones", "max_odds=50&kind=campaign")
    browser = site.browser("moderator")
    first = browser.post("/queue/next", {"queue": number}).headers["location"]
    assert first.startswith("/alerts/weak?done=claimed")
    decide = {"decision": "not_a_campaign", "then": "next", "from": f"queue={number}"}
    assert browser.post("/alerts/weak/decide", decide).headers["location"] == f"/queue?queue={number}&done=last"


def test_the_clock_says_what_is_due_and_overdue(site: Site) -> None:
    fill(site.feed)
    add(site.feed, "fast", "kind=campaign&min_members=20", due=60)
    site.feed.clock.pass_s(35 * 60)
    browser = site.browser("moderator")
    assert "due in 25 min" in text_of(browser.get("/queue").text)
    site.feed.clock.pass_s(4 * 3600)
    page = browser.get("/alerts/large").text
    assert '<span class="badge overdue">overdue by 3 h</span>' in page
    assert "queue <bdi>fast</bdi>" in page
    assert "due" not in re.sub("overdue", "", text_of(browser.get("/alerts/small").text.partition("<main")[2]))


def test_the_oldest_come_first_where_asked(feed: Feed) -> None:
    feed.put(alert("b"))
    feed.clock.pass_s(60)
    feed.put(alert("a"))
    rows = feed.see(alert_lists.list_alerts, feed.actors["viewer"], Filters(sort="oldest"), feed.clock()).rows
    assert [row.id for row in rows] == ["b", "a"]


def test_queues_are_made_by_leads_of_rules_alone(site: Site) -> None:
    lead = site.browser("lead")
    form = {"name": "Fast", "query": "kind=campaign", "queue": "1", "due_minutes": "480"}
    assert site.browser("moderator").post("/views", form).status_code == 403
    assert lead.post("/views", form).status_code == 303
    page = site.browser("moderator").get("/queue").text
    assert re.search(r'href="/queue\?queue=[0-9a-f]{32}"><bdi>Fast</bdi> <span>8 h</span>', page)
    assert lead.post("/views", form | {"query": "q=words"}).status_code == 400
    with pytest.raises(FeedError, match="cannot be filtered"):
        Filters.read({"queue": "' OR 1"})
    for bad in ({"min_odds": "101"}, {"max_members": "-1"}, {"script": "x" * 50}):
        with pytest.raises(FeedError, match="cannot be filtered"):
            Filters.read(bad)


def test_lengths_of_time_are_in_words() -> None:
    assert [words.minutes(each) for each in (45, 480, 1440, 4320, 90)] == ["45 min", "8 h", "1 day", "3 days", "90 min"]
    assert [words.due(each * 60_000, 0) for each in (25, -5, 600, -9000)] == [
        "due in 25 min", "overdue by 5 min", "due in 10 h", "overdue by 6 days"
    ]  # fmt: skip
