"""Dead letters: records that are no post event, kept with the reason and the original bytes (CONTRACTS, Dead)."""

from __future__ import annotations

import base64
from typing import Final

import msgspec

from detector.errors import EventError
from streaming.events import format_time
from streaming.records import SourceRecord

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
