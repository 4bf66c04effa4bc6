"""Recordings of `posts` as files: JSON lines, plain or compressed, one or several, or standard input.

Every line is a record, also an empty one (which is dead); what follows the last line feed is a record only if there is
something. A carriage return before the line feed belongs to the line end.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import os
import sys
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from io import BufferedReader
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import msgspec
import zstandard

from detector.errors import UsageError
from detector.times import AT_MAX, parse_time
from streaming.schema.dead_letter import KEPT_BYTES
from streaming.sources.base import Oversize, SourceRecord
from streaming.watermark import JUMP_EVENTS, JUMP_MS

STDIN: Final = "-"

RECORD_BYTES: Final = 16 * 1024 * 1024
"""Longest line that is read whole, sixteen times Kafka's largest record by default: memory has a bound."""

_CHUNK: Final = 1 << 18
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

    Raises:
        UsageError: no input, `-` twice, or a file that cannot be opened; while iterating: one that cannot be read to
            its end (a compressed file cut short, damaged, or not compressed at all).
    """

    def __init__(self, paths: Sequence[str | Path], stdin: BufferedReader | None = None) -> None:
        names = [str(path) for path in paths]
        if not names:
            raise UsageError("no input: name at least one file with --input, or - for standard input")
        if names.count(STDIN) > 1:
            raise UsageError("--input - is given twice; standard input can be read only once")
        self._stack = ExitStack()
        self._sizes = 0
        self._known = STDIN not in names
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
        streams = [_numbered(name, file) for name, file in self._files]
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


def _numbered(name: str, file: BufferedReader) -> Iterator[SourceRecord]:
    """Records of one file with offset 0 and their line, from 1."""
    origin, line = f"{_shown(name)}:", 0
    try:
        for value, oversize in _lines(_chunks(name, file)):
            line += 1
            yield SourceRecord(0, -1, value, origin, line, oversize)
    except EOFError:
        reason = "the compressed data ends too early; copy the file again"
    except (gzip.BadGzipFile, zlib.error, zstandard.ZstdError):
        reason = "the compressed data is damaged, or the file is not compressed as its name says"
    except OSError as error:
        reason = error.strerror or "it cannot be read"
    else:
        return
    raise UsageError(f"cannot read input {_shown(name)} beyond line {line}: {reason}")


def _chunks(name: str, file: BufferedReader) -> Iterator[bytes]:
    """The decompressed bytes of a file. EOFError where compressed data is cut short."""
    if name.endswith(".zst"):
        return _zstd(file)
    if name.endswith(".gz"):
        return _gzip(file)
    return _plain(file)


def _plain(file: BufferedReader) -> Iterator[bytes]:
    while chunk := file.read1(_CHUNK):
        yield chunk


def _gzip(file: BufferedReader) -> Iterator[bytes]:
    if not file.peek(1):
        raise EOFError
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
        while chunk := unpacked.read1(_CHUNK):
            yield chunk


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
