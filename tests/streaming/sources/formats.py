"""Reads bytes in an input format, as tests of formats want it: what became of every record."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

from streaming.schema.event import parse
from streaming.sources.base import SourceFormat
from tests.streaming.builders import T0

NOW = T0 + 10**11
"""Some years after every time in a test, ms."""


class Read(NamedTuple):
    """What became of the records of a file.

    Args:
        events: post events, each of which is valid.
        skipped: what those are that are no post events.
        problems: field and reason of those that cannot be read.
    """

    events: list[dict[str, Any]]
    skipped: list[str]
    problems: list[tuple[str, str]]


def read(form: SourceFormat, data: bytes | str | list[Any] | dict[str, Any]) -> Read:
    """Read a file of these bytes, of this text, of lines of these values, or of this one document over many lines."""
    if isinstance(data, dict):
        data = json.dumps(data, indent=1)
    if isinstance(data, list):
        data = "".join(json.dumps(each) + "\n" for each in data)
    raw = data.encode() if isinstance(data, str) else data
    events, skipped, problems = [], [], []
    for record in form.read(io.BufferedReader(io.BytesIO(raw))):
        if record.skipped:
            skipped.append(record.skipped)
        elif record.problem is not None:
            problems.append((record.problem.field, record.problem.reason))
        else:
            assert record.oversize is None
            parse(record.value, now_ms=NOW)
            events.append(json.loads(record.value))
    return Read(events, skipped, problems)


def one(form: SourceFormat, data: Any) -> dict[str, Any]:
    """The event of a file with one record."""
    found = read(form, data if isinstance(data, bytes | str) else [data])
    assert (found.skipped, found.problems) == ([], [])
    (event,) = found.events
    return event
