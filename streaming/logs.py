"""The log of a process on standard error: one JSON object a line, or a plain line for eyes.

Modules log through the standard library (`logging.getLogger(__name__)`, with `extra={"tick_ms": t}` for fields);
`configure` sends all of it, and what libraries log, through structlog. Every line is ASCII without control characters.
Texts, account names and ids of the stream do not belong in logs at all. What still gets in (a broker's message, a file
name) is escaped here, so that no line can break out of itself, and cut.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict

from streaming.config import LogConfig

MESSAGE_CHARACTERS: Final = 2000
"""The longest message: a line of reasonable length, and far above any of ours."""

FIELD_CHARACTERS: Final = 100
"""The longest field, and of anything named inside a message."""

ERROR_CHARACTERS: Final = 500
"""The longest exception with the place it came from."""

FRAMES: Final = 3
"""Of a traceback, the innermost: enough to find the line in our own code."""

CLIENT_LINES: Final = 3
"""Lines of the Kafka client that differ only in numbers, and are written in `CLIENT_S`."""

CLIENT_S: Final = 60.0
"""Seconds: while a broker is away, the client says so several times a second."""

CLIENT_KINDS: Final = 200
"""Different lines that are counted; beyond, counting begins anew."""

FOREIGN: Final = frozenset({"asctime", "color_message", "message"})
"""What formatters of libraries leave on a record beside the message, and no field of ours."""


def shown(text: object, limit: int = FIELD_CHARACTERS) -> str:
    """Any text as short printable ASCII, for one place in a message."""
    escaped = ascii(str(text))[1:-1]
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send the log of this process to `stream` (default: standard error), replacing what was set up before.

    The `kafka` client's own log is kept at WARNING: below that it names every topic and setting it sees.
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(formatter(config.format))
    handler.addFilter(ClientRepeats())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.level)
    logging.getLogger("kafka").setLevel(max(logging.WARNING, root.level))


class ClientRepeats(logging.Filter):
    """Lets through the first of the Kafka client's lines that say the same, and with the next ones how many there were.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.name.partition(".")[0] != "kafka":
            return True
        message = record.getMessage()
        kind = (record.name, record.levelno, _NUMBERS.sub("#", message))
        now = self._clock()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= CLIENT_S:
            if count > CLIENT_LINES:
                left_out = f"{count - CLIENT_LINES} more like it in {now - since:.0f} s"
                record.msg, record.args = f"{message} ({left_out})", ()
            since, count = now, 0
        if len(self._seen) >= CLIENT_KINDS and kind not in self._seen:
            self._seen.clear()
        self._seen[kind] = since, count + 1
        return count < CLIENT_LINES


_NUMBERS: Final = re.compile(r"0x[0-9a-f]+|[0-9]+(?:[.:][0-9]+)*")


def formatter(kind: Literal["json", "text"]) -> logging.Formatter:
    """What turns a record into its line.

    `json`: an object with `at`, `level`, `logger`, `message`, then the fields, then `error` where there was one.
    `text`: `time level logger: message name=value ... (error)`.
    """
    render: Callable[[Any, str, EventDict], Any] = structlog.processors.JSONRenderer() if kind == "json" else _plain
    return structlog.stdlib.ProcessorFormatter(processors=[_escaped, render])


def _escaped(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """The entry of a record: our own names first, which no field can replace, and every text escaped and cut."""
    record: logging.LogRecord = event["_record"]
    entry: EventDict = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": shown(event["event"], MESSAGE_CHARACTERS),
    }
    fields: EventDict = structlog.stdlib.ExtraAdder()(logging.getLogger(), "", {"_record": record})
    for name, value in fields.items():
        if name != "_record" and name not in FOREIGN:
            entry.setdefault(name, value if isinstance(value, int | float | bool | None) else shown(value))
    error = event.get("exc_info", (None, None, None))[1]
    if error is not None:
        entry["error"] = shown(f"{type(error).__name__}: {error} at {' < '.join(_places(error))}", ERROR_CHARACTERS)
    return entry


def _places(error: BaseException) -> Iterator[str]:
    """`function:line` of the innermost frames, innermost first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)[-FRAMES:]):
        yield f"{frame.name}:{frame.lineno}"


def _plain(_logger: Any, _method: str, entry: EventDict) -> str:
    at = str(entry.pop("at"))[11:19]
    level, name, message = entry.pop("level"), entry.pop("logger"), entry.pop("message")
    error = entry.pop("error", "")
    pairs = "".join(f" {field}={value}" for field, value in entry.items())
    return f"{at} {level:<7} {name}: {message}{pairs}{f' ({error})' if error else ''}"
