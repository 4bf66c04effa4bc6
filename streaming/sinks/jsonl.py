"""The sink `jsonl`: every revision of every alert as a line of a file, or of standard output.

`swarmlight run --alerts FILE` writes through it, and `--sink jsonl:FILE` does the same; `--sink jsonl:-` writes to
standard output.
"""

from __future__ import annotations

from pathlib import Path

from detector.errors import UsageError
from streaming.config import Config
from streaming.schema.flat_rows import FlatTable
from streaming.sinks.result_file import ResultFile
from streaming.sinks.table_file import result_file


class JsonLines:
    """A file of JSON lines, complete once it is closed.

    Args:
        path: what to write; `-` is standard output.
        option: what named it, for messages.
        table: with it, a file whose name ends in `.csv` or `.parquet` becomes a table (`streaming.sinks.table_file`).

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path, option: str, table: FlatTable | None = None) -> None:
        self._file = ResultFile(path, option) if table is None else result_file(path, option, table)
        self._abandoned = False

    @property
    def path(self) -> Path:
        """What it is to be, when it is complete."""
        return self._file.path

    def write(self, alert_id: str, body: bytes) -> None:
        """Append a line."""
        self._file.write(body + b"\n")

    def close(self) -> None:
        """Close the file, which takes the place of an earlier one; standard output is left open."""
        if not self._abandoned:
            self._file.publish()

    def abandon(self) -> Path | None:
        """Close the file under the name that it has until it is complete: the run has failed."""
        self._abandoned = True
        return self._file.abandon()


def open_sink(target: str, config: Config) -> JsonLines:
    """The file that `target` names.

    Raises:
        UsageError: it names none, or one that cannot be written.
    """
    if not target:
        raise UsageError("--sink jsonl: name a file, as in jsonl:alerts.jsonl, or jsonl:- for standard output")
    return JsonLines(Path(target), "--sink jsonl:")
