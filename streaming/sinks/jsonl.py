"""The sink `jsonl`: every revision of every alert as a line of a file, or of standard output.

`swarmlight run --alerts FILE` writes through it, and `--sink jsonl:FILE` does the same; `--sink jsonl:-` writes to
standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from detector.errors import UsageError
from streaming.config import Config


class JsonLines:
    """A file of JSON lines.

    Args:
        path: what to write; `-` is standard output.
        option: what named it, for messages.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path, option: str) -> None:
        self._standard = str(path) == "-"
        try:
            self._file: IO[bytes] = sys.stdout.buffer if self._standard else path.open("wb")
        except OSError as error:
            raise UsageError(f"{option} {str(path)!a} cannot be written: {error.strerror}") from None

    def write(self, alert_id: str, body: bytes) -> None:
        """Append a line."""
        self._file.write(body + b"\n")

    def close(self) -> None:
        """Close the file; standard output is left open."""
        if self._standard:
            self._file.flush()
        else:
            self._file.close()


def open_sink(target: str, config: Config) -> JsonLines:
    """The file that `target` names.

    Raises:
        UsageError: it names none, or one that cannot be written.
    """
    if not target:
        raise UsageError("--sink jsonl: name a file, as in jsonl:alerts.jsonl, or jsonl:- for standard output")
    return JsonLines(Path(target), "--sink jsonl:")
