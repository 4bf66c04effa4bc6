"""Rows of tables: CSV and TSV with any usual separator, and Parquet, one row after the other.

`TableFormat` is an input format made of which columns a table has and how a row becomes a post event. A row that cannot
be read is a dead record, with its line; a quote that is never closed ends the reading with an error, since everything
behind it is lost in one cell.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from io import BufferedIOBase, BufferedReader, TextIOWrapper
from typing import Any, Final, NamedTuple, cast

import msgspec

from detector.errors import EventError, UsageError
from streaming.sources.base import FieldProblem, FileRecord
from streaming.sources.documents import Json, Skipped, encoded
from streaming.sources.events import RECORD_BYTES

SEPARATORS: Final = ",;\t|"

PARQUET: Final = b"PAR1"
"""How a Parquet file begins."""

_BATCH: Final = 4096
"""Rows of a Parquet file that are read at once."""

_ROUNDED: Final = re.compile(r"[+-]?\d(?:\.\d+[eE]\+?|[eE]\+)\d{1,3}")

_WHOLE: Final = re.compile(r"(\d+)\.0+")
"""A whole number as programs write it whose column was of floats, since one of its cells was empty."""

_EXACT: Final = 2**53
"""Beyond it not every whole number is a float: ids that were floats are not what they were."""

_ABSENT: Final = {"", "nan", "NaN", "NA", "N/A", "null", "NULL", "None", "<NA>"}
"""What programs write where there is nothing."""

_QUOTED: Final = re.compile(r"""'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)\"""", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class TableRow(NamedTuple):
    """One row of a table.

    Args:
        position: its last line, from 1; of Parquet its number.
        cells: column -> value; a string in CSV.
        problem: why it cannot be read, where it cannot.
    """

    position: int
    cells: Mapping[str, Any]
    problem: FieldProblem | None = None


@dataclass(frozen=True)
class TableFormat:
    """An input format of rows.

    Args:
        looks: whether a table with these columns is one of this format.
        of_row: makes a post event of a row. Raises EventError where it cannot.
        joins: whether rows name an answered post without its account (`streaming.sources.parents`).
    """

    looks: Callable[[Sequence[str]], bool]
    of_row: Callable[[Mapping[str, Any]], Json | Skipped]
    joins: bool = False

    def recognises(self, head: bytes) -> bool:
        """Whether a file begins with a heading of this format."""
        return self.looks(heading(head))

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        """The rows of a file as post events.

        Raises:
            ValueError: the table has other columns, or a quote is never closed.
        """
        for row in rows_of(file, self.looks):
            yield converted(row, self.of_row)


def converted(row: TableRow, convert: Callable[[Mapping[str, Any]], Json | Skipped]) -> FileRecord:
    """A row as a record: a post event, skipped, or with what is wrong with it."""
    if row.problem is not None:
        return FileRecord(row.position, _raw(row), problem=row.problem)
    try:
        event = convert(row.cells)
        if isinstance(event, Skipped):
            return FileRecord(row.position, _raw(row), skipped=event.what)
        return FileRecord(row.position, encoded(event))
    except EventError as error:
        return FileRecord(row.position, _raw(row), problem=FieldProblem(error.field, error.reason))


def _raw(row: TableRow) -> bytes:
    return json.dumps(row.cells, ensure_ascii=True, default=str).encode()


def heading(head: bytes) -> list[str]:
    """The columns of a table that begins with `head`; none where it begins with no heading."""
    first, *rest = head.splitlines(keepends=True) or [b""]
    if head.startswith(PARQUET) or not (rest or first.endswith((b"\r", b"\n"))):
        return []
    first = first.rstrip(b"\r\n")
    try:
        line = first.decode()
    except UnicodeDecodeError:
        return []
    if "{" in line or "\0" in line or line.startswith("["):
        return []
    try:
        columns = next(csv.reader([line], delimiter=separator_of(line)), [])
    except csv.Error:
        return []
    return [column.strip() for column in columns] if len(columns) > 1 else []


def separator_of(line: str) -> str:
    """The separator of a table with this heading."""
    return max(SEPARATORS, key=line.count)


def rows_of(file: BufferedIOBase, looks: Callable[[Sequence[str]], bool]) -> Iterator[TableRow]:
    """The rows of a table, CSV or Parquet.

    Args:
        file: at its beginning.
        looks: whether these are the columns of the table that is meant.

    Raises:
        ValueError: they are not, there is no heading, or a quote is never closed.
        UsageError: nothing that reads Parquet is installed.
    """
    begins = file.peek(len(PARQUET)) if hasattr(file, "peek") else b""
    return _parquet(file, looks) if begins.startswith(PARQUET) else _csv(file, looks)


