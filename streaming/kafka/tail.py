"""The end of the observation log, partition by partition: what its newest entries say without reading the whole log.

`score` needs it to go on from another worker's watermark, to see who is silent, and to see that a log is closed. Only
the heads of batches are decoded.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from detector.errors import LogError
from streaming.kafka.clients import CALL_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.observations import NO_TIME, End, Feedback, Idle

LOOK_BACK: Final = 16
"""Entries read from the end where it matters: enough that an end mark is not hidden behind what a worker that had been
paused still wrote after it."""

GLANCE: Final = 2
"""Entries read from the end of the others: their newest batch or mark."""

READ_S: Final = 20.0
"""Longest time to read the tails: some batches of 512 KiB per partition, most of them in the broker's cache."""


class BatchHead(msgspec.Struct, tag="batch", frozen=True):
    """A `Batch` without its observations."""

    partition: int
    partitions: int
    start: int
    end: int
    watermark: int


_decoder: Final = msgspec.msgpack.Decoder(BatchHead | Idle | End | Feedback)


@dataclass
class Tail:
    """What the newest entries of one partition say."""

    watermark: int = NO_TIME
    """Highest watermark a batch or idle mark carries, ms."""
    covered: int = 0
    """Source offset up to which batches cover the partition, as far as these entries show."""
    silent: bool = False
    """The newest batch or mark is an idle mark."""
    ended: int | None = None
    """Source offset of the end mark, if there is one."""
    first: int = 0
    """The log's first offset: above 0 once retention has removed something."""
    next: int = 0
    """The log's end offset when it was looked at."""
    idle_at: int = NO_TIME
    """Time of the newest idle mark."""

    @property
    def known(self) -> bool:
        """Whether a batch or a mark was among the entries."""
        return self.covered > 0 or self.silent or self.ended is not None


class LogTail:
    """Reads the tails of all partitions of `observations`; `refresh` looks again."""

    def __init__(self, clients: Clients, topics: Topics, partitions: int) -> None:
        self._clients = clients
        self._topic = topics.observations
        self._places = [TopicPartition(topics.observations, number) for number in range(partitions)]
        self._consumer: KafkaConsumer | None = None
        self.tails = [Tail() for _ in range(partitions)]

    def refresh(self, deep: Collection[int] = ()) -> list[Tail]:
        """Look at what was written since the last time.

        Args:
            deep: partitions of which `LOOK_BACK` entries are read, so that no end mark is missed.

        Raises:
            BrokerError: the broker is away.
            LogError: an entry that is none.
        """
        with self._clients.explained("reading the end of the observation log"):
            if self._consumer is None:
                self._consumer = self._clients.reader(records=LOOK_BACK)
                self._consumer.assign(self._places)
            firsts = self._consumer.beginning_offsets(self._places, CALL_MS)
            ends = self._consumer.end_offsets(self._places, CALL_MS)
            changed = []
            for place, tail in zip(self._places, self.tails, strict=True):
                tail.first = firsts[place]
                if ends[place] != tail.next:
                    changed.append(place)
            depth = GLANCE
            while changed:
                starts = {
                    place: max(firsts[place], ends[place] - (LOOK_BACK if place.partition in deep else depth))
                    for place in changed
                }
                self._read(starts, ends)
                # Where there was nothing but decisions, look further back.
                depth *= 8
                changed = [
                    place
                    for place in changed
                    if not self.tails[place.partition].known and starts[place] > firsts[place]
                ]
        return self.tails

    def _read(self, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:
        consumer = self._consumer
        assert consumer is not None
        for place in self._places:
            # A client without a position for each of its partitions would refuse to poll at all. Nothing is paused:
            # see `logreader.POLL_ENTRIES`.
            tail = self.tails[place.partition]
            start = starts.get(place, ends[place])
            consumer.seek(place, max(start, min(tail.next, ends[place])) if tail.known else start)
        deadline = time.monotonic() + READ_S
        while any(consumer.position(place) < ends[place] for place in starts):
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"the end of {self._topic} could not be read within {READ_S:.0f} s")
            for place, records in consumer.poll(200).items():
                for record in records:
                    self._note(place, record.offset, record.value)
        for place in starts:
            self.tails[place.partition].next = ends[place]

    def _note(self, place: TopicPartition, offset: int, value: bytes | None) -> None:
        tail = self.tails[place.partition]
        try:
            entry = _decoder.decode(value or b"")
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise LogError(
                f"{self._topic}-{place.partition}@{offset} is no entry of this version of the log: another program "
                "writes to the topic, or the log is of another release; choose another [kafka] topic_prefix"
            ) from error
        if isinstance(entry, BatchHead):
            tail.watermark = max(tail.watermark, entry.watermark)
            tail.covered = max(tail.covered, entry.end)
            tail.silent = False
        elif isinstance(entry, Idle):
            tail.watermark = max(tail.watermark, entry.time)
            tail.silent, tail.idle_at = True, entry.time
        elif isinstance(entry, End):
            tail.ended = entry.offset

    def forget(self) -> None:
        """Read everything anew at the next `refresh`: what was noted ahead of the log has not come to pass."""
        for number in range(len(self.tails)):
            self.tails[number] = Tail()

    @property
    def all_ended(self) -> bool:
        """Whether every partition has its end mark."""
        return all(tail.ended is not None for tail in self.tails)

    def low(self, but: int) -> int:
        """Smallest watermark (ms) of the partitions other than `but` that are neither silent nor over.

        `NO_TIME` where there is none: a partition nobody has written to yet holds nobody back here.
        """
        others = [
            tail.watermark
            for number, tail in enumerate(self.tails)
            if number != but and not tail.silent and tail.ended is None and tail.watermark != NO_TIME
        ]
        return min(others, default=NO_TIME)

    def close(self) -> None:
        close(self._consumer)
        self._consumer = None
