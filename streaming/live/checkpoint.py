"""Where a listener goes on after it was ended: one small file, replaced as a whole.

It holds a place in the stream, the marks of what came shortly before it, and what its destination needs to go on
without a gap or a repetition. It is written only when everything up to that place is safe at the destination.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import msgspec

from detector.errors import UsageError
from streaming.live.base import PRESENT, StreamPosition

VERSION: Final = 1

LARGEST_BYTES: Final = 256 << 20
"""A file of marks of a minute at a hundred thousand events a second; a larger one is another file named by mistake."""


class Checkpoint(msgspec.Struct):
    """What is kept.

    Args:
        v: version of the file.
        source: what was followed (`LiveSource.identity`).
        place: where to go on.
        newest: highest position so far.
        recent: positions and marks of what came lately.
        destination: sizes of files by name, and other numbers of the destination.
    """

    v: int = VERSION
    source: str = ""
    place: StreamPosition = PRESENT
    newest: int = -1
    recent: list[tuple[int, bytes]] = []
    destination: dict[str, int] = {}


class CheckpointFile:
    """The file. Use it as a context: nobody else has it meanwhile.

    Args:
        path: of the file; `PATH.lock` lies beside it.

    Raises:
        UsageError: another listener has it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._lock = self.path.with_name(f"{self.path.name}.lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"--cursor {str(self.path)!a} is in use: another listener goes on from it; name another file"
            ) from None
        except OSError as error:
            raise UsageError(
                f"--cursor {str(self.path)!a} cannot be written: {error.strerror}; name another file"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    def load(self, source: str) -> Checkpoint:
        """What it holds; an empty one where there is no file.

        Args:
            source: what is to be followed.

        Raises:
            UsageError: it cannot be read, or is of another stream.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(LARGEST_BYTES)
        except FileNotFoundError:
            return Checkpoint(source=source)
        except OSError as error:
            raise UsageError(
                f"--cursor {str(self.path)!a} cannot be read: {error.strerror}; restore it, or name another file"
            ) from None
        try:
            kept = msgspec.json.decode(data, type=Checkpoint)
        except (msgspec.MsgspecError, ValueError):
            kept = Checkpoint(v=0)
        if kept.v != VERSION:
            raise UsageError(
                f"--cursor {str(self.path)!a} is no place that this release can go on from; name another file"
            )
        if kept.source != source:
            raise UsageError(
                f"--cursor {str(self.path)!a} is a place in another stream, or was asked for with other options; "
                "name another file"
            )
        return kept

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the file.

        Raises:
            UsageError: it cannot be written.
        """
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(checkpoint))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise UsageError(
                f"--cursor {str(self.path)!a} cannot be written: {error.strerror}; name another file"
            ) from None
