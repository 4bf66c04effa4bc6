"""What a compressed batch of records may expand to: `bound_batches` makes the Kafka client stop there.

A producer may send a megabyte that expands to a gigabyte, and brokers measure what is compressed. kafka-python 3
expands a whole batch at once, whatever comes out, and has no setting for it, so its `DefaultRecordBatch` is taught to
stop here: a batch that expands further is read as one record which says so. That record is no post event, so it becomes
a dead letter, and everything behind the batch is read as if nothing had been.
"""

from __future__ import annotations

import gzip
import io
import logging
from collections.abc import Callable
from typing import Any, Final

import lz4.frame
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

log = logging.getLogger(__name__)

LARGEST_BATCH_BYTES: Final = 64 << 20
"""Bytes of an expanded batch: JSON expands tenfold, and a broker takes a megabyte of it unless told otherwise."""


def bound_batches() -> None:
    """Have every batch of this process expanded to `LARGEST_BATCH_BYTES` at most; safe to call often."""
    if not hasattr(DefaultRecordBatch, "_maybe_uncompress"):
        log.warning("this version of kafka-python expands batches in another way: what they expand to is not bounded")
        return
    DefaultRecordBatch._maybe_uncompress = _expand


def _gzip(packed: memoryview, most: int) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as reader:
        return reader.read(most)


def _lz4(packed: memoryview, most: int) -> bytes:
    reader = lz4.frame.LZ4FrameDecompressor()
    plain: bytes = reader.decompress(bytes(packed), max_length=most)
    if len(plain) < most and not reader.eof:
        raise CorruptRecordError("an LZ4 frame ends too early")
    return plain


def _zstd(packed: memoryview, most: int) -> bytes:
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True) as reader:
        return bytes(reader.read(most))


_READERS: Final[dict[int, Callable[[memoryview, int], bytes]]] = {
    DefaultRecordBatch.CODEC_GZIP: _gzip,
    DefaultRecordBatch.CODEC_LZ4: _lz4,
    DefaultRecordBatch.CODEC_ZSTD: _zstd,
}
"""By Kafka's number of the codec. Snappy, which can expand to twenty times its size at most, stays the client's."""

_theirs: Final = DefaultRecordBatch._maybe_uncompress


def _expand(batch: Any) -> None:
    """Expand a batch in place, as its own method does, or leave a record in its place that says why not."""
    reader = None if batch._decompressed else _READERS.get(batch.compression_type)
    if reader is None:
        _theirs(batch)
        return
    batch._assert_has_codec(batch.compression_type)
    plain = reader(memoryview(batch._buffer)[batch._pos :], LARGEST_BATCH_BYTES + 1)
    if len(plain) > LARGEST_BATCH_BYTES:
        log.error(
            "a batch of %d records at offset %d expands to more than %d MiB and was not read",
            batch.records_count,
            batch.base_offset,
            LARGEST_BATCH_BYTES >> 20,
        )
        plain = _in_place_of(batch)
        batch._num_records = 1
    batch._buffer, batch._pos, batch._decompressed = bytearray(plain), 0, True


def _in_place_of(batch: Any) -> bytes:
    """One encoded record at the batch's last offset, which is no post event and says what was there."""
    value = f"a batch of {batch.records_count} records that expands to more than {LARGEST_BATCH_BYTES >> 20} MiB"
    builder = DefaultRecordBatchBuilder(2, DefaultRecordBatch.CODEC_NONE, False, -1, -1, -1, 1 << 16)
    builder.append(batch.last_offset - batch.base_offset, batch.first_timestamp, None, value.encode(), [])
    return bytes(builder.build())[DefaultRecordBatch.HEADER_STRUCT.size :]
