"""The vocabulary of coordination: kinds of trace, one touch, and the settings of everything in this folder.

A touch is one account meeting one object at a time: the same link, hashtag set, reposted post and so on. Every event
gives one touch per object; touches of one event share (account, time) and must be added next to each other.

Records of what accounts did, from files: account, object, time, kind.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from detector.errors import ConfigError, UsageError
from detector.times import parse_time

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * HOUR_MS


class TraceKind(IntEnum):
    """What two accounts had in common. The lower-case names are the contract's `edges.kind`.

    The kinds up to INTERACTION are given as touches; FAST_REPOST is derived from the lag between two reposts.
    """

    LINK = 0
    DOMAIN = 1
    HASHTAGS = 2
    REPOST = 3
    REPLY_TARGET = 4
    QUOTE = 5
    MENTION = 6
    NEAR_DUPLICATE = 7
    INTERACTION = 8
    FAST_REPOST = 9

    @property
    def label(self) -> str:
        """The name in alerts, for instance `"reply_target"`."""
        return self.name.lower()


KINDS: Final = len(TraceKind)
TRACE_KINDS: Final = int(TraceKind.FAST_REPOST)
"""Kinds that may be added; kinds from here on are derived."""


class Trace(NamedTuple):
    """One account met one object.

    Args:
        at_ms: event time, ms since 1970 UTC.
        account: the account's row, any non-negative integer that names one account until it is forgotten.
        kind: what the object is. A `LIKE` is an `INTERACTION` touch of the liked event.
        key: the object: a normalised link, a sorted hashtag set, an event id, one key per near-duplicate cluster (not
            one per MinHash band: a text is one observation).
        other: row of the account acted upon where it is known (whose post was reposted, liked, replied to), else -1.
    """

    at_ms: int
    account: int
    kind: int
    key: str
    other: int = -1


BET_WINDOW_MS: Final[tuple[int, ...]] = (
    6 * HOUR_MS,  # LINK: half of a link's clicks and shares come within about three hours of its posting
    1 * HOUR_MS,  # DOMAIN: everybody meets on large domains within a day; only near in time it says something
    6 * HOUR_MS,  # HASHTAGS: a tag set lives as long as its topic trends
    6 * HOUR_MS,  # REPOST: most reposts of a post come within hours of it
    6 * HOUR_MS,  # REPLY_TARGET: a thread is alive for hours
    12 * HOUR_MS,  # QUOTE: slower than reposts, since somebody has to write
    1 * HOUR_MS,  # MENTION: well-known accounts are mentioned all the time
    24 * HOUR_MS,  # NEAR_DUPLICATE: the same words by chance are rare at any lag, and operators spread them over a day
    6 * HOUR_MS,  # INTERACTION: likes come with the timeline in which the post is shown
    60_000,  # FAST_REPOST: CooRTweet's own 60 s; never bet on by itself, since REPOST's short window covers it
)
"""How long after the first member's touch a further member's touch counts, by kind."""

SYNCHRONY_MS: Final = 10 * MINUTE_MS
"""The short window of every bet: ten minutes hold scripted rounds and few people's chance meetings. Half of every bet
is placed on it, so popular objects touched in step still show."""

FAST_REPOST_MS: Final = 60_000
"""Two reposts this near in time are a `FAST_REPOST` (CooRTweet's default for coordinated reposting)."""

KIND_WEIGHT: Final[tuple[float, ...]] = (
    1.0,  # LINK
    0.25,  # DOMAIN: a link's touch again, only coarser
    0.5,  # HASHTAGS: chosen from what trends
    1.0,  # REPOST
    1.0,  # REPLY_TARGET
    1.0,  # QUOTE
    0.25,  # MENTION: chosen from what trends
    1.5,  # NEAR_DUPLICATE: the only kind that people hardly ever share by chance
    0.5,  # INTERACTION: likes are many and cheap
    0.5,  # FAST_REPOST: on top of nothing; a fast repost is not counted as REPOST as well
)
"""Weight of a kind's residual when residuals of kinds are added into one soft edge. Not fitted: a coarse order of how
much of a choice the trace is. The test of a group does not use it."""


class CoordinationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the outcome, and so is part of what a replay must hold equal. Times in ms or s as named.

    Raises:
        ConfigError: a value is out of range.
    """

    target_fdr: float = 0.05
    window_ms: int = 48 * HOUR_MS  # how long touches are kept: members of slow campaigns meet 0-2 times in two days
    learn_ms: int = 6 * HOUR_MS  # communities are learned from so much before groups are proposed
    half_life_ms: int = 96 * HOUR_MS  # decay of a meeting's weight in soft edges: little, the window ends at 48 h
    neighbours: int = 16  # touches of one object that each touch is paired with (the nearest in time): bounds pairs
    pair_budget: int = 4_000_000  # pairs per kind in one proposal: ~0.5 GB of work arrays
    top_edges: int = 20  # soft edges kept per account
    min_size: int = 3
    max_size: int = 1000
    max_groups: int = 1000  # proposed groups per tick, strongest first: bounds memory and the tick's length
    resolution: float = 1.0  # Leiden, modularity
    fresh_share: float = 0.04  # proposals are made once the touches since the last are this share of the window
    fresh_least: int = 20  # and at least so many
    touches_per_tick: int = 100_000  # and at most every ceil(touches in window / this) campaign ticks
    pool_size: int = 50  # outsiders a group is compared with, at least
    popular: int = 50  # an object with more touches than this when a member first meets it is not bet on
    hit_cap: int = 3  # further members counted per object
    activity_bin_ms: int = 3 * HOUR_MS  # resolution of activity over time: finer than day and night
    patience_ms: int = 12 * HOUR_MS  # an unaccepted group that no proposal continues is dropped after this
    accepted_patience_ms: int = 7 * DAY_MS  # likewise an accepted one: it stays listed while it may come back

    def __post_init__(self) -> None:
        if not 0 < self.target_fdr < 1:
            raise ConfigError(f"target_fdr = {self.target_fdr}: must lie between 0 and 1, for instance 0.05")
        longest = max(BET_WINDOW_MS)
        if self.window_ms < 2 * longest:
            raise ConfigError(f"window_ms = {self.window_ms}: must be at least {2 * longest}, twice the longest bet")
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} = {getattr(self, name)}: must be positive")
        if not 3 <= self.min_size <= self.max_size:
            raise ConfigError(f"min_size = {self.min_size}: must lie between 3 and max_size = {self.max_size}")


YEAR_2500_MS = 530 * 365 * DAY_MS
"""No record is later than about the year 2500: larger numbers are of another unit."""


class Columns(NamedTuple):
    """Names of the fields in a record. Without a kind column, or where it is empty, every record is of `kind`."""

    account: str = "account"
    object: str = "object"
    at: str = "at"
    kind_column: str = "kind"
    kind: TraceKind = TraceKind.REPOST
    seconds: bool = False  # numeric times are seconds since 1970 UTC, not milliseconds


class Records(NamedTuple):
    """Touches in event order (time, account name, kind, object); `names[row]` is an account, rows in name order."""

    touches: list[Trace]
    names: list[str]


def read_records(paths: Iterable[Path], columns: Columns) -> Records:
    """Read `.jsonl`, `.jsonl.gz`, `.csv`, `.csv.gz` or `.parquet` files.

    Raises:
        UsageError: a file or a record that cannot be read; names file, record and field.
    """
    rows: list[tuple[int, str, int, str]] = []
    for path in paths:
        for number, record in enumerate(_read(path), 1):
            rows.append(_parse(record, columns, f"{path}, record {number}"))
    names = sorted({account for _, account, _, _ in rows})
    row_of = {name: row for row, name in enumerate(names)}
    touches = [Trace(at, row_of[account], kind, key) for at, account, kind, key in sorted(rows)]
    return Records(touches, names)


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet(path)
        elif name.endswith((".jsonl", ".csv")):
            with gzip.open(path, "rt", encoding="utf-8") if path.name != name else path.open(encoding="utf-8") as lines:
                if name.endswith(".csv"):
                    yield from csv.DictReader(lines)
                else:
                    for line in lines:
                        if line.strip():
                            yield json.loads(line)
        else:
            raise UsageError(f"{path}: unknown kind of file; give .jsonl, .csv (both also as .gz) or .parquet")
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from error


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(f"{path}: parquet needs the extra 'train': pip install 'swarmlight[train]'") from error
    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


def _parse(record: Mapping[str, Any], columns: Columns, where: str) -> tuple[int, str, int, str]:
    if not isinstance(record, Mapping):
        raise UsageError(f"{where}: is no object with fields")
    texts = []
    for field in (columns.account, columns.object):
        value = record.get(field)
        if value is None or value == "":
            raise UsageError(f"{where}: field {field!r} is missing or empty; name the columns with --columns")
        texts.append(str(value))
    kind = record.get(columns.kind_column) or columns.kind.label
    if str(kind).upper() not in TraceKind.__members__ or TraceKind[str(kind).upper()] >= TRACE_KINDS:
        known = ", ".join(k.label for k in TraceKind if k < TRACE_KINDS)
        raise UsageError(f"{where}: field {columns.kind_column!r} is no kind of trace; known are {known}")
    at = _time(record.get(columns.at), columns, where)
    return at, texts[0], int(TraceKind[str(kind).upper()]), texts[1]


def _time(value: object, columns: Columns, where: str) -> int:
    problem = UsageError(
        f"{where}: field {columns.at!r} must be an RFC 3339 time with offset, or a number of ms since 1970 UTC "
        "(of seconds with --seconds)"
    )
    if isinstance(value, str):
        text = value
        try:
            value = float(text)
        except ValueError:
            moment = parse_time(text)
            if moment is None:
                raise problem from None
            return moment
    if isinstance(value, datetime) and value.tzinfo is not None:
        return round(value.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem
    at = value * 1000 if columns.seconds else value
    if not 0 <= at <= YEAR_2500_MS:
        raise problem
    return round(at)
