"""What people read: evidence, times and numbers in plain words."""

from __future__ import annotations

from moderation import words
from moderation.web.evidence import FULL_BAR_NATS, bar


def test_evidence_reads_as_odds() -> None:
    assert "20 times likelier for a machine" in words.evidence_words(3.0)
    assert "likelier for a person" in words.evidence_words(-1.0)
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
    assert words.labelled(["What: it is.", "no label here", "http://x: y"]) == [
        ("What", "it is."), ("", "no label here"), ("", "http://x: y")
    ]  # fmt: skip
