"""The sink `parquet`: every revision of every alert as a row, for analysts' tools.

`--sink parquet:FILE.parquet` writes one file at the end of a run; `parquet:FOLDER/` one file every few minutes, for a
deployment that lives. DuckDB writes them. Rows wait in a temporary file, so memory has a bound. `alert` has the whole
record as JSON; a table of latest revisions is one query:

    SELECT * FROM 'alerts/*.parquet' QUALIFY row_number() OVER (PARTITION BY id ORDER BY revision DESC) = 1
"""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import IO, Any, Final

import duckdb
import msgspec

from detector.errors import UsageError
from streaming.config import Config
from streaming.schema.alert import read_alert
from streaming.sinks.result_file import partial_path

COLUMNS: Final = {
    "id": "VARCHAR",
    "revision": "INTEGER",
    "kind": "VARCHAR",
    "status": "VARCHAR",
    "merged_into": "VARCHAR",
    "at": "TIMESTAMP",
    "first_post_at": "TIMESTAMP",
    "last_post_at": "TIMESTAMP",
    "accounts": "VARCHAR[]",
    "posterior": "DOUBLE",
    "statistic": "DOUBLE",
    "threshold": "DOUBLE",
    "threshold_kind": "VARCHAR",
    "text": "DOUBLE",
    "behaviour": "DOUBLE",
    "coordination": "DOUBLE",
    "graph": "DOUBLE",
    "total": "DOUBLE",
    "why": "VARCHAR[]",
    "limits": "VARCHAR[]",
    "alert": "VARCHAR",
}
"""Times are UTC, evidence is in nats, `posterior` is the highest of the members."""

OBJECT_BYTES: Final = 16 << 20
"""Longest row that DuckDB reads: an alert is at most 900 kB, and twice in its row."""

FLUSH_S: Final = 300.0
"""Seconds between two files of a folder: a few hundred a day are what tools like."""


def row_of(body: bytes) -> dict[str, Any]:
    """The row of one revision.

    Raises:
        RecordError: it is no alert.
    """
    alert = read_alert(body)
    evidence = msgspec.to_builtins(alert.evidence)
    return {
        "id": alert.id,
        "revision": alert.revision,
        "kind": alert.kind,
        "status": alert.status,
        "merged_into": alert.merged_into,
        "at": alert.at,
        "first_post_at": alert.first_post_at,
        "last_post_at": alert.last_post_at,
        "accounts": [member.account for member in alert.members],
        "posterior": max((member.posterior for member in alert.members), default=None),
        "statistic": alert.statistic,
        "threshold": alert.threshold,
        "threshold_kind": alert.threshold_kind,
        **{name: evidence.get(name) for name in ("text", "behaviour", "coordination", "graph", "total")},
        "why": alert.why,
        "limits": alert.limits,
        "alert": body.decode("utf-8"),
    }


class _Rows:
    """Rows that wait on disk to become a file."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.NamedTemporaryFile(prefix="swarmlight-", suffix=".jsonl")  # noqa: SIM115
        self.count = 0

    def add(self, body: bytes) -> None:
        """Add the row of a revision.

        Raises:
            UsageError: the disk is full.
        """
        try:
            self._file.write(msgspec.json.encode(row_of(body)) + b"\n")
        except OSError as error:
            raise UsageError(f"rows wait in {tempfile.gettempdir()!a}: {error.strerror}; make room there") from None
        self.count += 1

    def write(self, path: Path) -> None:
        """Write all of them as a Parquet file; they stay.

        Raises:
            UsageError: it cannot be written.
        """
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS.items())
        try:
            self._file.flush()
            with duckdb.connect() as database:
                database.execute(
                    f"COPY (SELECT * FROM read_json({_quoted(self._file.name)}, format = 'newline_delimited', "  # noqa: S608
                    f"columns = {{{columns}}}, maximum_object_size = {OBJECT_BYTES})) "
                    f"TO {_quoted(str(path))} (FORMAT parquet, COMPRESSION zstd)"
                )
        except (duckdb.Error, OSError) as error:
            raise UsageError(f"--sink parquet: {str(path)!a} cannot be written: {type(error).__name__}") from None

    def close(self) -> None:
        """Let the temporary file go."""
        self._file.close()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


class ParquetFile:
    """One file, complete once it is closed.

    Args:
        path: of the file.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            partial_path(path).open("wb").close()
        except OSError as error:
            raise UsageError(f"--sink parquet: {str(path)!a} cannot be written: {error.strerror}") from None
        self._rows = _Rows()
        self._abandoned = False

    def write(self, alert_id: str, body: bytes) -> None:
        """Add a row."""
        self._rows.add(body)

    def close(self) -> None:
        """Write the file, which takes the place of an earlier one."""
        try:
            if not self._abandoned:
                partial = partial_path(self._path)
                self._rows.write(partial)
                partial.replace(self._path.resolve())
        finally:
            self._rows.close()

    def abandon(self) -> Path | None:
        """Write what there is under the name that a file has until it is complete: the run has failed."""
        self._abandoned = True
        partial = partial_path(self._path)
        try:
            if self._rows.count:
                self._rows.write(partial)
                return partial
            partial.unlink(missing_ok=True)
        except (UsageError, OSError):
            return None
        return None


class ParquetFolder:
    """A file for what came between two flushes.

    Args:
        folder: made where it is missing.

    Raises:
        UsageError: it cannot be made.
    """

    flush_s = FLUSH_S

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--sink parquet: {str(folder)!a} cannot be made: {error.strerror}") from None
        self._rows = _Rows()

    def write(self, alert_id: str, body: bytes) -> None:
        """Add a row."""
        self._rows.add(body)

    def flush(self) -> None:
        """Write what waits as a file of its own; none where nothing does."""
        if not self._rows.count:
            return
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        path = self._folder / f"alerts-{stamp}-{uuid.uuid4().hex[:8]}.parquet"
        self._rows.write(partial_path(path))
        partial_path(path).replace(path)
        self._rows.close()
        self._rows = _Rows()

    def close(self) -> None:
        """Write the last file."""
        try:
            self.flush()
        finally:
            self._rows.close()


def open_sink(target: str, config: Config) -> ParquetFile | ParquetFolder:
    """The file, or with a slash at its end the folder, that `target` names.

    Raises:
        UsageError: it names none, or one that cannot be written.
    """
    if not target:
        raise UsageError(
            "--sink parquet: name a file, as in parquet:alerts.parquet, or a folder, as in parquet:alerts/"
        )
    return ParquetFolder(Path(target)) if target.endswith("/") else ParquetFile(Path(target))
