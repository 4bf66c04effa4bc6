"""`read`: recordings of any platform as post events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from detector.times import rfc3339
from streaming.ingest_cli import Ingested, ingest
from streaming.schema.event import Event
from streaming.schema.flat_rows import Row
from streaming.sources.files import AUTO, RecordingFiles
from streaming.sources.recording import events_of
from swarmlight.records import frame

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    "at", "account", "kind", "text", "lang", "target", "target_account", "urls", "hashtags", "mentions", "id",
)  # fmt: skip


class Recording:
    """Recordings of one format, read as they are used: iterating gives the valid events by time.

    Args:
        paths: files, compressed or not; several are put together by time.
        format: an installed input format with its options (docs/how-to/read.md), or `auto`.

    Raises:
        UsageError: a file cannot be opened, or there is no such format.
    """

    def __init__(self, paths: tuple[Path, ...], format: str = AUTO) -> None:
        with RecordingFiles(paths, None, format):
            self.paths, self.format = paths, format

    def __repr__(self) -> str:
        return f"Recording({', '.join(repr(str(path)) for path in self.paths)}, format={self.format!r})"

    def __iter__(self) -> Iterator[Event]:
        return events_of(self.paths, self.format, _now_ms())

    def to_pandas(self, limit: int | None = None) -> pd.DataFrame:
        """The events as a data frame, a row each; lists have spaces between their values.

        Args:
            limit: rows at most; all where None.

        Raises:
            UsageError: a file cannot be read, or pandas is not installed.
        """
        return frame([_row(event) for event in islice(self, limit)], COLUMNS)

    def save(self, path: str | Path, *, dead_letters: str | Path | None = None) -> Ingested:
        """Write the events as JSON lines, which every command reads, and say what became of every record.

        Args:
            path: `.jsonl`, `.jsonl.gz` or `.jsonl.zst`.
            dead_letters: where to write the records that cannot be read, with the reason.

        Returns:
            How many events, skipped records by what they are, and dead ones by reason.

        Raises:
            UsageError: a file cannot be read or written.
            UnusableError: less than half of the records can be used.
        """
        letters = None if dead_letters is None else Path(dead_letters)
        return ingest(self.paths, Path(path), format_name=self.format, dead_letters=letters)


Source: TypeAlias = Recording | str | Path
"""A recording: what `read` gave, or the path of a file whose format is recognised."""


def read(*paths: str | Path, format: str = AUTO) -> Recording:
    """A recording to look at, to judge, or to learn from; nothing is read yet.

    Args:
        paths: one or more files of posts, in any order, compressed by gzip or zstd or not.
        format: `bluesky`, `mastodon`, `x`, `reddit`, `table:account=COLUMN,at=COLUMN,text=COLUMN` and others
            (docs/how-to/read.md); `auto` recognises it.

    Raises:
        UsageError: a file cannot be opened, or there is no such format.
    """
    return Recording(tuple(Path(path) for path in paths), format)


def recording_of(source: Source) -> Recording:
    """What was read, of a recording or of a path."""
    return source if isinstance(source, Recording) else read(source)


def _row(event: Event) -> Row:
    return {
        "at": rfc3339(event.at), "account": event.account, "kind": event.kind.name.lower(), "text": event.text or None,
        "lang": event.lang or None, "target": event.target or None, "target_account": event.target_account or None,
        "urls": " ".join(event.urls) or None, "hashtags": " ".join(event.hashtags) or None,
        "mentions": " ".join(event.mentions) or None, "id": event.id,
    }  # fmt: skip


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