def _csv(file: BufferedIOBase, looks: Callable[[Sequence[str]], bool]) -> Iterator[TableRow]:
    lines = TextIOWrapper(cast(BufferedReader, file), encoding="utf-8", errors="surrogateescape", newline="")
    first = lines.readline(RECORD_BYTES)
    separator = separator_of(first)
    csv.field_size_limit(RECORD_BYTES)
    reader = csv.reader(_lines(first, lines), delimiter=separator, strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
    except csv.Error:
        raise ValueError("its first line is no heading of a table") from None
    if not looks(columns):
        raise ValueError(f"the table has the columns {', '.join(columns[:40]) or 'of no heading'}")
    if len(set(columns)) < len(columns):
        raise ValueError("two columns have the same name")
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise ValueError("a quote opens and is never closed") from None
            yield TableRow(reader.line_num, {}, FieldProblem("", f"is no row of a table: {_reason(str(error))}"))
            continue
        if cells is None:
            return
        if len(cells) != len(columns):
            if cells:
                whole = {"": cells}
                yield TableRow(
                    reader.line_num, whole, FieldProblem("", f"has not the {len(columns)} cells of the heading")
                )
            continue
        yield TableRow(reader.line_num, dict(zip(columns, cells, strict=True)))


def _lines(first: str, lines: TextIOWrapper[BufferedReader]) -> Iterator[str]:
    yield first
    while line := lines.readline(RECORD_BYTES):
        yield line


def _reason(said: str) -> str:
    return "a cell is too long" if "limit" in said else "a quote stands inside a cell"


def _parquet(file: BufferedIOBase, looks: Callable[[Sequence[str]], bool]) -> Iterator[TableRow]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError("reading Parquet needs pyarrow: install swarmlight[tables]") from None
    if not file.seekable():
        raise ValueError("a Parquet file has to be given by its name, and uncompressed")
    try:
        table: Any = parquet.ParquetFile(file)
        columns = list(table.schema_arrow.names)
        if not looks(columns):
            raise ValueError(f"the table has the columns {', '.join(columns[:40])}")
        number = 0
        for batch in table.iter_batches(_BATCH):
            for cells in batch.to_pylist():
                number += 1
                yield TableRow(number, cells)
    except (ArrowException, OverflowError) as error:
        raise ValueError(f"it cannot be read as Parquet: {error}") from None


def cell(value: Any) -> str:
    """A cell as text; "" where it is empty, or says that there is nothing."""
    if isinstance(value, str):
        return "" if value.strip() in _ABSENT else value.strip()
    if isinstance(value, float):
        return str(int(value)) if math.isfinite(value) and value == int(value) else ""
    if isinstance(value, bool) or value is None:
        return ""
    return str(value) if isinstance(value, int) else ""


def identity(value: Any, column: str) -> str:
    """A cell as the id of an account or a post; `12.0` is 12.

    Raises:
        EventError: it is empty, or a number that some program rounded.
    """
    found = reference(value, column)
    if not found:
        raise EventError(column, "is empty")
    return found


def reference(value: Any, column: str) -> str:
    """A cell that may name another account or post, as `identity`; "" where it is empty.

    Raises:
        EventError: it is a number that some program rounded.
    """
    found = cell(value)
    whole = _WHOLE.fullmatch(found)
    size = abs(value) if isinstance(value, float) else float(whole[1]) if whole else 0.0
    if _ROUNDED.fullmatch(found) or size >= _EXACT:
        raise EventError(column, "is a number that was rounded, as spreadsheets do, so that different ids would merge")
    return whole[1] if whole else found


def listed(value: Any) -> list[str]:
    """A cell of several values: a list as JSON or as Python writes it, or values apart by white space or commas."""
    if isinstance(value, list):
        return [each for each in map(cell, value) if each]
    said = cell(value)
    if not said.startswith(("[", "(", "{")):
        return [each for each in re.split(r"[\s,;|]+", said) if each] if said else []
    try:
        found = msgspec.json.decode(said.encode("utf-8", "surrogatepass"))
        if isinstance(found, list):
            return [each for each in map(cell, found) if each]
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass
    quoted = [_ESCAPED.sub(r"\1", single or double) for single, double in _QUOTED.findall(said)]
    inside = quoted if quoted else said[1:].rstrip("])}").split(",")
    return [each.strip() for each in inside if each.strip()]


def moment(value: Any) -> Any:
    """A cell that is to be a time: dates of Parquet as text with a zone, everything else as it is."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value.strip() if isinstance(value, str) else value
