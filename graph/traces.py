"""The kinds of trace, the trace itself, the settings of coordination, and records of traces read from files.

`KIND_TABLE` has one row for each kind: the built-in ones, and those that installed packages add through the entry
points `swarmlight.traces` (`graph/trace_kind.py` says how). Arrays and snapshots name a kind by its place in the table.
A trace says that one account used one shared object at a time; every event gives one trace for each of its objects, and
traces of one event share (account, time) and must be added next to each other.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from detector.errors import ConfigError, UsageError
from detector.plugins import TRACES, installed, load_entry
from detector.times import parse_time
from graph.trace_kind import (
    ANSWERED,
    LIKED,
    PUBLISHED,
    SHARED,
    TracedEvent,
    TraceKind,
    object_key,
    owner,
    target_of,
)
from graph.trace_kind import HOUR_MS as HOUR_MS

MINUTE_MS: Final = 60_000
DAY_MS: Final = 24 * HOUR_MS


def _liked_or_followed(event: TracedEvent) -> Iterable[str]:
    if event.action == "like" and event.target:
        return (object_key(event.target_account, event.target),)
    if event.action == "follow" and event.target_account:
        return (object_key(event.target_account, ""),)
    return ()


def _like_or_follow(key: str) -> tuple[str, str] | None:
    account, known, event = key.partition("\n")
    return ("like" if event else "follow", account) if known else None


BUILT_IN: Final = (
    TraceKind(  # half of a link's clicks and shares come within about three hours; operators spread theirs over days
        "link", "the same link", "the same links", "same link", lambda event: event.urls,
        6 * HOUR_MS, 48 * HOUR_MS, 1.0, PUBLISHED, readable=True, look="link",
    ),
    TraceKind(  # everybody meets on large domains within a day; a link's trace again, only coarser
        "domain", "links to the same site", "links to the same sites", "same domain", lambda event: event.domains,
        1 * HOUR_MS, 1 * HOUR_MS, 0.25, PUBLISHED, chosen=False, coarse=True, readable=True, look="link",
    ),
    TraceKind(  # a tag set lives as long as its topic trends, and is chosen from what trends
        "hashtags", "the same set of hashtags", "the same sets of hashtags", "same hashtags",
        lambda event: (" ".join(sorted(set(event.hashtags))),) if event.hashtags else (),
        6 * HOUR_MS, 48 * HOUR_MS, 0.5, PUBLISHED, readable=True, look="link",
    ),
    TraceKind(  # most reposts of a post come within hours of it; operators work posts off within a day
        "repost", "a repost of the same post", "reposts of the same posts", "repost of the same post",
        target_of("repost"), 6 * HOUR_MS, 24 * HOUR_MS, 1.0, SHARED,
        chosen=False, direct=True, acted_upon=owner("repost"), look="repost",
    ),
    TraceKind(  # a thread is alive for hours
        "reply_target", "a reply to the same post", "replies to the same posts", "reply to the same post",
        target_of("reply"), 6 * HOUR_MS, 24 * HOUR_MS, 1.0, ANSWERED,
        direct=True, acted_upon=owner("reply"), look="talk",
    ),
    TraceKind(  # slower than reposts, since somebody has to write
        "quote", "a quote of the same post", "quotes of the same posts", "quote of the same post",
        target_of("quote"), 12 * HOUR_MS, 24 * HOUR_MS, 1.0, ANSWERED,
        direct=True, acted_upon=owner("quote"), look="talk",
    ),
    TraceKind(  # well-known accounts are mentioned all the time
        "mention", "a mention of the same account", "mentions of the same accounts", "mention of the same account",
        lambda event: [name for name in event.mentions if name != event.account],
        1 * HOUR_MS, 1 * HOUR_MS, 0.25, PUBLISHED,
        coarse=True, acted_upon=lambda key: ("mention", key), look="talk",
    ),
    TraceKind(  # the same words by chance are rare at any lag, and people hardly ever share any
        "near_duplicate", "nearly the same text", "nearly the same texts", "near-identical text",
        lambda event: () if event.cluster is None else (event.cluster,),
        24 * HOUR_MS, 48 * HOUR_MS, 1.5, PUBLISHED, look="text",
    ),
    TraceKind(  # likes come with the timeline in which the post is shown; they are many and cheap
        "interaction", "a like of the same post, or a dealing with each other",
        "likes of the same posts, or dealings with each other", "same likes, or dealings together", _liked_or_followed,
        6 * HOUR_MS, 24 * HOUR_MS, 0.5, LIKED,
        chosen=False, direct=True, acted_upon=_like_or_follow, look="talk",
    ),
    # Derived from the lag between two reposts (CooRTweet's 60 s); such a repost is not counted as `repost` as well, and
    # never bet on by itself, since the short window of `repost` covers it.
    TraceKind(
        "fast_repost", "a quick repost of the same post", "quick reposts of the same posts",
        "quick repost of the same post", None, 60_000, 24 * HOUR_MS, 0.5, SHARED, chosen=False, look="repost",
    ),
)  # fmt: skip
"""The graph network's weights know these kinds by their places, which must not change."""

