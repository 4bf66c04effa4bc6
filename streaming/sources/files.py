"""Recordings as files: opened, decompressed, read in an input format, and merged by time.

`Inputs` gives the records of one or several files, or of standard input, as `swarmlight run` takes them. What the bytes
of a file mean is the business of its format (`streaming.sources.base.SourceFormat`); post events, one JSON object a
line, are the format `events`.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import msgspec
import zstandard

from detector.errors import UsageError
from detector.plugins import SOURCES, installed, load
from detector.times import AT_MAX, parse_time
from streaming.logs import shown
from streaming.sources.base import SourceFormat, SourceRecord
from streaming.watermark import JUMP_EVENTS, JUMP_MS

STDIN: Final = "-"

EVENTS: Final = "events"
"""The format of post events, one JSON object a line."""

AUTO: Final = "auto"
"""In place of a format's name: recognise the format of each file."""

HEAD_BYTES: Final = 1 << 16
"""Of its beginning that a format may be recognised by, if the file gives as much at once."""

_ZSTD_SLICE: Final = 2048
"""Compressed bytes decompressed at once: a frame made to explode gives at most 64 MiB from these."""


class Inputs:
    """The records of some recordings, several merged by `at`, numbered from 0 as they come. Use it as a context.

    The merge compares the next record of each input and takes the earliest, of equals the first input's. A record
    whose `at` cannot be read goes with the one before it in its file, and so does one that is more than a day ahead of
    it while one of the next hundred is not: one wrong clock does not hold its whole file back.

    Args:
        paths: `.gz` and `.zst` are decompressed, `-` is standard input, everything else is read as it is.
        stdin: what `-` reads; the process's own unless given.
        format_name: of the files: an installed input format, or `auto` to recognise each file by its beginning.

    Raises:
        UsageError: no input, `-` twice, an unknown format, or a file that cannot be opened; while iterating: one that
            cannot be read to its end (a compressed file cut short, damaged, or not compressed at all).
    """

    def __init__(
        self, paths: Sequence[str | Path], stdin: BufferedReader | None = None, format_name: str = EVENTS
    ) -> None:
        names = [str(path) for path in paths]
        if format_name != AUTO:
            format_named(format_name)
        if not names:
            raise UsageError("no input: name at least one file with --input, or - for standard input")
        if names.count(STDIN) > 1:
            raise UsageError("--input - is given twice; standard input can be read only once")
        self._stack = ExitStack()
        self._sizes = 0
        self._known = STDIN not in names
        self._format = format_name
        self._files: list[tuple[str, BufferedReader]] = []
        try:
            for name in names:
                self._files.append((name, self._open(name, stdin)))
        except BaseException:
            self._stack.close()
            raise

    @property
    def size(self) -> int | None:
        """Bytes of all files as they lie on disk; None where standard input is among them."""
        return self._sizes if self._known else None

    @property
    def position(self) -> int:
        """Bytes of the files read so far, for progress; standard input counts as 0."""
        return sum(file.tell() for name, file in self._files if name != STDIN and not file.closed and file.seekable())

    def __iter__(self) -> Iterator[SourceRecord]:
        streams = [_numbered(name, file, self._format) for name, file in self._files]
        for offset, record in enumerate(streams[0] if len(streams) == 1 else merge(streams)):
            yield SourceRecord(offset, -1, record.value, record.origin, record.position, record.oversize)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self, name: str, stdin: BufferedReader | None) -> BufferedReader:
        if name == STDIN:
            return stdin if stdin is not None else cast(BufferedReader, sys.stdin.buffer)
        path = Path(name)
        try:
            file = self._stack.enter_context(path.open("rb"))
            self._sizes += path.stat().st_size
        except OSError as error:
            raise UsageError(f"cannot read input {_shown(name)}: {error.strerror or 'it cannot be opened'}") from None
        return file


def _shown(name: str) -> str:
    """A file name as it can be printed and encoded, whatever bytes it is made of."""
    return os.fsencode(name).decode("utf-8", "replace")


