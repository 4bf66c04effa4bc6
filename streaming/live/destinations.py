"""Where listened events go: a file of post events, or the topic `posts`.

A destination takes events and dead letters, and makes them safe when it is asked to (`commit`). Only then is the place
in the stream written down. What it needs to go on is numbers, kept beside that place.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol

import zstandard

from detector.errors import BrokerError, UsageError
from streaming.config import Config
from streaming.kafka.client import Clients, Topics, close, ensure_topics
from streaming.schema.dead_letter import DeadLetter, RepeatedLetters, encode

FLUSH_S: Final = 60.0
"""Longest wait for the broker to have everything: twice what the client gives a record."""


class ListenedEvent(NamedTuple):
    """A post event on its way.

    Args:
        account: whose it is.
        value: as JSON, on one line.
    """

    account: str
    value: bytes


class Destination(Protocol):
    """Where events go."""

    commit_s: float
    """Seconds between two commits."""

    place: str
    """In words, for the last line."""

    def write(self, events: list[ListenedEvent], letters: list[DeadLetter]) -> None:
        """Take events and dead letters, each in order.

        Raises:
            BrokerError: they were not taken; the stream is taken up again at the last commit.
            UsageError: a file cannot be written.
        """
        ...

    def commit(self) -> dict[str, int]:
        """Make everything safe; what is needed to go on from here.

        Raises:
            BrokerError, UsageError: as `write`.
        """
        ...

    def rewind(self) -> None:
        """Forget what was written since the last commit, as far as that can be."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


COMMIT_S: Final = 2.0
"""Seconds between two commits: what has to be fetched again after a crash."""


class GrowingFile:
    """Lines appended to a file, compressed as its name says, which holds whole frames alone after each commit.

    Args:
        path: of the file.
        option: what named it, for messages.
        size: of the file at the last commit; None where there was none, and then it must not be there.

    Raises:
        UsageError: it cannot be written, is there already, or is shorter than it was.
    """

    def __init__(self, path: Path, option: str, size: int | None) -> None:
        self.path = path
        self._option = option
        self._packer: Any = None
        try:
            if size is None:
                self._file: IO[bytes] = path.open("xb")
            else:
                self._file = path.open("r+b")
                if path.stat().st_size < size:
                    self._file.close()
                    raise UsageError(
                        f"{option} {str(path)!a} is shorter than when it was last written: restore it, or name other "
                        "files for it and for --cursor"
                    )
        except FileExistsError:
            raise UsageError(
                f"{option} {str(path)!a} is there already, and --cursor does not know it: name another file"
            ) from None
        except OSError as error:
            raise self._refused(error) from None
        self.size = size or 0
        self.rewind()

    def write(self, line: bytes) -> None:
        """Append a line.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            if self._packer is None and self.path.suffix in (".gz", ".zst"):
                self._packer = _packer(self.path.suffix)
            self._file.write(line + b"\n" if self._packer is None else self._packer.compress(line + b"\n"))
        except OSError as error:
            raise self._refused(error) from None

    def flush(self) -> None:
        """Let others see what was written; of a compressed file nothing before `commit`.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from None

    def commit(self) -> int:
        """Write everything out to the disk; the size of the file.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            if self._packer is not None:
                self._file.write(self._packer.flush())
                self._packer = None
            self._file.flush()
            os.fsync(self._file.fileno())
            self.size = self._file.tell()
        except OSError as error:
            raise self._refused(error) from None
        return self.size

    def rewind(self) -> None:
        """Cut the file to where it was at the last commit.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            self._packer = None
            self._file.seek(self.size)
            self._file.truncate()
        except OSError as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Let go of the file; what was not committed may be in it."""
        try:
            self._file.close()
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"{self._option} {str(self.path)!a} cannot be written: {error.strerror}")


def _packer(suffix: str) -> Any:
    return zlib.compressobj(wbits=31) if suffix == ".gz" else zstandard.ZstdCompressor().compressobj()


def growing(kept: Mapping[str, int], name: str, path: Path | None, option: str) -> GrowingFile | None:
    """The file of a name, as a checkpoint knows it; None where there is to be none.

    Args:
        kept: the numbers of the checkpoint.
        name: under which its size is among them.
        path: of the file.
        option: what named it.
    """
    return None if path is None else GrowingFile(path, option, kept.get(name))


class RecordingFile:
    """A file of post events, one a line, and one of dead letters.

    Args:
        path: of the events; compressed where the name ends in `.gz` or `.zst`.
        dead_letters: of the letters; None to only count them.
        kept: the numbers of the checkpoint.

    Raises:
        UsageError: a file cannot be written, or is there already.
    """

    commit_s = COMMIT_S

    def __init__(self, path: Path, dead_letters: Path | None, kept: Mapping[str, int]) -> None:
        self._events = GrowingFile(path, "--to", kept.get("events"))
        self._letters = growing(kept, "letters", dead_letters, "--dead-letters")
        self._repeated = RepeatedLetters()
        self.place = str(path)

    def write(self, events: list[ListenedEvent], letters: list[DeadLetter]) -> None:
        """See `Destination`."""
        for event in events:
            self._events.write(event.value)
        if self._letters is not None:
            for letter in letters:
                if self._repeated.keeps(letter):
                    self._letters.write(encode(letter))

    def commit(self) -> dict[str, int]:
        """See `Destination`."""
        sizes = {"events": self._events.commit()}
        return sizes if self._letters is None else sizes | {"letters": self._letters.commit()}

    def rewind(self) -> None:
        """See `Destination`."""
        self._events.rewind()
        if self._letters is not None:
            self._letters.rewind()

    def close(self) -> None:
        """See `Destination`."""
        self._events.close()
        if self._letters is not None:
            self._letters.close()


class PostsTopic:
    """The topic `posts` of the configuration, keyed by account, and `dead-letters`.

    Raises:
        UsageError: a topic cannot be made, or has a shape that cannot work.
        BrokerError: the broker is away, or refuses.
    """

    commit_s = COMMIT_S

    def __init__(self, config: Config) -> None:
        self._clients, self._topics = Clients(config.kafka), Topics.of(config.kafka)
        ensure_topics(self._clients, self._topics, config.kafka, snapshots=True)
        self._producer = self._clients.producer()
        self._failed: list[BaseException] = []
        self.place = f"topic {self._topics.posts}"

    def write(self, events: list[ListenedEvent], letters: list[DeadLetter]) -> None:
        """See `Destination`."""
        self._check()
        with self._clients.explained("sending posts"):
            for event in events:
                sent = self._producer.send(self._topics.posts, event.value, key=event.account.encode())
                sent.add_errback(self._failed.append)
            for letter in letters:
                self._producer.send(self._topics.dead_letters, encode(letter)).add_errback(self._failed.append)

    def commit(self) -> dict[str, int]:
        """See `Destination`."""
        with self._clients.explained("waiting for posts to be taken"):
            self._producer.flush(timeout=FLUSH_S)
        self._check()
        return {}

    def rewind(self) -> None:
        """Give up what is on its way: what the broker has taken stays, and comes again, to be found a duplicate."""
        close(self._producer)
        self._failed = []
        self._producer = self._clients.producer()

    def close(self) -> None:
        """See `Destination`."""
        close(self._producer)

    def _check(self) -> None:
        if self._failed:
            raise BrokerError(f"posts were not taken by topic {self._topics.posts}: {self._failed[0]}")
