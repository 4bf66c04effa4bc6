"""No decision is lost on its way out, whatever breaks; what is sent again has the same id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from sqlalchemy import delete, select

from detector.errors import UsageError
from moderation import decisions, outbox
from moderation.database_tables import Outgoing
from moderation.decisions import DecisionRequest
from moderation.feed_metrics import FeedMetrics
from moderation.outbox import FeedbackFile, FeedbackLoop
from streaming.schema.export import schema
from streaming.schema.feedback import read_feedback
from tests.moderation.builders import alert
from tests.moderation.conftest import Feed, ListSink


def report(feed: Feed, count: int) -> list[str]:
    """Make that many decisions; their ids."""
    return [feed.do(decisions.report_missed, "moderator", f"sly{number}", "", "") for number in range(count)]


def ids(bodies: list[bytes]) -> list[str]:
    return [json.loads(body)["id"] for body in bodies]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(0, 8), crashes=st.lists(st.integers(0, 12), max_size=4), batch=st.integers(1, 4))
def test_every_decision_arrives_at_least_once_and_in_order(
    feed: Feed, count: int, crashes: list[int], batch: int
) -> None:
    with feed.database.write() as connection:
        connection.execute(delete(Outgoing))
    made = report(feed, count)
    sink = ListSink()
    before, outbox.BATCH = outbox.BATCH, batch  # type: ignore[misc]
    try:
        for crash in crashes:
            sink.fail_after = crash
            try:
                outbox.send_unsent(feed.database, sink.send, feed.clock)
            except OSError:
                continue
        sink.fail_after = None
        outbox.send_unsent(feed.database, sink.send, feed.clock)
    finally:
        outbox.BATCH = before  # type: ignore[misc]
    arrived = ids(sink.bodies)
    assert list(dict.fromkeys(arrived)) == made
    assert feed.see(outbox.count_unsent) == 0
    assert outbox.send_unsent(feed.database, sink.send, feed.clock) == 0


def test_a_crash_between_sending_and_marking_sends_the_same_again(feed: Feed, tmp_path: Path) -> None:
    made = report(feed, 2)
    path = tmp_path / "feedback.jsonl"
    first = FeedbackFile(path)

    def die_after(records: object) -> None:
        first.send(records)  # type: ignore[arg-type]
        raise SystemExit(9)

    with pytest.raises(SystemExit):
        outbox.send_unsent(feed.database, die_after, feed.clock)
    first.close()
    # And the file ends in the middle of a line, as after a power cut.
    path.write_bytes(path.read_bytes() + b'{"half":')
    second = FeedbackFile(path)
    outbox.send_unsent(feed.database, second.send, feed.clock)
    second.close()
    lines = path.read_bytes().splitlines()
    assert [line for line in lines if line == b'{"half":'] == lines[2:3]
    assert ids(lines[:2]) == ids(lines[3:]) == made


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        FeedbackFile(tmp_path / "none" / "feedback.jsonl")


def test_the_loop_outlives_a_broken_sink(feed: Feed) -> None:
    sink = ListSink()
    sink.fail_after = 0
    loop = FeedbackLoop(feed.database, sink, FeedMetrics(), feed.clock)
    loop.start()
    made = report(feed, 1)
    loop.wake()
    for _ in range(100):
        if loop.problem == "OSError":
            break
        loop.stopping.wait(0.02)
    assert loop.problem == "OSError"
    sink.fail_after = None
    loop.stop()
    assert ids(sink.bodies) == made


def test_what_is_written_is_what_the_schema_of_feedback_says(feed: Feed) -> None:
    feed.put(alert())
    feed.do(decisions.decide, "moderator", DecisionRequest("c1", "needs_more", account="ada", reason="why"))
    with feed.database.read() as connection:
        bodies = list(connection.scalars(select(Outgoing.body)))
    assert len(bodies) == 1
    for body in bodies:
        assert [error.message for error in Draft202012Validator(schema("feedback")).iter_errors(json.loads(body))] == []
        record = read_feedback(body)
        assert (record.decision, record.account, record.reason) == ("needs_more", "ada", "why")
