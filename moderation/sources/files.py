"""Files of one JSON object a line that another program may still be writing: read to the end, then looked at again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from detector.errors import FeedError, UsageError
from moderation.records import read_alert, read_page
from moderation.sources import Batch

CHUNK_BYTES: Final = 1 << 20
"""Read at once: some hundred alerts, a transaction of a fraction of a second."""

LONGEST_LINE: Final = 4 << 20
"""No record of the contract is over 900 kB; a longer line is skipped."""

WAIT_S: Final = 0.3
"""Between two looks at a file that has not grown."""


class Follower:
    """One file, from a byte position on. Lines come whole: one that is still being written waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._inode = -1
        self.position = 0

    @property
    def place(self) -> str:
        """Position and file, so that another file of the same name is read from its beginning."""
        return f"{self._inode}:{self.position}"

    def start(self, place: str | None) -> None:
        inode, _, position = (place or "").partition(":")
        self._open()
        if self._file is not None and inode == str(self._inode) and position.isdecimal():
            self.position = int(position)

    def lines(self) -> list[bytes]:
        """Whole lines that were not read yet; empty where there are none now."""
        if self._file is None or self._replaced():
            self._open()
        if self._file is None:
            return []
        self._file.seek(self.position)
        data = self._file.read(CHUNK_BYTES)
        end = data.rfind(b"\n") + 1
        while not end and len(data) == CHUNK_BYTES and len(data) < LONGEST_LINE:
            more = self._file.read(LONGEST_LINE - len(data))
            data += more
            end = data.rfind(b"\n") + 1
            if not more:
                break
        if not end and len(data) >= LONGEST_LINE:
            # Nobody's record: go past it, and past its rest until a line ends.
            self.position += len(data)
            return [b"too long"]
        self.position += end
        return data[:end].split(b"\n")[:-1]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _replaced(self) -> bool:
        """Whether the name now stands for another file, or this one was cut."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return now.st_ino != self._inode or now.st_size < self.position

    def _open(self) -> None:
        self.close()
        try:
            self._file = self.path.open("rb")
            self._inode = self.path.stat().st_ino
        except OSError:
            return
        self.position = 0


class FileSource:
    """Alerts from one file, their details from another.

    Raises:
        UsageError: the file of alerts is there and cannot be read. One that is not there yet is waited for.
    """

    def __init__(self, alerts: Path, details: Path | None, sleep: Callable[[float], None] = time.sleep) -> None:
        for path in (alerts, details):
            if path is not None and path.exists() and not path.is_file():
                raise UsageError(f"{str(path)!a} is no file")
            try:
                if path is not None and path.exists():
                    path.open("rb").close()
            except OSError as error:
                raise UsageError(f"{str(path)!a} cannot be read: {error.strerror}") from None
        self._alerts = Follower(alerts)
        self._details = Follower(details) if details is not None else None
        self._sleep = sleep

    def start(self, places: Mapping[str, str]) -> None:
        for follower in self._followers():
            follower.start(places.get(_key(follower)))

    def read(self) -> Batch:
        batch = Batch()
        if self._details is not None:
            for line in self._details.lines():
                try:
                    batch.pages.append(read_page(line))
                except FeedError:
                    batch.unreadable += bool(line.strip())
        for line in self._alerts.lines():
            try:
                batch.alerts.append(read_alert(line))
            except FeedError:
                batch.unreadable += bool(line.strip())
        if batch.pages or batch.alerts or batch.unreadable:
            batch.places = {_key(each): each.place for each in self._followers()}
        else:
            self._sleep(WAIT_S)
        return batch

    def close(self) -> None:
        for follower in self._followers():
            follower.close()

    def _followers(self) -> list[Follower]:
        return [self._alerts] if self._details is None else [self._alerts, self._details]


def _key(follower: Follower) -> str:
    return f"file:{str(follower.path.resolve())[-240:]}"
