"""The input format `events`: post events, one JSON object a line (docs/reference/events.md).

Every line is a record, also an empty one (which is dead); what follows the last line feed is a record only if there is
something. A carriage return before the line feed belongs to the line end. The module is the format: `recognises` and
`read` are what `streaming.sources.base.SourceFormat` asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from typing import Any, Final

import msgspec

from streaming.schema.dead_letter import KEPT_BYTES
from streaming.sources.base import FileRecord, Oversize

RECORD_BYTES: Final = 16 * 1024 * 1024
"""Longest line that is read whole, sixteen times Kafka's largest record by default: memory has a bound."""

_CHUNK: Final = 1 << 18


class _Head(msgspec.Struct):
    id: Any
    account: Any
    at: Any
    kind: Any


_head = msgspec.json.Decoder(_Head)


def recognises(head: bytes) -> bool:
    """Whether one of the first whole lines is an object with what every post event has."""
    for line in head.split(b"\n")[:20]:
        try:
            _head.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        return True
    return False


def read(file: BufferedIOBase) -> Iterator[FileRecord]:
    """The lines of a file, numbered from 1."""
    for number, (value, oversize) in enumerate(_lines(iter(lambda: file.read1(_CHUNK), b"")), 1):
        yield FileRecord(number, value, oversize)


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, Oversize | None]]:
    """Lines without their ends; of one longer than `RECORD_BYTES` the beginning, with size and hash of the whole."""
    held: list[bytes] = []
    size = 0
    whole = hashlib.sha256()  # of a line too long to be held, from when it is
    for chunk in chunks:
        pieces = chunk.split(b"\n")
        for piece in pieces[:-1]:
            if held:
                yield _line(held, piece, size, whole)
                held, size, whole = [], 0, hashlib.sha256()
            elif len(piece) <= RECORD_BYTES:
                yield (piece[:-1] if piece.endswith(b"\r") else piece), None
            else:
                yield _line([], piece, 0, whole)
        if piece := pieces[-1]:
            size += len(piece)
            held.append(piece)
            if size > RECORD_BYTES:
                whole.update(b"".join(held) if size - len(piece) <= RECORD_BYTES else piece)
                held = [b"".join(held)[:KEPT_BYTES]]
    if held:
        yield _line(held, b"", size, whole)


def _line(held: list[bytes], piece: bytes, size: int, whole: Any) -> tuple[bytes, Oversize | None]:
    if size + len(piece) <= RECORD_BYTES:
        line = b"".join([*held, piece])
        return (line[:-1] if line.endswith(b"\r") else line), None
    whole.update(piece if size > RECORD_BYTES else b"".join([*held, piece]))
    return b"".join([*held, piece])[:KEPT_BYTES], Oversize(size + len(piece), whole.hexdigest())
