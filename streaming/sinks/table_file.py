"""A file of results as CSV or Parquet, by its ending; complete, like every file of results, once it is published.

CSV is UTF-8 with a heading; a cell that a spreadsheet would run as a formula gets an apostrophe in front. Rows of
Parquet wait in a temporary file until the end, so that neither takes memory.
"""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import IO, Final

import msgspec

from detector.errors import UsageError
from graph.exports import safe_cell
from streaming.schema.flat_rows import CellType, FlatTable, as_text
from streaming.sinks.result_file import ResultFile

TABLES: Final = (".csv", ".parquet")
"""Endings of files of tables."""

_SQL: Final[dict[CellType, str]] = {"text": "VARCHAR", "whole": "BIGINT", "number": "DOUBLE", "yes": "BOOLEAN"}

_ROW_BYTES: Final = 1 << 28
"""Longest row that is turned into Parquet: an alert of a hundred thousand members."""

_CHUNK: Final = 1 << 20


def is_table(path: Path | None) -> bool:
    """Whether a file of results is to be a table."""
    return path is not None and path.suffix.lower() in TABLES


def result_file(path: Path, option: str, table: FlatTable) -> ResultFile | TableFile:
    """A file of records: a table where its name ends like one, else JSON lines.

    Args:
        path: what to write.
        option: what named it, for messages.
        table: how its records become rows.

    Raises:
        UsageError: it cannot be written.
    """
    return TableFile(path, option, table) if is_table(path) else ResultFile(path, option)


class TableFile:
    """A table that is written record by record.

    Args:
        path: what to write, `.csv` or `.parquet`.
        option: what named it, for messages.
        table: its columns, and how a record becomes a row.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: Path, option: str, table: FlatTable) -> None:
        self._file = ResultFile(path, option)
        self._table = table
        self._option = option
        self._rows: IO[bytes] | None = None
        if path.suffix.lower() == ".parquet":
            self._rows = _temporary(option)
        else:
            self._file.write(_line(list(table.columns)))

    @property
    def path(self) -> Path:
        """What it is to be, when it is complete."""
        return self._file.path

    def write(self, body: bytes) -> None:
        """Append the row of a record, a JSON object with or without line end.

        Raises:
            UsageError: it cannot be written; the message names the file.
            RecordError: it is no record of this table.
        """
        row = self._table.row_of(body)
        if self._rows is None:
            self._file.write(_line([safe_cell(as_text(row[name])) for name in self._table.columns]))
            return
        try:
            self._rows.write(msgspec.json.encode(row) + b"\n")
        except OSError as error:
            raise _no_room(self._option, error) from None

    def close(self) -> None:
        """Write everything out; nothing is renamed.

        Raises:
            UsageError: it cannot be written.
        """
        if self._rows is not None:
            rows, self._rows = self._rows, None
            with rows:
                self._write_parquet(rows)
        self._file.close()

    def publish(self) -> None:
        """Close the table and let it take the place of an earlier one.

        Raises:
            UsageError: it cannot be written.
        """
        self.close()
        self._file.publish()

    def abandon(self) -> Path | None:
        """Close the table as it is, with the rows that there are; never raises for what cannot be written.

        Returns:
            Where it lies; None where there is none.
        """
        try:
            self.close()
        except (OSError, UsageError):
            return self._file.abandon()
        return self._file.abandon()

    def _write_parquet(self, rows: IO[bytes]) -> None:
        import duckdb

        columns = ", ".join(f"'{name}': '{_SQL[kind]}'" for name, kind in self._table.columns.items())
        try:
            rows.flush()
            with (
                tempfile.TemporaryDirectory(prefix="swarmlight-") as folder,
                duckdb.connect(config={"autoinstall_known_extensions": False, "temp_directory": folder}) as database,
            ):
                made = Path(folder) / "table.parquet"
                database.execute(
                    f"COPY (SELECT * FROM read_json(?, format='newline_delimited', columns={{{columns}}}, "  # noqa: S608
                    f"maximum_object_size={_ROW_BYTES})) TO ? (FORMAT parquet)",
                    [rows.name, str(made)],
                )
                with made.open("rb") as done:
                    while piece := done.read(_CHUNK):
                        self._file.write(piece)
        except OSError as error:
            raise _no_room(self._option, error) from None
        except duckdb.Error as error:
            raise UsageError(
                f"{self._option} {str(self.path)!a} cannot be written as Parquet: {str(error).splitlines()[0]}"
            ) from None


def _temporary(option: str) -> IO[bytes]:
    try:
        return tempfile.NamedTemporaryFile(prefix="swarmlight-", suffix=".jsonl")
    except OSError as error:
        raise _no_room(option, error) from None


def _no_room(option: str, error: OSError) -> UsageError:
    return UsageError(
        f"{option}: rows are kept in {tempfile.gettempdir()!a} until the end: {error.strerror or 'it cannot be used'}; "
        "make room, or name another folder in the environment variable TMPDIR"
    )


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # RFC 4180
    return text.getvalue().encode("utf-8", "replace")
