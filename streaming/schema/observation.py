"""The observation log: what `score` saw in every record of `posts`, in its order, and the marks between.

One log record is one `Entry`. A `Batch` covers source offsets [`start`, `end`) of one partition of `posts`, every
record of which has an `Observation` in it (retention, compaction and transaction markers may leave offsets without
one; the range covers them too). Marks say what no event says. The log is enough to rebuild everything `assess` knows.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import msgspec

from detector.errors import LogError

TEXT_CUT: Final = 500
"""Characters of a text that are kept: what an alert may show (docs/explanation/architecture.md, privacy)."""

BATCH_BYTES: Final = 512 * 1024
"""Encoded size at which a batch is cut: half of Kafka's default largest record, so that it always fits."""

NO_TIME: Final = -(2**62)
"""A watermark that is not yet known, in ms."""


class Kind(IntEnum):
    """What an event did. The names are the contract's `kind`."""

    POST = 0
    REPLY = 1
    REPOST = 2
    QUOTE = 3
    LIKE = 4
    FOLLOW = 5
    DELETE = 6
    DELETE_ACCOUNT = 7


class Observation(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was seen in one record of `posts`. A dead record has `dead=True` and nothing after `stamp`.

    Times are ms since 1970 UTC. `stamp` is the record's own timestamp, -1 where it has none. `text_features` is one
    packed `detector.text.features.TEXT_FEATURES`, empty where the event has no text. `digest` is the first 16 bytes of
    the SHA-256 of the record (order among duplicates). `automated` is `profile.automated`: -1 not said; `created_at`
    (ms) and `followers` likewise. `broker_stamp` says that `stamp` is the broker's
    (`message.timestamp.type=LogAppendTime`).
    """

    offset: int
    dead: bool
    stamp: int = -1
    at: int = 0
    account: str = ""
    id: str = ""
    digest: bytes = b""
    kind: int = 0
    lang: str = ""
    text: str = ""
    text_features: bytes = b""
    target: str = ""
    target_account: str = ""
    mentions: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    hashtags: tuple[str, ...] = ()
    automated: int = -1
    broker_stamp: bool = False
    created_at: int = -1
    followers: int = -1


class Batch(msgspec.Struct, tag="batch", frozen=True):
    """Observations of source offsets [start, end) of `partition` of `posts`, which has `partitions` partitions.

    `watermark` is this partition's watermark (ms) after the batch as its writer knew it, `NO_TIME` if it knew none:
    a lower bound for readers of the log's tail; `assess` computes the exact one itself. `offset_gap` (`hole` on the
    wire) is the number of source offsets before `start` that retention removed before anybody read them; 0 normally.
    """

    partition: int
    partitions: int
    start: int
    end: int
    watermark: int
    models: dict[str, str]
    observations: list[Observation]
    offset_gap: int = msgspec.field(default=0, name="hole")


class Idle(msgspec.Struct, tag="idle", frozen=True):
    """`partition` was read to `offset` (next source offset) and has been silent; its watermark becomes `time` (ms).

    Void where a record below `offset` is still to come, that is, when the reader's next source offset is smaller.
    """

    partition: int
    partitions: int
    offset: int
    time: int


class End(msgspec.Struct, tag="end", frozen=True):
    """`partition` is complete at source offset `offset`: later records are late, and workers refuse the log."""

    partition: int
    partitions: int
    offset: int


class Feedback(msgspec.Struct, tag="feedback", frozen=True):
    """One decision of a moderator (contract, topic `feedback`), as its original JSON bytes after validation.

    It takes effect at the next tick after the partition's watermark at this point of its log.
    """

    partition: int
    partitions: int
    body: bytes


Entry = Batch | Idle | End | Feedback
"""One record of the observation log."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode(entry: Entry) -> bytes:
    """The log record of `entry` (MessagePack)."""
    return _encoder.encode(entry)


def decode(record: bytes) -> Entry:
    """The entry in a log record.

    Raises:
        LogError: the record is not an entry of this version of the log.
    """
    try:
        entry: Entry = _decoder.decode(record)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LogError(
            f"the observation log holds a record that is no entry of this version ({error}): "
            "another program writes to the topic, or the log is of another release; choose another topic_prefix"
        ) from error
    return entry
