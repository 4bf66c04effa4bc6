"""One record of `posts` before anything is known about it, wherever it was read from."""

from __future__ import annotations

import hashlib

import msgspec


class Oversize(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 (hex) of a record of which only the beginning was kept in memory."""

    size: int
    sha256: str


class SourceRecord(msgspec.Struct, frozen=True, gc=False):
    """One record as it was read.

    Args:
        offset: its source offset; those of one partition ascend. In `run` records are counted from 0.
        stamp: when it was written (Kafka's timestamp), ms since 1970; -1 where it does not say.
        value: its bytes, b"" for a Kafka tombstone. Of a line without its line end.
        origin: what stands before the position in the name of the record: `posts-0@` or `file:`.
        position: line in its file, from 1; -1 where `offset` is the position.
        oversize: set where `value` is only the beginning of a record too long to be read; such a record is dead.
    """

    offset: int
    stamp: int
    value: bytes
    origin: str = ""
    position: int = -1
    oversize: Oversize | None = None

    @property
    def source(self) -> str:
        """The record's name in a dead letter: `posts-0@123` or `file:line`."""
        return f"{self.origin}{self.offset if self.position < 0 else self.position}"

    def size_and_hash(self) -> Oversize:
        """Size and SHA-256 of the whole record."""
        return self.oversize or Oversize(len(self.value), hashlib.sha256(self.value).hexdigest())
