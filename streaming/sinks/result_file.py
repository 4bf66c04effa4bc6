"""A file of results that takes the place of an earlier one only when it is complete.

What is written goes to `NAME.partial` in the same folder. `publish` renames it to `NAME`; `abandon` leaves it where it
is, and what stood at `NAME` before is untouched. `-` is standard output, and what is no regular file (a pipe, a
device) is written directly.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import IO, Final

from detector.errors import UsageError

STDOUT: Final = "-"

PARTIAL: Final = ".partial"
"""What stands behind the name of a file that is not complete."""


def partial_path(path: Path) -> Path:
    """Where a file lies until it is complete; of a symbolic link, beside the file that it leads to."""
    place = path.resolve()
    return place.with_name(place.name + PARTIAL)


class ResultFile:
    """One file of results, open for writing.

    Args:
        path: what to write.
        option: what named it, for messages.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: Path, option: str) -> None:
        self.path = path
        self._option = option
        self._partial: Path | None = None
        try:
            if str(path) == STDOUT:
                self._file: IO[bytes] = sys.stdout.buffer
            elif path.exists() and not path.is_file():
                self._file = path.open("wb")
            else:
                self._partial = partial_path(path)
                if path.exists() and not os.access(path, os.W_OK):
                    raise PermissionError(13, "Permission denied")
                self._file = self._partial.open("wb")
        except OSError as error:
            raise self._refused(error) from None

    def write(self, body: bytes) -> None:
        """Append bytes.

        Raises:
            UsageError: they cannot be written; the message names the file.
        """
        try:
            self._file.write(body)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Write everything out; nothing is renamed.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            if str(self.path) == STDOUT:
                self._file.flush()
            else:
                self._file.close()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refused(error) from None

    def publish(self) -> None:
        """Close the file and let it take the place of an earlier one, with that one's permissions.

        Raises:
            UsageError: it cannot be written.
        """
        self.close()
        if self._partial is None:
            return
        place = self.path.resolve()
        try:
            if place.exists():
                shutil.copymode(place, self._partial)
            self._partial.replace(place)
        except OSError as error:
            raise self._refused(error) from None
        self._partial = None

    def abandon(self) -> Path | None:
        """Close the file as it is; never raises for what cannot be written.

        Returns:
            Where the partial results lie; None where there are none, or not in a file of their own.
        """
        try:
            self.close()
        except (OSError, UsageError):
            # Closing again lets go of the file without another try to write what it holds.
            with contextlib.suppress(OSError):
                self._file.close()
        if self._partial is None:
            return None
        if self._partial.exists() and not self._partial.stat().st_size:
            self._partial.unlink()
            return None
        return self._partial

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"{self._option} {str(self.path)!a} cannot be written: {error.strerror or 'it is closed'}")
