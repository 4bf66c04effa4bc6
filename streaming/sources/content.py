"""The content of an input file: decompressed, without byte order mark, as UTF-8 where a mark says it is UTF-16.

What a file is made of is seen by its first bytes, whatever its name says. `content` takes an open file and gives one
that a format (`streaming.sources.base.SourceFormat`) can read. Nothing of the content is held but a buffer.
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Iterable, Iterator
from io import BufferedIOBase, BufferedReader, RawIOBase
from itertools import chain
from typing import Any, Final, cast

import zstandard

HEAD_BYTES: Final = 1 << 16
"""Of its beginning that a format may be recognised by, if the file gives as much at once."""

_CHUNK: Final = 1 << 18

_ZSTD_SLICE: Final = 2048
"""Compressed bytes decompressed at once: a frame made to explode gives at most 64 MiB from these."""

_ZSTD_WINDOW: Final = 1 << 31
"""Bytes of the longest window that is decompressed: `zstd --long=31`, as Reddit dumps are made. It is taken from memory
only where a frame says that it needs it."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
"""RFC 1952, 2.3.1."""

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
"""RFC 8878, 3.1.1."""

_UTF16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def content(name: str, file: BufferedReader) -> BufferedReader:
    """What a file holds, from its beginning.

    Args:
        name: what ends in `.gz` or `.zst` has to be compressed; everything else may be.
        file: at its beginning; one that can be sought in and is not compressed is given back itself.

    Returns:
        The content. Reading it raises EOFError where compressed or UTF-16 data is cut short, and what gzip, zlib and
        zstandard raise where it is damaged.
    """
    if not file.seekable():
        file = _with_head(file, len(_ZSTD_MAGIC))
    head = file.peek(len(_ZSTD_MAGIC))[: len(_ZSTD_MAGIC)]
    if name.endswith(".zst") or head == _ZSTD_MAGIC:
        file = _chunked(_zstd(file))
    elif name.endswith(".gz") or head.startswith(_GZIP_MAGIC):
        if not head:
            raise EOFError
        # Its peek, read1 and read are those of a BufferedReader.
        file = cast(BufferedReader, gzip.GzipFile(fileobj=file, mode="rb"))
    return _marked(file)


def _marked(file: BufferedReader) -> BufferedReader:
    """The file behind its byte order mark, decoded where that is of UTF-16."""
    head = file.peek(3)[:3]
    if head == codecs.BOM_UTF8:
        file.read(3)
    elif (encoding := _UTF16.get(head[:2])) is not None:
        file.read(2)
        return _chunked(_utf16(file, encoding))
    return file


def _with_head(file: BufferedReader, size: int) -> BufferedReader:
    """A pipe of which the first `size` bytes can be looked at, if it has as many."""
    head = b""
    while len(head) < size and (piece := file.read1(_CHUNK)):
        head += piece
    return _chunked(chain([head] if head else [], iter(lambda: file.read1(_CHUNK), b"")))


def _chunked(chunks: Iterable[bytes]) -> BufferedReader:
    return BufferedReader(_Chunks(iter(chunks)), HEAD_BYTES)


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
    unpack, complete = _frame(), False
    while piece := file.read(_ZSTD_SLICE):
        while piece:
            if unpack.eof:
                unpack = _frame()
            if chunk := unpack.decompress(piece):
                yield chunk
            complete = unpack.eof
            piece = unpack.unused_data if complete else b""
    if not complete:
        raise EOFError


def _frame() -> zstandard.ZstdDecompressionObj:
    return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()


def _utf16(file: BufferedIOBase, encoding: str) -> Iterator[bytes]:
    """UTF-8 of UTF-16. A lone surrogate becomes what is no UTF-8, so that the record which holds it is dead alone."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    while piece := file.read1(_CHUNK):
        if text := decoder.decode(piece):
            yield text.encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        raise EOFError
