"""What an input format is, and what every record of `posts` is before anything is known about it.

A further format is one module with the two functions of `SourceFormat`, or more (`RecordFormat`, `ConfigurableFormat`),
and one line in a package's entry points:

    [project.entry-points."swarmlight.sources"]
    csv = "my_package.csv_posts"

Then `swarmlight run --format csv --input posts.csv` reads it. docs/how-to/add-a-source.md has a whole example.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BufferedIOBase
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec


class Oversize(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 (hex) of a record of which only the beginning was kept in memory."""

    size: int
    sha256: str


class FieldProblem(msgspec.Struct, frozen=True, array_like=True):
    """Why a record can be made no post event: the path of the field at fault ("" for the record) and the reason.

    The reason never repeats what the record says.
    """

    field: str
    reason: str


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read.

    Args:
        offset: its source offset; those of one partition ascend. In `run` records are counted from 0.
        stamp: when it was written (Kafka's timestamp), ms since 1970; -1 where it does not say.
        value: its bytes, b"" for a Kafka tombstone. Of a line without its line end.
        origin: what stands before the position in the name of the record: `posts-0@` or `file:`.
        position: line in its file, from 1; -1 where `offset` is the position.
        oversize: set where `value` is only the beginning of a record too long to be read; such a record is dead.
        broker_stamp: whether the broker set `stamp` when it took the record, not whoever sent it.
        problem: set where the format found that the record can be made no post event; such a record is dead.
    """

    offset: int
    stamp: int
    value: bytes
    origin: str = ""
    position: int = -1
    oversize: Oversize | None = None
    broker_stamp: bool = False
    problem: FieldProblem | None = None

    @property
    def source(self) -> str:
        """The record's name in a dead letter: `posts-0@123` or `file:line`."""
        return f"{self.origin}{self.offset if self.position < 0 else self.position}"

    def size_and_hash(self) -> Oversize:
        """Size and SHA-256 of the whole record."""
        return self.oversize or Oversize(len(self.value), hashlib.sha256(self.value).hexdigest())


class FileRecord(NamedTuple):
    """One record of a file.

    Args:
        position: its line or row, from 1, which dead letters name.
        value: a post event as JSON (docs/reference/events.md). Where the record can be made none of, its own bytes:
            they are no post event, so it is counted as dead, and its dead letter keeps them.
        oversize: set where `value` is only the beginning of a record too long to be read.
        problem: why the record is dead, where the format knows better than its bytes say.
        skipped: why the record, which is in order, is no post event, in a few words that do not repeat it ("a block");
            it is counted under them and goes no further.
    """

    position: int
    value: bytes
    oversize: Oversize | None = None
    problem: FieldProblem | None = None
    skipped: str = ""


@runtime_checkable
class SourceFormat(Protocol):
    """How the bytes of a file become post events: an object, or a module, with these two functions."""

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes, decompressed, is of this format: for `--format auto`."""
        ...

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        """The records of a file in its order, read as they are asked for.

        Args:
            file: decompressed, at its beginning. It can be sought in only where the file is not compressed and not
                standard input.

        Raises:
            ValueError: the file as a whole is not of this format; the run ends with the message and exit status 2.
        """
        ...


@runtime_checkable
class RecordFormat(SourceFormat, Protocol):
    """A format whose single records can be converted, as those of a Kafka topic are."""

    def convert(self, record: bytes) -> FileRecord:
        """What one record becomes; the same for the same bytes. `position` means nothing."""
        ...


@runtime_checkable
class ConfigurableFormat(SourceFormat, Protocol):
    """A format that takes options: `--format NAME:OPTIONS`."""

    def configured(self, options: str) -> SourceFormat:
        """The format with these options.

        Raises:
            ValueError: they cannot be used.
        """
        ...
