"""Real and simulated streams in one form: who did what, when, with which object.

A real stream is a file of post events as in the contract, or a table (`.parquet`, `.csv`) of who shared which object
and when, as co-sharing tools have it. Only what both have is compared: a simulated society is cut to the kinds of acts,
the length and the number of accounts of the real stream.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from detector.errors import EventError, UsageError
from simulation import chunk as kinds
from simulation.arrays import Bytes, Flags, Ints
from simulation.chunk import Chunk
from simulation.inputs import lines_of, table_of
from streaming.events import AT_MAX, parse, parse_time

ACCOUNT_COLUMNS: Final = ("account_id", "author_id", "account", "user_id")
OBJECT_COLUMNS: Final = ("object_id", "shared_object_id", "object", "url")
TIME_COLUMNS: Final = ("timestamp_share", "created_at_unix", "at", "created_at", "timestamp")
"""Names that co-sharing tools give to their three columns, in the order they are looked for."""

KINDS: Final = ("post", "reply", "repost", "quote", "like", "follow")


@dataclass
class Acts:
    """Columns of shape (acts,), in order of time; -1 is none. `account`, `target` and `link` are numbers of names."""

    account: Ints
    at: Ints  # ms
    kind: Bytes
    target: Ints
    target_account: Ints
    link: Ints

    def __len__(self) -> int:
        return len(self.account)

    def where(self, mask: Flags) -> Acts:
        """The acts of `mask`."""
        return Acts(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    @property
    def days(self) -> float:
        """From the first act to the last."""
        return float(self.at[-1] - self.at[0]) / 86_400_000 if len(self) else 0.0

    def kinds(self) -> list[int]:
        """The kinds that occur."""
        return sorted(set(self.kind.tolist()))


def read(path: Path) -> Acts:
    """The acts in a real stream.

    Raises:
        UsageError: it cannot be read or holds no acts.
    """
    if path.suffix in (".parquet", ".csv"):
        rows: Iterable[Mapping[str, Any]] = table_of(path) if path.suffix == ".parquet" else _csv(path)
        found = _from_table(rows, path)
    else:
        found = _from_events(path)
    if len(found) < 2:
        raise UsageError(f"{path}: no acts in it that could be compared")
    order = np.argsort(found.at, kind="stable")
    return Acts(**{field.name: getattr(found, field.name)[order] for field in fields(found)})


def _from_events(path: Path) -> Acts:
    names: dict[str, int] = {}
    events: dict[str, int] = {}
    links: dict[str, int] = {}
    rows = []
    for line in lines_of(path):
        try:
            event = parse(line, now_ms=AT_MAX)
        except EventError:
            continue
        if int(event.kind) >= len(KINDS):
            continue
        rows.append((
            names.setdefault(event.account, len(names)), event.at, int(event.kind),
            events.setdefault(event.target, len(events)) if event.target else -1,
            names.setdefault(event.target_account, len(names)) if event.target_account else -1,
            links.setdefault(event.urls[0], len(links)) if event.urls else -1,
        ))  # fmt: skip
    return _columns(rows)


def _from_table(rows: Iterable[Mapping[str, Any]], path: Path) -> Acts:
    names: dict[str, int] = {}
    objects: dict[str, int] = {}
    found = []
    columns: list[str] = []
    for row in rows:
        if not columns:
            columns = [_column(row, choices, path) for choices in (ACCOUNT_COLUMNS, OBJECT_COLUMNS, TIME_COLUMNS)]
        account, thing, when = (row[name] for name in columns)
        at = _time(when)
        if account is None or thing is None or at is None:
            continue
        number = objects.setdefault(str(thing), len(objects))
        found.append((names.setdefault(str(account), len(names)), at, kinds.REPOST, number, -1, number))
    return _columns(found)


def _columns(rows: list[tuple[int, int, int, int, int, int]]) -> Acts:
    table = np.array(rows, np.int64).reshape(-1, 6).T
    return Acts(table[0], table[1], table[2].astype(np.int8), table[3], table[4], table[5])


def _column(row: Mapping[str, Any], choices: tuple[str, ...], path: Path) -> str:
    for name in choices:
        if name in row:
            return name
    raise UsageError(f"{path}: none of the columns {', '.join(choices)} is in it; rename yours to the first of them")


def _time(value: Any) -> int | None:
    """Milliseconds since 1970 of a date, a text or a number of seconds."""
    if isinstance(value, datetime):
        return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)
    if isinstance(value, str):
        try:
            return round(float(value) * 1000)
        except ValueError:
            return parse_time(value)
    return round(float(value) * 1000) if isinstance(value, int | float) else None


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as csv: {error}") from None


def of_chunk(chunk: Chunk) -> Acts:
    """Simulated acts."""
    return Acts(chunk.account, chunk.at, chunk.kind, chunk.target, chunk.target_account, chunk.link)


def like(simulated: Acts, real: Acts, rng: np.random.Generator) -> Acts:
    """The simulated acts as a sample of the same make as the real ones.

    The same kinds (a stream of texts alone has no likes; texts of every kind then count as posts), as many accounts,
    drawn at random among those that act and no less active than the real stream's least active, over the same time.
    """
    wanted = real.kinds()
    if wanted == [kinds.POST]:
        simulated = simulated.where(kinds.written(simulated.kind))
        simulated.kind[:] = kinds.POST
    else:
        simulated = simulated.where(np.isin(simulated.kind, wanted))
    if len(simulated) and real.days < simulated.days:
        simulated = simulated.where(simulated.at < simulated.at[0] + round(real.days * 86_400_000))
    counts = np.bincount(simulated.account)
    least = int(np.bincount(real.account)[np.unique(real.account)].min())
    acting = np.flatnonzero(counts >= max(least, 1))
    chosen = rng.permutation(acting)[: len(np.unique(real.account))]
    return simulated.where(np.isin(simulated.account, chosen))
