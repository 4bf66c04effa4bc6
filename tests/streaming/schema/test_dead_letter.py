"""Dead letters are shown on one safe line each, counted by problem, and sent again only where they are whole."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import EventError, UsageError
from streaming.cli import invoke
from streaming.schema import dead_letter
from streaming.schema.dead_letter import DeadLetter, DeadLetterCounts, letters
from streaming.sources.base import SourceRecord


def encoded(record: bytes, field: str = "at", reason: str = "no offset") -> bytes:
    letter = dead_letter.dead_letter(SourceRecord(7, -1, record, "posts-0@"), EventError(field, reason), 0)
    return dead_letter.encode(letter)


def only(record: bytes) -> DeadLetter:
    (letter,) = letters([("file:1", record)])
    return letter


def test_what_is_written_is_read_back() -> None:
    letter = only(encoded(b'{"id": 1}'))
    assert (letter.source, letter.field, letter.reason) == ("posts-0@7", "at", "no offset")
    assert letter.record() == b'{"id": 1}'


def test_a_record_that_was_cut_or_altered_is_not_whole() -> None:
    assert only(encoded(b"x" * 5000)).record() is None
    altered = msgspec.structs.replace(only(encoded(b"abc")), kept=base64.b64encode(b"abd").decode())
    assert altered.record() is None
    assert msgspec.structs.replace(altered, kept="no base64").record() is None


@given(st.binary(max_size=300), st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_letter_breaks_out_of_its_line(record: bytes, at: str, field: str, source: str) -> None:
    kept = base64.b64encode(record).decode()
    letter = DeadLetter(at, source, field, field, kept, len(record), hashlib.sha256(record).hexdigest())
    tally = DeadLetterCounts()
    tally.add(letter)
    for line in (letter.line(), *tally.lines()):
        assert line.isascii()
        assert line.isprintable()


def test_what_is_no_letter_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"file:1: this is no dead letter"):
        only(b'{"at": 3}')


def test_the_command_shows_filters_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_bytes(b"\n".join([encoded(b"\x1b[2J"), encoded(b"b", "", "not JSON"), encoded(b"c")]) + b"\n")
    assert invoke(["dlq", "--input", str(path), "--limit", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert "\\x1b[2J" in out
    assert err.splitlines()[:2] == ["3 dead letters", "        2  at: no offset"]
    assert invoke(["dlq", "--input", str(path), "--field", "record"]) == 0
    assert "1 dead letters" in capsys.readouterr().err


def test_many_different_problems_are_cut() -> None:
    tally = DeadLetterCounts()
    for number in range(30):
        tally.add(only(encoded(b"x", f"field{number}")))
    lines = list(tally.lines(most=5))
    assert len(lines) == 7
    assert lines[-1].endswith("and 25 other problems")


def test_of_letters_about_the_same_bytes_a_thousand_are_kept_and_all_about_others() -> None:
    repeated = dead_letter.RepeatedLetters()

    def letter(value: bytes) -> dead_letter.DeadLetter:
        return dead_letter.dead_letter(SourceRecord(0, -1, value, "f:", 1), EventError("", "is empty"), 0)

    empty = letter(b"")
    assert sum(repeated.keeps(empty) for _ in range(5000)) == dead_letter.ALIKE_KEPT
    assert repeated.left_out == 5000 - dead_letter.ALIKE_KEPT
    assert all(repeated.keeps(letter(b"%d" % number)) for number in range(2000))
