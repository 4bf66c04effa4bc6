"""Logs on standard error: one JSON object a line, or a plain line for eyes. Both are ASCII without control characters.

Texts, account names and ids of the stream do not belong in logs at all. What still gets in (a broker's message, a file
name) is escaped here, so that no line can break out of itself, and cut. An account appears as its pseudonym.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from streaming.settings import LogConfig

MESSAGE_CHARACTERS: Final = 2000
"""The longest message: a line of reasonable length, and far above any of ours."""

FIELDS: Final = "swarmlight_fields"


def fields(**values: object) -> dict[str, dict[str, object]]:
    """Structured fields of a log call: `log.info("tick", extra=fields(tick_ms=t))`."""
    return {FIELDS: values}


def shown(text: object, limit: int = 100) -> str:
    """Any text as short printable ASCII, for one place in a message."""
    escaped = ascii(str(text))[1:-1]
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (default: standard error), replacing what was set up before.

    The `kafka` client's own log is kept at WARNING: below that it names every topic and setting it sees.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.level)
    logging.getLogger("kafka").setLevel(max(logging.WARNING, root.level))


class JsonFormatter(logging.Formatter):
    """One JSON object: `at`, `level`, `logger`, `message`, then the fields, then `error` where there was one."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": shown(record.getMessage(), MESSAGE_CHARACTERS),
        }
        for name, value in _fields(record).items():
            entry.setdefault(name, value if isinstance(value, int | float | bool | None) else shown(value))
        error = _error(record)
        if error:
            entry["error"] = error
        return json.dumps(entry, ensure_ascii=True)


class TextFormatter(logging.Formatter):
    """`time level logger: message name=value ...` on one line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        pairs = "".join(f" {name}={shown(value)}" for name, value in _fields(record).items())
        error = _error(record)
        tail = f" ({error})" if error else ""
        message = shown(record.getMessage(), MESSAGE_CHARACTERS)
        return f"{at} {record.levelname:<7} {record.name}: {message}{pairs}{tail}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}


def _error(record: logging.LogRecord) -> str:
    """The exception and where it came from, on one line; its message may quote anything, so it is escaped and cut."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    error = record.exc_info[1]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    return shown(f"{type(error).__name__}: {error} at {where}", 500)
