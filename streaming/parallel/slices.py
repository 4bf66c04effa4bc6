"""Records on their way through an engine: slices of a partition, and the parts of a slice by account.

A slice is a run of records of one partition of `posts`. Of its records each *shard* of accounts gets one part, so that
all that an account ever did goes the same way. A part says how many there are of its slice, and a slice is complete
when all have come. All of it crosses processes as MessagePack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from detector.errors import LogError
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.observation import Observation
from streaming.sources.base import SourceRecord

SHARDS: Final = 16
"""Shards of accounts: the most cores that read texts at once. More of them make smaller parts, of which each costs."""

SLICE_RECORDS: Final = 500
"""Records of a slice. Of 2,000, scoring takes three quarters of the time, and a checkpoint waits four times as long."""


class PostSlice(msgspec.Struct, array_like=True, gc=False):
    """Records of one partition, in order of their offsets.

    Args:
        partition: of `posts`.
        partitions: how many there are.
        start, end: source offsets [start, end) that it covers.
        now_ms: when the records were read, ms since 1970.
        records: all that there are in the range.
        last: whether the partition is complete with it.
    """

    partition: int
    partitions: int
    start: int
    end: int
    now_ms: int
    records: list[SourceRecord]
    last: bool = False


class SlicePart(msgspec.Struct, array_like=True, gc=False):
    """The records of one slice that are of one shard of accounts.

    Args:
        shard: of accounts.
        parts: how many the slice has.
        slice: with the records of this shard alone.
    """

    shard: int
    parts: int
    slice: PostSlice


class ReadTexts(msgspec.Struct, array_like=True, gc=False):
    """What was read in some texts ahead of being asked.

    Args:
        texts: `second_stage_key` of each text that the second-stage model read.
        llrs: its LLRs in millinats, two bytes each (int16, little-endian).
        meanings: `meaning_key` of each text of which there is a vector.
        vectors: the vectors, one after the other, a byte a number.
    """

    texts: list[bytes] = []
    llrs: bytes = b""
    meanings: list[bytes] = []
    vectors: bytes = b""


class ScoredPart(msgspec.Struct, array_like=True, gc=False):
    """What the stage `score` says of a part, and what was read ahead.

    Args:
        shard, parts, partition, partitions, start, end, last: as of the part.
        models: name -> version of the models that wrote the observations.
        observations: one for every record, by offset.
        letters: one for every dead record.
        texts_cut: events whose text was too long to be read whole.
        read: ahead of `assess`.
    """

    shard: int
    parts: int
    partition: int
    partitions: int
    start: int
    end: int
    last: bool
    models: dict[str, str]
    observations: list[Observation]
    letters: list[DeadLetter]
    texts_cut: int
    read: ReadTexts


class _OfAccount(msgspec.Struct):
    account: Any = None


_named: Final = msgspec.json.Decoder(_OfAccount)
_encoder: Final = msgspec.msgpack.Encoder()
_lines: Final = msgspec.json.Decoder(PostSlice)
_parts: Final = msgspec.msgpack.Decoder(SlicePart)
_scored: Final = msgspec.msgpack.Decoder(ScoredPart)


def slices(
    records: Iterable[SourceRecord],
    now_ms: int,
    *,
    partition: int = 0,
    partitions: int = 1,
    size: int = SLICE_RECORDS,
) -> Iterator[PostSlice]:
    """Cut the records of a partition into slices; the last one closes it, and may be empty.

    Args:
        records: by ascending offset.
        now_ms: when they are read, ms since 1970: when a record was written that does not say.
        partition: of `posts`.
        partitions: how many there are.
        size: records of a slice; changes no output.
    """
    source, position = iter(records), 0
    while held := list(islice(source, size)):
        end = held[-1].offset + 1
        yield PostSlice(partition, partitions, position, end, now_ms, held)
        position = end
    yield PostSlice(partition, partitions, position, position, now_ms, [], last=True)


def shard_of(record: SourceRecord, shards: int) -> int:
    """The shard whose accounts a record is of; dead records are spread by their offset.

    Args:
        record: of `posts`.
        shards: how many there are.
    """
    account = None
    if record.oversize is None and record.problem is None:
        try:
            account = _named.decode(record.value).account
        except (ValueError, RecursionError, msgspec.MsgspecError):
            account = None
    if not isinstance(account, str):
        return record.offset % shards
    digest = hashlib.blake2b(account.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % shards


def split(whole: PostSlice, shards: int) -> list[SlicePart]:
    """The parts of a slice, one for each shard that has records in it, at least one.

    Args:
        whole: the slice.
        shards: of accounts.
    """
    held: dict[int, list[SourceRecord]] = {}
    for record in whole.records:
        held.setdefault(shard_of(record, shards), []).append(record)
    held = held or {0: []}
    return [
        SlicePart(shard, len(held), msgspec.structs.replace(whole, records=records))
        for shard, records in sorted(held.items())
    ]


def encode_record(value: PostSlice | SlicePart | ScoredPart) -> bytes:
    """As it crosses processes."""
    return _encoder.encode(value)


def encode_line(whole: PostSlice) -> bytes:
    """A slice as a line of a file, with its line end."""
    return msgspec.json.encode(whole) + b"\n"


def decode_line(line: str | bytes) -> PostSlice:
    """The inverse of `encode_line`.

    Raises:
        LogError: it is none.
    """
    try:
        return _lines.decode(line)
    except msgspec.MsgspecError as error:
        raise _other_release(error) from None


def decode_part(body: bytes) -> SlicePart:
    """The inverse of `encode_record`.

    Raises:
        LogError: it is none.
    """
    try:
        return _parts.decode(body)
    except msgspec.MsgspecError as error:
        raise _other_release(error) from None


def decode_scored(body: bytes) -> ScoredPart:
    """The inverse of `encode_record`.

    Raises:
        LogError: it is none.
    """
    try:
        return _scored.decode(body)
    except msgspec.MsgspecError as error:
        raise _other_release(error) from None


def _other_release(error: msgspec.MsgspecError) -> LogError:
    return LogError(
        f"what came from another process of the job is none of this release ({error}): run one release everywhere"
    )


def second_stage_key(text: str, lang: str, first_stage: int) -> bytes:
    """What a text's answer of the second stage is found by: it depends on these three alone.

    Args:
        text: as it is kept.
        lang: its language, "" where unknown.
        first_stage: LLR of the first-stage model, millinats.
    """
    return _digest(f"{first_stage} {lang} {text}")


def meaning_key(text: str) -> bytes:
    """What a text's vector of meaning is found by."""
    return _digest(text)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
