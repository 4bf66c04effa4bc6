"""What people read: evidence, times and numbers in plain words."""

from __future__ import annotations

import msgspec

from detector.reason_sentences import direction
from moderation import words
from moderation.web.evidence_views import FULL_BAR_NATS, bar
from tests.moderation.builders import alert


def test_evidence_reads_as_odds() -> None:
    assert "20 times likelier for a machine" in direction(3.0)
    assert "likelier for a person" in direction(-1.0)
    assert [bar("text", "", "", nats, "").width for nats in (0.0, FULL_BAR_NATS / 2, -99.0)] == [0, 50, 100]
    assert [bar("text", "", "", nats, "").toward for nats in (0.05, 1.0, -1.0)] == ["neither", "machine", "person"]


def test_times_and_numbers_are_in_words() -> None:
    assert words.who(["a", "b", "c", "d"], 12) == "a, b, c and 9 others"
    assert words.who(["a", "b"], 2) == "a and b"
    assert words.who(["a"], 2) == "a and 1 other"
    assert words.who([], 0) == "nobody who may be named"
    assert [words.ago(0, ms) for ms in (5_000, 60_000, 7_200_000, 86_400_000 * 3)] == [
        "just now", "1 min ago", "2 h ago", "3 days ago"
    ]  # fmt: skip
    assert [words.span(0, ms) for ms in (0, 3_600_000, 7_200_000, 86_400_000 * 3)] == [
        "1 minute", "60 minutes", "2 hours", "3 days"
    ]  # fmt: skip


def test_an_alert_of_version_1_is_told_in_its_own_sentences() -> None:
    old = msgspec.structs.replace(alert(), v=1, reasons=[], why=["What: it is.", "no label here"])
    assert words.sentences(old) == [(None, ("", "What: it is.")), (None, ("", "no label here"))]


def test_an_alert_is_told_by_its_reasons() -> None:
    record = msgspec.structs.replace(alert(), why=["what nobody reads"])
    told = words.sentences(record)
    assert [reason.code for reason, _ in told if reason is not None] == [each.code for each in record.reasons]
    assert told[2][1] == (
        "Together",
        "pairs of them met 157 times in the same links; about 16.8 would be expected by chance.",
    )