LINK, DOMAIN, HASHTAGS, REPOST, REPLY_TARGET, QUOTE, MENTION, NEAR_DUPLICATE, INTERACTION, FAST_REPOST = range(
    len(BUILT_IN)
)
"""Their places, by name."""

MODELLED_KINDS: Final = len(BUILT_IN)
"""Kinds that the graph network sees; further ones take part in coordination alone."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def kind_table(further: Iterable[TraceKind]) -> tuple[TraceKind, ...]:
    """The built-in kinds and further ones, these by name.

    Raises:
        ConfigError: a name is taken or is none, or a window is not positive.
    """
    table = [*BUILT_IN]
    taken = {kind.name for kind in BUILT_IN}
    for kind in sorted(further, key=lambda kind: kind.name):
        if not _NAME.fullmatch(kind.name):
            raise ConfigError(f"the kind of trace {kind.name!r}: name it in lower-case letters, digits and underscores")
        if kind.name in taken:
            raise ConfigError(f"two packages add a kind of trace {kind.name!r}: uninstall one, or rename its kind")
        if kind.take is None or not 0 < kind.bet_window_ms <= kind.edge_window_ms or not kind.weight > 0:
            raise ConfigError(
                f"the kind of trace {kind.name!r}: it needs `take`, a positive weight, and windows with "
                "0 < bet_window_ms <= edge_window_ms"
            )
        taken.add(kind.name)
        table.append(kind)
    return tuple(table)


def _installed() -> list[TraceKind]:
    """The kinds that installed packages add."""
    found: list[TraceKind] = []
    for name, entry in installed(TRACES).items():
        kind = load_entry(entry)
        if not isinstance(kind, TraceKind):
            raise ConfigError(f"the entry point {name!r} of {TRACES} is no TraceKind: mend or uninstall its package")
        found.append(kind)
    return found


KIND_TABLE: Final = kind_table(_installed())
"""All kinds; a kind's place in it is its number."""

KINDS: Final = len(KIND_TABLE)

KIND_WORDS: Final = {kind.name: (kind.singular, kind.plural) for kind in KIND_TABLE}
"""Name -> words for one shared object and for several."""

KIND_NAMES: Final = tuple(kind.name for kind in KIND_TABLE)

BET_WINDOW_MS: Final = tuple(kind.bet_window_ms for kind in KIND_TABLE)
"""By kind, for arrays and inner loops; likewise the next two."""

EDGE_WINDOW_MS: Final = tuple(kind.edge_window_ms for kind in KIND_TABLE)

KIND_WEIGHT: Final = tuple(kind.weight for kind in KIND_TABLE)

# Kept as it is: sums of the bets follow the order in which the traces of one event were added.
_TAKE_ORDER: Final = (REPOST, QUOTE, REPLY_TARGET, INTERACTION, LINK, DOMAIN, HASHTAGS, MENTION, NEAR_DUPLICATE)
_TAKERS: Final = tuple(
    (number, kind.take, kind.direct)
    for number, kind in ((n, KIND_TABLE[n]) for n in (*_TAKE_ORDER, *range(MODELLED_KINDS, KINDS)))
    if kind.take is not None
)


