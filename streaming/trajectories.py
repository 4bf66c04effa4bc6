"""Every total that was held against the threshold, one JSON array a line: account, texts so far, total, language."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from detector.errors import UsageError


class Trajectories:
    """The file of trajectories that thresholds are calibrated on. Use it as a context.

    Args:
        path: where to write.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("w", encoding="ascii")
        except OSError as error:
            raise UsageError(f"--trajectories {str(path)!a} cannot be written: {error.strerror}") from None

    def write(self, account: str, texts: int, total: float, language: str) -> None:
        """Append one look at an account."""
        self._file.write(json.dumps([account, texts, round(total, 6), language]) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
