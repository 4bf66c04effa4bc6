"""JSON as platforms hand it out: a record a line, an array, or documents whose lists hold the records.

`JsonFormat` is an input format made of what a platform's records look like and how one becomes a post event. It reads
lines and arrays as the format `events` does, a record after the other. A document (an API's response, an export) may
take a whole line or many; its records are the elements of the lists that the format names. One of up to
`DOCUMENT_BYTES` is read whole, so that what stands behind its lists is known (authors, for instance); of a longer one
the elements are taken as they come, with the plain values that stood before them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec

from detector.errors import EventError
from streaming.schema.dead_letter import KEPT_BYTES
from streaming.sources import events
from streaming.sources.base import FieldProblem, FileRecord, Oversize

DOCUMENT_BYTES: Final = events.RECORD_BYTES
"""Longest document that is read whole: as long as the longest line."""

_CHUNK: Final = 1 << 18

_LINES_LOOKED_AT: Final = 20
"""First lines of a file that say whether it has a record a line: some of them may be damaged."""

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\],:]|[^\s"{}\[\],:]++', re.DOTALL)
_BLANK: Final = re.compile(rb"\s*")

_NAMES_KEPT: Final = 64
"""Plain values of a document that are remembered for its elements."""

_VALUE_BYTES: Final = 1024
"""Longest of them."""

Path = tuple[str, ...]
"""The keys that lead to a list of records in a document; "" stands for every element of a list on the way."""


class Skipped(NamedTuple):
    """A record that is in order and no post event: what it is, in a few words ("a block")."""

    what: str


Json = dict[str, Any]

Converter = Callable[[Json, Mapping[str, Any]], Json | Skipped]
"""Makes a post event of a record, given the document around it ({} without one). Raises EventError where it cannot."""


class FoundRecord(NamedTuple):
    """A record of a file as it was found.

    Args:
        position: line or number, from 1.
        raw: its bytes, b"" where it is a part of a document that was read whole.
        record: the object in it, where it was decoded already.
        oversize: set where it is too long.
        around: the document that it is a part of.
    """

    position: int
    raw: bytes
    record: Json | None = None
    oversize: Oversize | None = None
    around: Mapping[str, Any] = {}


@dataclass(frozen=True)
class JsonFormat:
    """An input format of JSON records.

    Args:
        looks: whether an object is a record, or a document of records, of this platform.
        converter: makes the function that converts the records of one file, in its order.
        lists: where documents have their records.
        prefix: what stands before the JSON at the beginning of a file.
        joins: whether records name an answered post without its account (`streaming.sources.parents`).
    """

    looks: Callable[[Json], bool]
    converter: Callable[[], Converter]
    lists: Sequence[Path] = ()
    prefix: re.Pattern[bytes] | None = None
    joins: bool = False

    def recognises(self, head: bytes) -> bool:
        """Whether one of the first records, or the beginning of a document, is of this platform."""
        return any(self.looks(each) for each in _beginnings(_without(self.prefix, head), self.lists))

    def read(self, file: BufferedIOBase) -> Iterator[FileRecord]:
        """The records of a file as post events.

        Raises:
            EOFError: a document or an array is cut short, after its last whole record.
        """
        convert = self.converter()
        for found in self.found(iter(lambda: file.read1(_CHUNK), b"")):
            yield _converted(convert, found)

    def found(self, chunks: Iterator[bytes]) -> Iterator[FoundRecord]:
        """The records in the bytes of a file, before they are converted."""
        return _found(chunks, self.lists, self.prefix)

    def convert(self, record: bytes) -> FileRecord:
        """What one record, without a document around it, becomes; a post event stays as it is."""
        if events.is_event(record):
            return FileRecord(0, record)
        if len(record) > events.RECORD_BYTES:
            return FileRecord(0, record[:KEPT_BYTES], events.too_long(record))
        return self.converting()(record)

    def converting(self) -> Callable[[bytes], FileRecord]:
        """A function like `convert` that remembers, of the records it is given, what later ones refer to."""
        converter = self.converter()
        return lambda record: _converted(converter, FoundRecord(0, record))


def _converted(convert: Converter, found: FoundRecord) -> FileRecord:
    if found.oversize is not None:
        return FileRecord(found.position, found.raw, found.oversize)
    try:
        event = convert(decoded(found.raw) if found.record is None else found.record, found.around)
        if isinstance(event, Skipped):
            return FileRecord(found.position, found.raw, skipped=event.what)
        return FileRecord(found.position, encoded(event))
    except EventError as error:
        return FileRecord(
            found.position, found.raw or _raw(found.record), problem=FieldProblem(error.field, error.reason)
        )


def _raw(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=True).encode()


def decoded(value: bytes) -> Json:
    """The JSON object in a record.

    Raises:
        EventError: it holds none.
    """
    try:
        record = msgspec.json.decode(value)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise EventError("", "is empty" if not value.strip() else "is not JSON") from None
    if not isinstance(record, dict):
        raise EventError("", "is not a JSON object")
    return record


def encoded(event: Json) -> bytes:
    """A post event as JSON, without what is None or "".

    Raises:
        EventError: a text is no Unicode.
    """
    try:
        return msgspec.json.encode({key: value for key, value in event.items() if value is not None and value != ""})
    except (UnicodeEncodeError, msgspec.MsgspecError):
        raise EventError("", "is not UTF-8, or holds a lone surrogate, which is no character") from None


def _without(prefix: re.Pattern[bytes] | None, head: bytes) -> bytes:
    match = None if prefix is None else prefix.match(head)
    return head if match is None else head[match.end() :]


def _beginnings(head: bytes, lists: Sequence[Path]) -> Iterator[Json]:
    """The first objects of a file; of a document that goes on beyond `head`, what it has in front of its first list."""
    for value in events.first_records(head, _LINES_LOOKED_AT):
        try:
            found = decoded(value)
        except EventError:
            continue
        yield found
        for _, record in _exploded(found, lists):
            if record is not found:
                yield record
                break
    if head.lstrip().startswith(b"{"):
        try:
            for around, value in _elements([head], lists):
                yield decoded(value)
                yield dict(around)
                return
        except (EOFError, EventError):
            return


def _found(rest: Iterator[bytes], lists: Sequence[Path], prefix: re.Pattern[bytes] | None) -> Iterator[FoundRecord]:
    """The records of a file."""
    begun = b""
    for piece in rest:
        begun += piece
        if len(begun) > DOCUMENT_BYTES or b"\n" in piece:
            break
    begun = _without(prefix, begun)
    if _is_document(begun):
        yield from _of_document(begun, rest, lists)
        return
    for position, (value, oversize) in enumerate(events.records_of(chain([begun], rest), begun), 1):
        yield from _of_line(position, value, oversize, lists)


def _of_line(position: int, value: bytes, oversize: Oversize | None, lists: Sequence[Path]) -> Iterator[FoundRecord]:
    """The record of a line, or those of the document that it holds."""
    if oversize is not None or not lists:
        yield FoundRecord(position, value, oversize=oversize)
        return
    try:
        document = decoded(value)
    except EventError:
        yield FoundRecord(position, value)
        return
    for around, record in _exploded(document, lists):
        yield FoundRecord(position, value if record is document else b"", record, around=around)


def _of_document(begun: bytes, rest: Iterator[bytes], lists: Sequence[Path]) -> Iterator[FoundRecord]:
    """The records of a file that is one document, or documents that follow each other."""
    while len(begun) <= DOCUMENT_BYTES and (piece := next(rest, b"")):
        begun += piece
    if len(begun) <= DOCUMENT_BYTES:
        whole = _documents(begun)
        if whole is not None:
            exploded = (each for document in whole for each in _exploded(document, lists))
            for number, (around, record) in enumerate(exploded, 1):
                yield FoundRecord(number, b"", record, around=around)
            return
    number = 0
    for number, (around, value) in enumerate(_elements(chain([begun], rest), lists), 1):
        if len(value) > events.RECORD_BYTES:
            yield FoundRecord(number, value[:KEPT_BYTES], oversize=events.too_long(value))
        else:
            yield FoundRecord(number, value, around=around)
    if not number:
        raise ValueError("the file is a JSON document without any records of this format")


def _is_document(begun: bytes) -> bool:
    """Whether a file that begins like this is a JSON object over many lines, or a line longer than a record may be."""
    if not begun.lstrip().startswith(b"{"):
        return False
    lines = begun.split(b"\n", _LINES_LOOKED_AT)
    if len(lines) == 1 and len(begun) > DOCUMENT_BYTES:
        return True
    for line in map(bytes.strip, lines[:_LINES_LOOKED_AT]):  # no document has a whole object on a line of its own
        if line.startswith(b"{") and line.endswith(b"}"):
            try:
                if msgspec.json.decode(line):
                    return False
            except (msgspec.DecodeError, ValueError, RecursionError):
                continue
    return len(lines) > 1 and not lines[1].lstrip().startswith(b"{")


def _documents(data: bytes) -> list[Json] | None:
    """The JSON objects that follow each other; None where there is anything else, or one is damaged."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    decoder, place, found = json.JSONDecoder(), 0, []
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found.append(value)
    return found