def given_kind(name: str) -> int | None:
    """The number of a kind by its name in any case; None for a name that is no kind, or a derived one."""
    number = KIND_NAMES.index(name.lower()) if name.lower() in KIND_NAMES else None
    return None if number is None or KIND_TABLE[number].take is None else number


GIVEN_NAMES: Final = tuple(kind.name for kind in KIND_TABLE if kind.take is not None)
"""Names of the kinds that an event or a record can have; the others are derived."""


class Trace(NamedTuple):
    """One account used one shared object.

    Args:
        at_ms: event time, ms since 1970 UTC.
        account: the account's row, any non-negative integer that names one account until it is forgotten.
        kind: what the object is. Its place in `KIND_TABLE`. A like is an `INTERACTION` trace of the liked event.
        key: the object: a normalised link, a sorted hashtag set, an event id, one key per near-duplicate cluster (not
            one per MinHash band: a text is one observation).
        other: row of the account acted upon where it is known (whose post was reposted, liked, replied to), else -1.
    """

    at_ms: int
    account: int
    kind: int
    key: str
    other: int = -1


def traces_of(event: TracedEvent, at_ms: int, account: int, other: int = -1) -> Iterator[Trace]:
    """The traces of one event, next to each other as coordination wants them.

    Args:
        event: what can be shared of it.
        at_ms: its time.
        account: row of its account.
        other: row of the account that it acts upon, -1 where that has none or is the account itself.
    """
    for number, take, direct in _TAKERS:
        for key in take(event):
            yield Trace(at_ms, account, number, key, other if direct else -1)


SYNCHRONY_MS: Final = 10 * MINUTE_MS
"""The short window of every bet: ten minutes hold scripted rounds and few people's chance meetings. Half of every bet
is placed on it, so popular objects acted on in step still show."""

FAST_REPOST_MS: Final = 60_000
"""Two reposts this near in time are a `FAST_REPOST` (CooRTweet's default for coordinated reposting)."""


class CoordinationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the outcome, and so is part of what a replay must hold equal. Times in ms or s as named.

    Raises:
        ConfigError: a value is out of range.
    """

    target_fdr: float = 0.05
    window_ms: int = 48 * HOUR_MS  # how long traces are kept: members of slow campaigns meet 0-2 times in two days
    learn_ms: int = 6 * HOUR_MS  # communities are learned from so much before groups are proposed
    half_life_ms: int = 96 * HOUR_MS  # decay of a meeting's weight in soft edges: little, the window ends at 48 h
    neighbours: int = 16  # traces of one object that each trace is paired with (the nearest in time): bounds pairs
    pair_budget: int = 4_000_000  # pairs per kind in one proposal: ~0.5 GB of work arrays
    top_edges: int = 20  # soft edges kept per account
    min_size: int = 3
    max_size: int = 1000
    max_groups: int = 1000  # proposed groups per tick, strongest first: bounds memory and the tick's length
    resolution: float = 1.0  # Leiden, modularity
    fresh_share: float = 0.04  # proposals are made once the traces since the last are this share of the window
    fresh_least: int = 20  # and at least so many
    traces_per_tick: int = 100_000  # and at most every ceil(traces in window / this) campaign ticks
    control_set_size: int = 50  # accounts outside that a group is compared with, at least
    popular: int = 50  # an object with more traces than this when a member first meets it is not bet on
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
    kind: int = REPOST
    seconds: bool = False  # numeric times are seconds since 1970 UTC, not milliseconds


class Records(NamedTuple):
    """Traces in event order (time, account name, kind, object); `names[row]` is an account, rows in name order."""

    traces: list[Trace]
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
    traces = [Trace(at, row_of[account], kind, key) for at, account, kind, key in sorted(rows)]
    return Records(traces, names)


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
    named = record.get(columns.kind_column)
    kind = given_kind(str(named)) if named else columns.kind
    if kind is None:
        known = ", ".join(GIVEN_NAMES)
        raise UsageError(f"{where}: field {columns.kind_column!r} is no kind of trace; known are {known}")
    at = _time(record.get(columns.at), columns, where)
    return at, texts[0], kind, texts[1]


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
