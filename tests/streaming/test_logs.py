"""A log line stays one line of printable ASCII, whatever it is about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Final, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.config import LogConfig
from streaming.logs import CLIENT_LINES, CLIENT_S, ClientRepeats, configure, formatter, shown

FORMATS: Final[tuple[Literal["json", "text"], ...]] = ("json", "text")


@pytest.fixture
def root_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def record(message: str, /, *arguments: object, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("streaming.x", logging.INFO, __file__, 1, message, arguments or None, None)
    made.__dict__.update(fields)
    return made


@given(st.text(), st.text(), st.sampled_from(FORMATS))
def test_no_text_breaks_out_of_its_line(message: str, value: str, kind: Literal["json", "text"]) -> None:
    line = formatter(kind).format(record("%s", message, value=value, count=3))
    assert line.isascii()
    assert line.isprintable()
    if kind == "json":
        entry = json.loads(line)
        assert (entry["level"], entry["count"]) == ("INFO", 3)


def test_a_field_cannot_pose_as_the_lines_own() -> None:
    entry = json.loads(
        formatter("json").format(record("real", message="forged", level="CRITICAL", at="never", asctime="noon"))
    )
    assert (entry["message"], entry["level"]) == ("real", "INFO")
    assert entry["at"].startswith("20")
    assert list(entry) == ["at", "level", "logger", "message"]


def test_an_exception_is_told_on_the_same_line() -> None:
    made = record("failed")
    try:
        raise ValueError("bad\ntext \x1b[31m")
    except ValueError as error:
        made.exc_info = (ValueError, error, error.__traceback__)
    entry = json.loads(formatter("json").format(made))
    assert entry["error"].startswith("ValueError: bad\\ntext \\x1b[31m at test_an_exception")


def test_configure_replaces_handlers_and_keeps_the_client_quiet(root_restored: None) -> None:
    stream = io.StringIO()
    configure(LogConfig(level="DEBUG", format="text"), io.StringIO())
    configure(LogConfig(level="DEBUG", format="text"), stream)
    logging.getLogger("kafka").info("all topics and settings")
    logging.getLogger("streaming.x").debug("seen", extra={"count": 2})
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("DEBUG   streaming.x: seen count=2\n")


def test_names_are_cut() -> None:
    assert shown("a\x00b") == "a\\x00b"
    assert len(shown("x" * 1000)) == 100


def test_an_outage_is_some_lines_of_the_client_and_their_number() -> None:
    now = [0.0]
    repeats = ClientRepeats(lambda: now[0])
    handler = logging.Handler()
    handler.addFilter(repeats)
    written = []
    for attempt in range(5000):
        now[0] = attempt * 0.05
        line = record("<Connection node_id=%d host=127.0.0.1:%d> refused", attempt % 3, 9092 + attempt)
        line.name = "kafka.conn"
        if handler.filter(line):
            written.append(line.getMessage())
    minutes = 5000 * 0.05 / CLIENT_S
    assert len(written) <= CLIENT_LINES * (minutes + 1)
    assert any("1197 more like it in 60 s" in line for line in written)


def test_other_lines_of_the_client_and_all_of_our_own_are_written() -> None:
    repeats = ClientRepeats(lambda: 0.0)
    ours = [repeats.filter(record("stage %s waits", "score")) for _ in range(50)]
    theirs = []
    for word in ("refused", "reset", "timed out"):
        line = record(word)
        line.name = "kafka.conn"
        theirs.append(repeats.filter(line))
    assert all([*ours, *theirs])