def merge(streams: Iterable[Iterator[SourceRecord]]) -> Iterator[SourceRecord]:
    """Records of several recordings by `at`, as `Inputs` says; each recording's own order stays."""
    for _, record in heapq.merge(*map(_timed, streams), key=itemgetter(0)):
        yield record


def _numbered(name: str, file: BufferedReader, form: str) -> Iterator[SourceRecord]:
    """Records of one file with offset 0 and their position, from 1."""
    origin, position = f"{_shown(name)}:", 0
    where = f"cannot read input {_shown(name)}"
    try:
        content = _decompressed(name, file)
        reader = format_named(form) if form != AUTO else recognised(content.peek(HEAD_BYTES)[:HEAD_BYTES])
        for record in reader.read(content):
            position = record.position
            yield SourceRecord(0, -1, record.value, origin, position, record.oversize)
    except EOFError:
        reason = "the compressed data ends too early; copy the file again"
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
        reason = "the compressed data is damaged, or the file is not compressed as its name says"
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    except (ValueError, csv.Error) as error:
        reason = f"it is not of the format {form}: {shown(str(error))}"
    else:
        return
    raise UsageError(f"{where} beyond line {position}: {reason}")


def format_named(name: str) -> SourceFormat:
    """The input format that is installed under `name`.

    Raises:
        UsageError: there is none, or it cannot read files.
    """
    found = load(SOURCES, name)
    if not isinstance(found, SourceFormat):
        raise UsageError(f"--format {name!a}: what is installed under this name has no `recognises` and `read`")
    return found


def recognised(head: bytes) -> SourceFormat:
    """The format of a file that begins with `head`: of the installed ones, by name, the first that recognises it.

    Raises:
        UsageError: none does.
    """
    names = list(installed(SOURCES))
    for name in names:
        if (found := format_named(name)).recognises(head):
            return found
    raise UsageError(f"--format {AUTO}: the file is of none of the formats {', '.join(names)}; name its format")


def _decompressed(name: str, file: BufferedReader) -> BufferedReader | gzip.GzipFile:
    """The content of a file. Reading raises EOFError where compressed data is cut short."""
    if name.endswith(".zst"):
        return BufferedReader(_Chunks(_zstd(file)), HEAD_BYTES)
    if name.endswith(".gz"):
        if not file.peek(1):
            raise EOFError
        return gzip.GzipFile(fileobj=file, mode="rb")
    return file


class _Chunks(RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _zstd(file: BufferedReader) -> Iterator[bytes]:
    unpack, complete = zstandard.ZstdDecompressor().decompressobj(), False
    while piece := file.read(_ZSTD_SLICE):
        while piece:
            if unpack.eof:
                unpack = zstandard.ZstdDecompressor().decompressobj()
            if chunk := unpack.decompress(piece):
                yield chunk
            complete = unpack.eof
            piece = unpack.unused_data if complete else b""
    if not complete:
        raise EOFError


class _At(msgspec.Struct):
    at: Any = None


_at_decoder = msgspec.json.Decoder(_At)


def _at_of(record: SourceRecord) -> int | None:
    """`at` of a record in ms since 1970, None where it has none that can be read."""
    try:
        at = _at_decoder.decode(record.value).at
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    time = parse_time(at) if isinstance(at, str) else at
    return time if type(time) is int and 0 <= time <= AT_MAX else None


def _timed(records: Iterator[SourceRecord]) -> Iterator[tuple[int, SourceRecord]]:
    """Records with the time by which they are merged (see `Inputs`)."""
    ahead: deque[tuple[int | None, SourceRecord]] = deque()
    clock = -1
    source = ((_at_of(record), record) for record in records)
    while True:
        item = ahead.popleft() if ahead else next(source, None)
        if item is None:
            return
        at, record = item
        if at is None:
            yield clock, record
            continue
        if clock < 0 or at - clock > JUMP_MS:
            while len(ahead) < JUMP_EVENTS and (more := next(source, None)) is not None:
                ahead.append(more)
            base = clock if clock >= 0 else at - 2 * JUMP_MS
            if any(other is not None and other <= base + JUMP_MS for other, _ in ahead):
                yield clock, record
                continue
        clock = max(clock, at)
        yield at, record
