"""Records of what accounts did, from files: account, object, time, kind."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from detector.errors import UsageError
from graph.touches import DAY_MS, TOUCH_KINDS, Touch, TraceKind

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

    touches: list[Touch]
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
    touches = [Touch(at, row_of[account], kind, key) for at, account, kind, key in sorted(rows)]
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
    if str(kind).upper() not in TraceKind.__members__ or TraceKind[str(kind).upper()] >= TOUCH_KINDS:
        known = ", ".join(k.label for k in TraceKind if k < TOUCH_KINDS)
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
            try:
                moment = datetime.fromisoformat(text)
            except ValueError as error:
                raise problem from error
            if moment.tzinfo is None:
                raise problem from None
            return round(moment.timestamp() * 1000)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return round(value.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise problem
    at = value * 1000 if columns.seconds else value
    if not 0 <= at <= YEAR_2500_MS:
        raise problem
    return round(at)
