"""Dead letters: records that are no post event, kept with the reason and the first bytes of the record.

`dead_letter` makes one of a record that was refused, `encode` writes it (topic `dead-letters`, `--dead-letters`),
`letters` reads them back to be shown, counted or sent again.
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

EXCERPT_BYTES: Final = 160
"""Bytes of a dead record that are shown: enough to see what it was meant to be, on two lines of a terminal."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")


class DeadLetter(msgspec.Struct, frozen=True):
    """One dead-letter record.

    `at` is when it was found dead, `source` where it stood (`posts-0@123`, `file.jsonl:6`), `field` the path of the
    offending field ("" for the record as a whole), `kept` (in JSON `bytes`) base64 of its first `KEPT_BYTES` bytes.
    """

    at: str
    source: str
    field: str
    reason: str
    kept: str = msgspec.field(name="bytes")
    size: Annotated[int, Meta(ge=0)]
    sha256: str

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


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(DeadLetter)


def dead_letter(record: SourceRecord, error: EventError, now_ms: int) -> DeadLetter:
    """The letter for a record that is no event.

    Args:
        record: the record with its source.
        error: which field is wrong and why.
        now_ms: when it was found, ms since 1970 UTC.
    """
    whole = record.size_and_hash()
    return DeadLetter(
        at=format_time(now_ms),
        source=record.source,
        field=error.field,
        reason=error.reason,
        kept=base64.b64encode(record.value[:KEPT_BYTES]).decode("ascii"),
        size=whole.size,
        sha256=whole.sha256,
    )


def encode(letter: DeadLetter) -> bytes:
    """One JSON object, without line end. Pure ASCII but for a file's own name."""
    return _encoder.encode(letter)


def letters(records: Iterable[tuple[str, bytes]]) -> Iterator[DeadLetter]:
    """The letters in records, each given with where it stands (`file:3`).

    Raises:
        UsageError: a record is no dead letter.
    """
    for where, record in records:
        try:
            yield _decoder.decode(record)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise UsageError(f"{shown(where)}: this is no dead letter: {shown(str(error))}") from None


ALIKE_KEPT: Final = 1_000
"""Letters about records with the same bytes that a file takes: enough to see how it came, and no more for a file of
nothing but line ends, which compresses to a thousandth and has a letter of 200 bytes for each of them."""

DIFFERENT_COUNTED: Final = 10_000
"""Different dead records whose letters are counted; further ones are always kept."""


class RepeatedLetters:
    """Which letters of a run are worth keeping: of records with the same bytes only the first `ALIKE_KEPT`."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self.left_out = 0
        """Letters that were not kept."""

    def keeps(self, letter: DeadLetter) -> bool:
        """Take note of the next letter; whether it is to be kept."""
        count = self._seen.get(letter.sha256, 0) + 1
        if count > 1 or len(self._seen) < DIFFERENT_COUNTED:
            self._seen[letter.sha256] = count
        if count <= ALIKE_KEPT:
            return True
        self.left_out += 1
        return False


REASON_CHARACTERS: Final = 240
"""Of a reason that is told: it ends with what to do."""


class DeadLetterCounts:
    """Counts dead letters by field and reason."""

    def __init__(self) -> None:
        self.letters = 0
        self.by_problem: Counter[tuple[str, str]] = Counter()

    def add(self, letter: DeadLetter) -> None:
        """Count one letter."""
        self.letters += 1
        self.by_problem[shown(letter.field) or "(record)", shown(letter.reason, REASON_CHARACTERS)] += 1

    def lines(self, most: int = 20) -> Iterator[str]:
        """How many letters there were, then the `most` most frequent problems, one a line."""
        yield f"{self.letters} dead letters"
        for (field, reason), count in sorted(self.by_problem.items(), key=lambda item: (-item[1], item[0]))[:most]:
            yield f"{count:>9}  {field}: {reason}"
        if len(self.by_problem) > most:
            yield f"           and {len(self.by_problem) - most} other problems"
