"""Dead letters: records that are no post event, kept with the reason and the original bytes (CONTRACTS, Dead).

Reads dead letters back: from a file of them, or as they come from the topic, to be shown or sent again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from detector.errors import EventError, UsageError
from detector.times import format_time
from streaming.logs import shown
from streaming.sources.base import SourceRecord

KEPT_BYTES: Final = 4096
"""Bytes of a dead record that its letter carries; size and hash are of the whole record."""


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead letter. `at` is when it was found dead (ms since 1970), `head` at most `KEPT_BYTES` of the record."""

    at: int
    source: str
    field: str
    reason: str
    head: bytes
    size: int
    sha256: str


class _Record(msgspec.Struct, frozen=True):
    at: str
    source: str
    field: str
    reason: str
    bytes: str
    size: int
    sha256: str


_encoder = msgspec.json.Encoder()


def dead_letter(record: SourceRecord, error: EventError, now_ms: int) -> DeadLetter:
    """The letter for `record`, which `error` says is dead."""
    whole = record.size_and_hash()
    return DeadLetter(
        at=now_ms,
        source=record.source,
        field=error.field,
        reason=error.reason,
        head=record.value[:KEPT_BYTES],
        size=whole.size,
        sha256=whole.sha256,
    )


def encode(letter: DeadLetter) -> bytes:
    """The contract's dead-letter record: one JSON object, without line end. Pure ASCII but for a file's own name."""
    return _encoder.encode(
        _Record(
            at=format_time(letter.at),
            source=letter.source,
            field=letter.field,
            reason=letter.reason,
            bytes=base64.b64encode(letter.head).decode("ascii"),
            size=letter.size,
            sha256=letter.sha256,
        )
    )


EXCERPT_BYTES: Final = 160
"""Bytes of a dead record that are shown: enough to see what it was meant to be, on two lines of a terminal."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class Letter(msgspec.Struct, frozen=True):
    """One dead-letter record of the contract. `kept`, its `bytes`, is base64 of the first 4 KiB of the record."""

    at: str
    source: str
    field: str
    reason: str
    size: Annotated[int, Meta(ge=0)]
    sha256: str
    kept: str = msgspec.field(name="bytes")

    def head(self) -> bytes:
        """The kept bytes of the record; b"" where they are no base64."""
        try:
            return base64.b64decode(self.kept, validate=True)
        except (binascii.Error, ValueError):
            return b""

    def record(self) -> bytes | None:
        """The whole original record, or None where the letter does not have all of it."""
        head = self.head()
        return head if len(head) == self.size and hashlib.sha256(head).hexdigest() == self.sha256 else None

    def line(self) -> str:
        """The letter as one line of printable ASCII, whatever is in it."""
        head = self.head()[:EXCERPT_BYTES]
        cut = "..." if self.size > len(head) else ""
        identity = self.sha256[:12] if _HASH.fullmatch(self.sha256) else "?"
        return (
            f"{shown(self.at)} {shown(self.source)} {shown(self.field) or '(record)'}: {shown(self.reason)} "
            f"[{self.size} bytes, sha256 {identity}] {ascii(head)[1:]}{cut}"
        )


_decoder = msgspec.json.Decoder(Letter)


def letters(records: Iterable[tuple[str, bytes]]) -> Iterator[Letter]:
    """The letters in records, each given with where it stands (`file:3`).

    Raises:
        UsageError: a record is no dead letter.
    """
    for where, record in records:
        try:
            yield _decoder.decode(record)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise UsageError(f"{shown(where)}: this is no dead letter: {shown(str(error))}") from None


class Tally:
    """What a run over dead letters found."""

    def __init__(self) -> None:
        self.letters = 0
        self.by_problem: Counter[tuple[str, str]] = Counter()

    def add(self, letter: Letter) -> None:
        self.letters += 1
        self.by_problem[shown(letter.field) or "(record)", shown(letter.reason)] += 1

    def lines(self, most: int = 20) -> Iterator[str]:
        """How many, and the most frequent problems."""
        yield f"{self.letters} dead letters"
        for (field, reason), count in sorted(self.by_problem.items(), key=lambda item: (-item[1], item[0]))[:most]:
            yield f"{count:>9}  {field}: {reason}"
        if len(self.by_problem) > most:
            yield f"           and {len(self.by_problem) - most} other problems"