def _exploded(document: Json, lists: Sequence[Path]) -> Iterator[tuple[Mapping[str, Any], Json]]:
    """The records of a document with what stands around them; the document itself where it has none of the lists."""
    any_list = False
    for path in lists:
        for around, found in _at(document, path, {}):
            any_list = True
            for record in found:
                yield around, record if isinstance(record, dict) else {"": record}
    if not any_list:
        yield {}, document


def _at(value: Any, path: Path, around: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
    if not path:
        if isinstance(value, list):
            yield around, value
        return
    if path[0] == "" and isinstance(value, list):
        for each in value:
            yield from _at(each, path[1:], around)
    elif isinstance(value, dict) and path[0] in value:
        yield from _at(value[path[0]], path[1:], {**around, **value})


class _Level:
    """One bracket that is open while a long document is read."""

    def __init__(self, is_list: bool, path: Path) -> None:
        self.is_list = is_list
        self.path = path
        self.key = ""
        self.has_key = False
        self.plain: Json = {}


def _elements(chunks: Iterable[bytes], lists: Sequence[Path]) -> Iterator[tuple[Mapping[str, Any], bytes]]:
    """The elements of the lists of a document, with the plain values that stood before them in what is around.

    Raises:
        EOFError: the document is not closed.
    """
    levels: list[_Level] = []
    element: list[bytes] = []
    depth = 0
    for token in _tokens(chunks):
        if element:
            element.append(token)
            depth += (token in b"{[") - (token in b"}]") if len(token) == 1 else 0
            if not depth:
                yield _around(levels), b"".join(element)
                element = []
            continue
        level = levels[-1] if levels else None
        if token in (b"{", b"["):
            path = () if level is None else (*level.path, "" if level.is_list else level.key)
            if level is not None and level.is_list and level.path in lists and token == b"{":
                element, depth = [token], 1
            else:
                levels.append(_Level(token == b"[", path))
        elif token in (b"}", b"]"):
            if levels:
                levels.pop()
        elif level is not None and not level.is_list:
            _plain(level, token)
        elif level is not None and level.path in lists and token != b",":
            yield _around(levels), token
    if levels or element:
        raise EOFError


def _plain(level: _Level, token: bytes) -> None:
    """A key, its colon, or a plain value in an object."""
    if token == b":":
        level.has_key = True
    elif token == b",":
        level.has_key = False
    elif len(token) <= _VALUE_BYTES:
        try:
            value = msgspec.json.decode(token)
        except (msgspec.DecodeError, ValueError):
            value = None
        if not level.has_key:
            level.key = value if isinstance(value, str) else ""
        elif len(level.plain) < _NAMES_KEPT:
            level.plain[level.key] = value
    elif not level.has_key:
        level.key = ""


def _around(levels: list[_Level]) -> Json:
    around: Json = {}
    for level in levels:
        around.update(level.plain)
    return around


def _tokens(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The tokens of JSON: brackets, commas, colons, strings, and whatever else stands between them.

    Raises:
        EOFError: the last string is not closed.
        ValueError: a string is longer than a document may be.
    """
    data, place = b"", 0
    for chunk in chunks:
        data, place = data[place:] + chunk, 0
        while True:
            match = _TOKEN.match(data, place := _BLANK.match(data, place).end())  # type: ignore[union-attr]
            if match is None or (match.end() == len(data) and match.group()[-1:] not in b'"{}[],:'):
                break
            place = match.end()
            yield match.group()
        if len(data) - place > 4 * DOCUMENT_BYTES:
            raise ValueError("it holds a text that is never closed")
    if rest := data[place:].strip():
        if rest.startswith(b'"'):
            raise EOFError
        yield rest
