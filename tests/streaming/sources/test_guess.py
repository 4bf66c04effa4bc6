"""What a file is that holds no post events, and in which unit its times are."""

from __future__ import annotations

import json
import random

import pytest

from detector.errors import UsageError
from streaming.sources.files import looks_like
from streaming.sources.guess import check_times
from streaming.sources.sorting import TimeRange
from tests.streaming.builders import T0, event, lines

NOW = T0 + 10**9


def times(*values: int, integer: bool = True) -> TimeRange:
    seen = TimeRange()
    for value in values:
        seen.see(value, integer)
    return seen


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((T0 // 1000, T0 // 1000 + 60), "these look like seconds.*multiply by 1,000.*2026-01-01T00:00:00Z"),
        ((T0 * 1000,), "these look like microseconds.*divide by 1,000"),
        ((T0 * 1_000_000, T0 * 1_000_000 + 5), "these look like nanoseconds.*divide by 1,000,000"),
        ((0, 5), "before the year 2000.*milliseconds since 1970"),
        ((NOW + 10**9,), "lie in the future.*the clock of this machine"),
    ],
)
def test_impossible_times_are_refused_with_their_likely_unit(values: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_times(times(*values), NOW)


def test_a_written_date_has_no_unit() -> None:
    with pytest.raises(UsageError) as caught:
        check_times(times(T0 // 1000, integer=False), NOW)
    assert "look like" not in str(caught.value)


@pytest.mark.parametrize("values", [(), (T0,), (0, T0), (T0, NOW * 1000), (5, NOW * 1000)])
def test_one_possible_time_is_enough(values: tuple[int, ...]) -> None:
    check_times(times(*values), NOW)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"id,user,text\n1,ann,hi\n", "CSV"),
        (b"id;user;text\n1;ann;hi\n", "CSV with semicolons"),
        (b"id\tuser\n1\tann\n", "TSV"),
        (b'{\n  "id": 1\n}\n', "over many lines"),
        (json.dumps({"did": "d", "time_us": 1}).encode(), "--format bluesky"),
        (json.dumps({"account": {}, "content": "", "created_at": ""}).encode(), "--format mastodon"),
        (json.dumps({"id_str": "1", "user": {}, "text": ""}).encode(), "--format x"),
        (json.dumps({"created_utc": 1, "author": "a", "id": "x", "body": ""}).encode(), "--format reddit"),
        (b"user_id,created_at,body\n1,2,3\n", "--format table"),
        (b"PK\x03\x04 and so on", "zip"),
        (b"PAR1....", "Parquet"),
        (b"<!doctype html>", "HTML"),
        ('{"a": "é"}\n{"b": 1}\n'.encode("latin-1"), "Latin-1"),
        ('{"a": "é"}\n'.encode("utf-16-le"), "UTF-16"),
        (random.Random(1).randbytes(3000), "no text"),
        (b"outbox.json" + bytes(246) + b"ustar\x0000" + bytes(248), "tar archive"),
        (bytes(300), "no text"),
    ],
)
def test_what_a_file_looks_like(head: bytes, said: str) -> None:
    guess = looks_like("posts", head, "events")
    assert guess is not None
    assert guess.startswith("posts looks like")
    assert said in guess


@pytest.mark.parametrize("head", [b"", b"\n", b"x", b"\r\r\r", b"[]", b"7", b"[" * 100_000, lines([event()])])
def test_where_nothing_can_be_said_nothing_is(head: bytes) -> None:
    assert looks_like("posts", head, "events") is None


def test_the_format_that_a_file_was_read_in_is_not_proposed_again() -> None:
    head = json.dumps({"did": "d", "time_us": 1}).encode()
    assert looks_like("posts", head, "bluesky") is None
    assert looks_like("posts", head, "reddit") is not None
    assert looks_like("posts", head, "auto") is None, "it was recognised"
    assert looks_like("posts", b"user_id,created_at,body\n1,2,3\n", "table:at=created_at") is None
