"""The valid events of recordings, one after another, for what has no use for dead ones: training, the Python API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from detector.errors import EventError
from streaming.schema.event import Event
from streaming.score import event_of
from streaming.sources.files import RecordingFiles


def events_of(recordings: Sequence[str | Path], format_name: str, now_ms: int) -> Iterator[Event]:
    """The events of recordings by time.

    Args:
        recordings: files of the format.
        format_name: an installed one, with its options, or `auto`.
        now_ms: the present, ms since 1970: later events are none.

    Raises:
        UsageError: a recording cannot be read.
    """
    with RecordingFiles(recordings, None, format_name) as inputs:
        for record in inputs.by_time():
            try:
                yield event_of(record, now_ms)
            except EventError:
                continue
