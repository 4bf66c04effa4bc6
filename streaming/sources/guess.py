"""What a file is that is of no installed format, and which unit its times are in: guesses, for messages."""

from __future__ import annotations

import csv
from typing import Final

from detector.errors import UsageError
from detector.times import rfc3339
from streaming.schema.event import AHEAD_MS
from streaming.sources.platform_times import EARLIEST_MS
from streaming.sources.sorting import TimeRange

MAGIC: Final = {
    b"PK\x03\x04": "a zip archive: unpack it",
    b"BZh": "compressed by bzip2: decompress it, as in `bzcat FILE | swarmlight run -`",
    b"\xfd7zXZ": "compressed by xz: decompress it, as in `xzcat FILE | swarmlight run -`",
    b"PAR1": "a Parquet file: read it with --format table:account=COLUMN,at=COLUMN",
    b"SQLite format 3": "an SQLite database: export its rows",
    b"<": "HTML or XML",
}
"""How files begin that are never read as they are, and what to do with them."""

_TAR, _TAR_PLACE = b"ustar", 257
"""What a tar archive has in its first header, and where (POSIX.1-2017, pax)."""

_UNPRINTED: Final = frozenset(range(32)) - set(b"\t\n\r\f\x1b")
"""Bytes that no text has."""

_UNITS: Final = (("seconds", 1_000, 1), ("microseconds", 1, 1_000), ("nanoseconds", 1, 1_000_000))
"""Name of a unit, and by what its numbers are multiplied and divided to be milliseconds."""


def check_times(times: TimeRange, now_ms: int) -> None:
    """Refuse recordings whose times cannot be milliseconds since 1970.

    Args:
        times: all that the records have.
        now_ms: the present, ms since 1970.

    Raises:
        UsageError: all lie before 2000, or all in the future; the message says the likely unit.
    """
    if not times.count:
        return
    early, late = times.highest < EARLIEST_MS, times.lowest > now_ms + AHEAD_MS
    if not early and not late:
        return
    when = "lie before the year 2000" if early else "lie in the future"
    where = f"all {times.count:,} times (`at`) {when}, the first at {_written(times.lowest)}"
    for unit, times_by, divided_by in _UNITS:
        low, high = times.lowest * times_by // divided_by, times.highest * times_by // divided_by
        if times.integers == times.count and low >= EARLIEST_MS and high <= now_ms + AHEAD_MS:
            how = f"multiply by {times_by:,}" if times_by > 1 else f"divide by {divided_by:,}"
            raise UsageError(
                f"{where}: these look like {unit}, and `at` is milliseconds since 1970: {how} (read as {unit} they "
                f"begin at {rfc3339(low)})"
            )
    raise UsageError(
        f"{where}: `at` is an RFC 3339 time or milliseconds since 1970; correct the times, or the clock of this machine"
    )


def _written(time: int) -> str:
    return f"{time} ({rfc3339(time)})" if 0 <= time < 253_402_300_800_000 else str(time)


def unknown_kind(head: bytes) -> str | None:
    """What a file seems to be that is of no installed format, and what to do with it.

    Args:
        head: its beginning, decompressed and without byte order mark.

    Returns:
        Words that go on from "looks like"; None where nothing can be said.
    """
    for magic, what in MAGIC.items():
        if head.lstrip().startswith(magic):
            return what
    if head[_TAR_PLACE:].startswith(_TAR):
        return "a tar archive: unpack it, and give the files in it (of Mastodon's export outbox.json)"
    if max(head[:200:2].count(0), head[1:200:2].count(0)) > len(head[:200]) // 4 and not head[:200].count(b"\0\0\0"):
        return "UTF-16 without a byte order mark: convert it, as in `iconv -f UTF-16LE -t UTF-8`"
    if sum(byte in _UNPRINTED for byte in head[:1000]) > len(head[:1000]) // 20:
        return "no text: a compressed, encrypted or damaged file, or one of another program"
    first = next(iter(head.lstrip().splitlines()), b"").strip()
    if first.startswith((b"{", b"[")):
        return _json_kind(head, first)
    table = _table(first)
    if table is not None:
        return table
    return _LATIN1 if _other_encoding(head) else None


_LATIN1: Final = "text in Latin-1 or Windows-1252: convert it, as in `iconv -f WINDOWS-1252 -t UTF-8`"


def _other_encoding(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start < len(head) - 4
    return False


def _json_kind(head: bytes, first: bytes) -> str | None:
    if first == b"{":
        return "a JSON object over many lines: write one object a line, as in `jq -c .`"
    return _LATIN1 if _other_encoding(head) else None


def _table(first: bytes) -> str | None:
    """A line with separators is the heading of a table."""
    text = first.decode("utf-8", "replace")
    separator = max(",;\t", key=text.count)
    if text.count(separator) < 1 or "{" in text:
        return None
    columns = next(csv.reader([text], delimiter=separator), [])
    if not all(0 < len(column.strip()) <= 64 for column in columns):
        return None
    named = "CSV" if separator == "," else "TSV" if separator == "\t" else "CSV with semicolons"
    return (
        f"{named}: say what its columns are, --format table:account=COLUMN,at=COLUMN,text=COLUMN (docs/how-to/read.md)"
    )
