"""The input format `events`: post events, one JSON object a line, or a JSON array of them (docs/reference/events.md).

Every line is a record, also an empty one (which is dead); what follows the last line feed is a record only if there is
something. A carriage return before the line feed belongs to the line end. A file that begins with `[` and then `{` is
one array; each of its elements is a record, read one by one, and its number stands in the place of a line's. The module
is the format: `recognises` and `read` are what `streaming.sources.base.SourceFormat` asks for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from io import BufferedIOBase
from itertools import chain, islice
from typing import Any, Final

import msgspec

from streaming.schema.dead_letter import KEPT_BYTES
from streaming.sources.base import FileRecord, Oversize

RECORD_BYTES: Final = 16 * 1024 * 1024
"""Longest line that is read whole, sixteen times Kafka's largest record by default: memory has a bound."""

_CHUNK: Final = 1 << 18


class _EventHead(msgspec.Struct):
    id: Any
    account: Any
    at: Any
    kind: Any


_head = msgspec.json.Decoder(_EventHead)

_ARRAY: Final = re.compile(rb"\s*\[\s*\{")
"""How an array of records begins."""

_WHITE: Final = b" \t\r\n"

_MARK: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["{}\[\],]', re.DOTALL)
"""A whole string, a quote whose string goes on, or what says where an element ends."""

_STRING_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""A string's characters up to its closing quote."""


def recognises(head: bytes) -> bool:
    """Whether one of the first whole lines, or elements of an array, is an object with what every post event has."""
    return any(map(is_event, first_records(head, 20)))


def first_records(head: bytes, most: int) -> Iterator[bytes]:
    """The first lines, or elements of an array, of a file that begins with `head`; the last of them may be cut."""
    return islice(_first(head), most)


def _first(head: bytes) -> Iterator[bytes]:
    if not _ARRAY.match(head):
        yield from head.split(b"\n")
        return
    try:
        for value, _ in _elements([head]):
            yield value
    except EOFError:
        return


def is_event(value: bytes) -> bool:
    """Whether a record is an object with what every post event has."""
    try:
        _head.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def read(file: BufferedIOBase) -> Iterator[FileRecord]:
    """The lines of a file, or the elements of its array, numbered from 1.

    Raises:
        EOFError: an array that is not closed, after its last whole element.
    """
    head = b""
    while not head.strip(_WHITE + b"[") and (piece := file.read1(_CHUNK)):
        head += piece
    chunks = chain([head], iter(lambda: file.read1(_CHUNK), b""))
    for number, (value, oversize) in enumerate(records_of(chunks, head), 1):
        yield FileRecord(number, value, oversize)


def records_of(chunks: Iterable[bytes], head: bytes) -> Iterator[tuple[bytes, Oversize | None]]:
    """The lines or elements in chunks that begin with `head`; of what is too long the beginning, with its size.

    Raises:
        EOFError: an array that is not closed, after its last whole element.
    """
    return _elements(chunks) if _ARRAY.match(head) else lines(chunks)


def _elements(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, Oversize | None]]:
    """The elements of a JSON array, as lines are given; lines that follow the array, too, unless they are blank.

    Only strings and brackets are read, so what is no JSON becomes a record of its own wherever its brackets balance.

    Raises:
        EOFError: the array is not closed.
    """
    chunks = iter(chunks)
    data, begun, place, depth, in_string = b"", 0, 0, 0, False
    head, size, whole = b"", 0, hashlib.sha256()  # of an element too long to be held, from when it is
    for chunk in chunks:
        data, begun, place = data[begun:] + chunk, 0, place - begun
        while True:
            if in_string:
                place = _STRING_REST.match(data, place).end()  # type: ignore[union-attr]  # it matches anything
                if data[place : place + 1] != b'"':
                    break
                in_string, place = False, place + 1
            token = _MARK.search(data, place)
            if token is None:
                place = len(data)
                break
            mark, place = token.group(), token.end()
            if mark == b'"':
                in_string = True
            elif mark in b"{[":
                depth += 1
                begun = place if depth == 1 else begun
            elif mark in b"}]":
                depth -= 1
            if depth == 0 or (depth == 1 and mark == b","):
                piece = data[begun : place - 1]
                if size:
                    whole.update(piece)
                    yield head, Oversize(size + len(piece), whole.hexdigest())
                elif depth or piece.strip(_WHITE):
                    yield _element(piece.strip(_WHITE))
                head, size, whole, begun = b"", 0, hashlib.sha256(), place
            if depth == 0:
                after = lines(chain([data[place:]], chunks))
                yield from ((line, oversize) for line, oversize in after if line.strip(_WHITE))
                return
        if place - begun > RECORD_BYTES:
            head = head if size else data[begun : begun + KEPT_BYTES]
            whole.update(data[begun:place])
            size += place - begun
            begun = place
    raise EOFError


def _element(value: bytes) -> tuple[bytes, Oversize | None]:
    if len(value) <= RECORD_BYTES:
        return value, None
    return value[:KEPT_BYTES], too_long(value)


def too_long(value: bytes) -> Oversize:
    """Size and hash of a record that is too long to be read."""
    return Oversize(len(value), hashlib.sha256(value).hexdigest())


def lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, Oversize | None]]:
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
                yield _line([], piece, 0, hashlib.sha256())
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
