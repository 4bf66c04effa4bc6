"""Accounts that nothing flagged are decided on blind, and say how many are missed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from detector.errors import FeedError
from moderation import missed_accounts, privacy
from moderation.database_tables import Outgoing, SampledAccount
from moderation.feed_metrics import FeedMetrics
from moderation.ingest import IngestLoop
from moderation.missed_accounts import PENDING_MS
from moderation.sources import AlertFiles
from streaming.assess.alert_store import account_alert_id
from streaming.schema.feedback import read_feedback
from streaming.schema.sample import SampleRecord, encode_sample
from tests.moderation.builders import sampled
from tests.moderation.conftest import Feed, Site


def put(feed: Feed, *records: SampleRecord) -> None:
    with feed.database.write() as connection:
        missed_accounts.store(connection, records, feed.clock())


def waiting(feed: Feed, who: str = "moderator") -> list[str]:
    return list(feed.see(missed_accounts.waiting, feed.actors[who], feed.clock()))


def test_a_file_of_the_sample_is_read_beside_the_alerts(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "alerts.jsonl").touch()
    lines = [encode_sample(sampled()), b"no record", encode_sample(sampled("yan"))]
    (tmp_path / "sample.jsonl").write_bytes(b"\n".join([*lines, b""]))
    source = AlertFiles(tmp_path / "alerts.jsonl", None, tmp_path / "sample.jsonl")
    loop = IngestLoop(feed.database, source, FeedMetrics(), feed.clock)
    loop.step()
    loop.finish()
    assert sorted(waiting(feed)) == sorted([sampled().id, sampled("yan").id])


def test_the_page_shows_what_was_written_and_nothing_of_what_the_system_says(site: Site) -> None:
    put(site.feed, sampled())
    moderator = site.browser("moderator")
    assert f"/blind-sample/{sampled().id}" in moderator.get("/second-looks").text
    page = moderator.get(f"/blind-sample/{sampled().id}").text
    for word in ("The ferry was late again", "zoe", "Nothing flagged it on 2025-06-01"):
        assert word in page, word
    for word in ("odds", "evidence", "nats", "likelier", "posterior", "0.01"):
        assert word not in page.partition("<main")[2].partition("<footer")[0], word


def test_a_decision_is_told_with_its_probability_and_leaves_no_text_behind(site: Site) -> None:
    put(site.feed, sampled(), sampled("yan"))
    moderator = site.browser("moderator")
    first, second = waiting(site.feed)
    onward = moderator.post(f"/blind-sample/{first}", {"decision": "llm_campaign", "note": "reads like one"})
    assert onward.headers["location"] == f"/blind-sample/{second}?done=sampled"
    with site.feed.database.read() as connection:
        (body,) = connection.scalars(select(Outgoing.body)).all()
        row = connection.execute(select(SampledAccount).where(SampledAccount.id == first)).one()
    said = read_feedback(body)
    assert said.account in ("zoe", "yan")
    assert (said.alert, said.decision, said.sampled_with) == (account_alert_id(said.account), "llm_campaign", 0.01)
    assert (row.account, row.body, row.verdict) == ("", "", "llm_campaign")
    assert moderator.post(f"/blind-sample/{first}", {"decision": "needs_more"}).status_code == 409


def test_programs_decide_likewise(site: Site) -> None:
    put(site.feed, sampled())
    moderator = site.browser("moderator")
    assert moderator.api("GET", "/blind-sample").json() == {"waiting": [sampled().id]}
    shown = moderator.api("GET", f"/blind-sample/{sampled().id}").json()
    assert shown["account"] == "zoe"
    assert "llr" not in str(shown)
    done = moderator.api("POST", f"/blind-sample/{sampled().id}", json={"decision": "not_a_campaign"})
    assert done.status_code == 200
    assert waiting(site.feed) == []


def test_what_is_found_stands_for_the_others(feed: Feed) -> None:
    put(feed, *(sampled(f"u{number}", chance=0.1, population=400) for number in range(40)))
    assert feed.see(missed_accounts.misses) is None
    for place, number in enumerate(waiting(feed)[:20]):
        verdict = "llm_campaign" if place < 2 else "needs_more" if place < 4 else "not_a_campaign"
        feed.do(missed_accounts.answer, "moderator", number, verdict, "")
    found = feed.see(missed_accounts.misses)
    # Eighteen of forty were told apart: each machine stands for 10 accounts, and for those that nobody looked at.
    assert (found.found, found.decided, found.drawn, found.population) == (2, 18, 40, 400)
    assert found.number.number == pytest.approx(2 * 10 * 40 / 18)
    assert found.number.low < found.number.number < found.number.high
    assert feed.see(missed_accounts.misses, "2025-06-02") is None
    assert feed.see(missed_accounts.misses, "2025-06-01", "2025-06-02") == found


def test_the_results_say_how_many_are_missed_and_how_far_people_agree(site: Site) -> None:
    viewer = site.browser("viewer")
    assert "no blind sample is drawn" in viewer.get("/results").text
    put(site.feed, *(sampled(f"u{number}", chance=0.1, population=400) for number in range(10)))
    assert "nothing of the blind sample was decided" in viewer.get("/results").text
    for place, number in enumerate(waiting(site.feed)):
        site.feed.do(
            missed_accounts.answer, "moderator", number, "llm_campaign" if place == 0 else "not_a_campaign", ""
        )
    page = viewer.get("/results").text
    assert "about 10 of 400 accounts that nothing flagged" in page
    assert "Of 10 in the blind sample 1 was one" in page
    table = viewer.get("/results.csv").text
    assert "missed_in_sample,,,1,10" in table
    assert "missed_estimated,,,10.0,400,0.025" in table


def test_who_is_deleted_or_forgotten_or_waits_too_long_is_dropped(feed: Feed) -> None:
    put(feed, sampled(), sampled("yan"), sampled("xia"))
    with feed.database.write() as connection:
        missed_accounts.drop(connection, ["yan"], feed.clock())
    assert sorted(waiting(feed)) == sorted([sampled().id, sampled("xia").id])
    feed.do(privacy.forget, "admin", "zoe")
    put(feed, sampled("zoe", day="2025-06-02"))
    assert waiting(feed) == [sampled("xia").id]
    feed.clock.at += PENDING_MS + 1
    assert waiting(feed) == []
    with feed.database.write() as connection:
        missed_accounts.drop(connection, [], feed.clock())
    with feed.database.read() as connection:
        assert not any(connection.scalars(select(SampledAccount.body)))


def test_who_may_not_work_sees_none(feed: Feed) -> None:
    put(feed, sampled())
    with pytest.raises(FeedError, match="right 'work'"):
        waiting(feed, "viewer")
