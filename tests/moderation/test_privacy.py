"""An account that is forgotten is nowhere in the feed's files any more, and does not come back."""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy import text

from detector.reasons import FORGOTTEN, TALKING_POINTS, Reason, shared_code
from moderation import alert_lists, audit, cases, decisions, outbox, privacy
from moderation.database_tables import Base
from moderation.decisions import DecisionRequest
from streaming.schema.alert import AlertRecord, NearRecord, TalkingPointRecord
from tests.moderation.builders import alert, pages, said
from tests.moderation.conftest import Feed, ListSink

NAME = "sly_Fox.77"
ACCOUNTS = ("ada", NAME, "bob")
TEXTS = (f"as @{NAME} says", "my own secret diary entry", f"{NAME}s is another word, and sly_Fox too")


def dump_of_all_tables(feed: Feed) -> str:
    """All that the database says, whatever the table."""
    with feed.database.read() as connection:
        return "\n".join(
            # Not `str(row)`, which leaves out the middle of long values.
            "|".join(str(value) for value in row)
            for table in Base.metadata.sorted_tables
            for row in connection.execute(text(f"SELECT * FROM {table}"))
        )


def forgotten(feed: Feed) -> bool:
    """Nothing names the account but words that only begin like it."""
    return dump_of_all_tables(feed).replace(f"{NAME}s is another word", "").count(NAME) == 0


def told_of(record: AlertRecord) -> AlertRecord:
    """The alert with a reason that refers to a post and to objects of the account."""
    reason = Reason(shared_code("repost"), observed=2, expected=0.1, posts=["p1"], objects=[f"{NAME}/p1", "ada/p0"])
    same = [msgspec.structs.replace(each, id=f"t{each.id}") for each in record.posts]
    record = msgspec.structs.replace(
        record,
        talking_points=[TalkingPointRecord(3, same)],
        near=[NearRecord(NAME, "copied", 2), NearRecord("zed", "acted_upon", 2)],
    )
    points = Reason(TALKING_POINTS, "coordination", observed=3, posts=["tp0", "tp1"])
    return said(record, [*record.reasons, reason, points], record.limitations)


def fill(feed: Feed) -> None:
    feed.put(told_of(alert("c1", accounts=ACCOUNTS, texts=TEXTS)), *pages("c1", accounts=ACCOUNTS))
    feed.put(alert("c2", accounts=("dan", "eve"), texts=TEXTS), alert("a1", kind="account", accounts=(NAME,)))
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", account=NAME, note="a note"))
    feed.do(
        decisions.decide, "moderator", DecisionRequest("c1", "llm_campaign", reason=f"{NAME} leads them", note="kept?")
    )
    feed.do(decisions.decide, "moderator", DecisionRequest("c2", "not_a_campaign", reason="people"))
    feed.do(decisions.report_missed, "moderator", NAME, "", "")
    with feed.database.write() as connection:
        alert_lists.save_view(connection, feed.actors["moderator"], "v", f"q={NAME}", shared=False)


def test_nothing_of_it_is_left(feed: Feed) -> None:
    fill(feed)
    assert not forgotten(feed)
    done = feed.do(privacy.forget, "admin", NAME)
    assert forgotten(feed)
    assert (done.alerts, done.unsent) == (3, 2)
    dump = dump_of_all_tables(feed)
    assert "my own secret diary entry" not in dump.split("dan")[0]
    assert "[forgotten]" in dump
    assert "people" in dump
    assert feed.see(audit.verify).problem is None


def test_reasons_refer_to_nothing_of_it(feed: Feed) -> None:
    fill(feed)
    feed.do(privacy.forget, "admin", NAME)
    with feed.database.read() as connection:
        record = cases.load_alert(connection, feed.actors["moderator"], "c1").record
    (reason,) = [each for each in record.reasons if each.code == shared_code("repost")]
    assert (reason.posts, reason.objects) == ([], ["ada/p0"])
    assert record.limitations[-1].code == FORGOTTEN
    (point,) = record.talking_points
    assert (point.members, [post.account for post in point.posts]) == (2, ["ada", "bob"])
    assert point.posts[0].text == "as @[forgotten] says"
    assert [each.account for each in record.near] == ["zed"]
    (points,) = [each for each in record.reasons if each.code == TALKING_POINTS]
    assert points.posts == ["tp0"]
    assert record.limits[-1] == "Left out: what was forgotten here on request."


def test_the_file_itself_holds_nothing_of_it(feed: Feed) -> None:
    fill(feed)
    feed.do(privacy.forget, "admin", NAME)
    with feed.database.read() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    path = Path(str(feed.database.engine.url.database))
    feed.database.close()
    kept = path.read_bytes().replace(f"{NAME}s is another word".encode(), b"")
    assert NAME.encode() not in kept


def test_a_record_read_later_does_not_bring_it_back(feed: Feed) -> None:
    fill(feed)
    feed.do(privacy.forget, "admin", NAME)
    feed.put(alert("c1", revision=2, accounts=ACCOUNTS, texts=TEXTS), *pages("c1", revision=2, accounts=ACCOUNTS))
    feed.put(alert("c3", accounts=(NAME, "dan"), texts=TEXTS))
    assert forgotten(feed)


def test_decisions_that_were_not_sent_do_not_leave_any_more(feed: Feed) -> None:
    fill(feed)
    feed.do(privacy.forget, "admin", NAME)
    sink = ListSink()
    outbox.send_unsent(feed.database, sink.send, feed.clock)
    assert not any(NAME.encode() in body for body in sink.bodies)
    assert len(sink.bodies) == 2
