"""Alerts are read in all versions, whatever else stands in them, and other versions are refused with what to do."""

from __future__ import annotations

import json

import msgspec
import pytest

from detector.errors import RecordError
from detector.reasons import Limitation, Reason
from streaming.schema.alert import ALERT_VERSION, AlertRecord, PageRecord, encode, read_alert, read_page
from streaming.schema.feedback import FeedbackRecord, encode_feedback, read_feedback
from streaming.schema.score import LlrRecord, ScoreRecord, encode_score, read_score, read_scores

ALERT = AlertRecord(
    v=ALERT_VERSION,
    id="a1",
    kind="account",
    revision=1,
    status="open",
    at="2026-01-01T00:00:00Z",
    reasons=[Reason("text.posts_read_machine", "text", 1.5, observed=0.75, posts=["p1"])],
    why=["Text: ..."],
    limitations=[Limitation("component.not_used", "graph", "no graph model")],
)
NEW = {"talking_points", "near", "decoy_q"}
"""Fields of version 3."""

SCORE = ScoreRecord(
    account="ann", posterior=0.5, llr=LlrRecord(1.0, 0.5, 0.0, 0.0, 1.5), abstained={}, posts=3, flagged=False
)


def changed(**fields: object) -> bytes:
    return json.dumps(msgspec.to_builtins(ALERT) | fields).encode()


def test_an_alert_is_read_as_it_was_written() -> None:
    assert read_alert(encode(ALERT)) == ALERT
    assert json.loads(encode(ALERT))["v"] == 3


def test_unknown_fields_are_ignored() -> None:
    assert read_alert(changed(later={"a": [1]})) == ALERT


def test_an_alert_of_version_1_has_no_reasons() -> None:
    fields = msgspec.to_builtins(ALERT)
    for name in ("reasons", "limitations"):
        del fields[name]
    old = read_alert(json.dumps(fields | {"v": 1}))
    assert (old.v, old.reasons, old.limitations, old.why) == (1, [], [], ["Text: ..."])


def test_an_alert_of_version_2_has_e_values_and_no_talking_points() -> None:
    edge = {"a": "ann", "b": "bob", "kind": "link", "count": 3, "expected": 0.1, "z": 9.0, "objects": []}
    fields = {name: value for name, value in msgspec.to_builtins(ALERT).items() if name not in NEW}
    old = read_alert(json.dumps(fields | {"v": 2, "edges": [edge], "threshold_kind": "e_value"}))
    assert (old.v, old.talking_points, old.near, old.decoy_q) == (2, [], [], None)
    assert (old.edges[0].z, old.edges[0].nats) == (9.0, 0.0)


@pytest.mark.parametrize("version", [0, 4, "3", None, [3]])
def test_another_version_is_refused_with_what_to_do(version: object) -> None:
    with pytest.raises(
        RecordError, match="this release reads 1 and 2 and 3: run the release that wrote it, or a later one"
    ):
        read_alert(changed(v=version))


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, changed(status="new"), changed(reasons=[1])]
)
def test_what_is_no_alert_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="no alert of version"):
        read_alert(body)


def test_pages_scores_and_decisions_are_read_as_they_were_written() -> None:
    page = PageRecord("a1", 1, 1, 1)
    assert read_page(encode(page)) == page
    assert read_score(encode_score(SCORE)) == SCORE
    decision = FeedbackRecord(alert="a1", decision="missed", id="d1")
    assert read_feedback(encode_feedback(decision)) == decision
    assert read_feedback(b'{"alert":"a1","decision":"missed","id":"d1","v":1}') == decision


def test_what_is_no_page_score_or_decision_is_refused() -> None:
    with pytest.raises(RecordError, match="no page"):
        read_page(b"{}")
    with pytest.raises(RecordError, match="line 3: this is no score"):
        list(read_scores([encode_score(SCORE), b"\n", b"{}"]))
    for body in (b'{"alert":"a","decision":"like","id":"1"}', b'{"v":2,"alert":"a","decision":"undo","id":"1"}', b"{"):
        with pytest.raises(RecordError, match="no decision of version 1"):
            read_feedback(body)
    with pytest.raises(RecordError, match="empty id"):
        read_feedback(b'{"alert":"a","decision":"undo","id":""}')
