"""The observation log: `LogReader` reads all of it, `LogTail` the newest entries, and `LogWriter` appends.

`assess` reads every partition in order, and pauses those that are far ahead of the slowest in event time, whose events
could only wait in memory. `score` reads only the newest entries: the watermark to go on from, who is idle, and whether
a partition is closed. `score` writes entries and dead letters with an idempotent producer. After any error such a
producer is of no use: it is closed, another is made, and the source is read again from what was acknowledged. What was
written twice says the same, and `assess` drops it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from kafka.producer.future import FutureRecordMetadata

from detector.errors import BrokerError, LogError
from streaming.kafka.client import CALL_MS, Clients, Topics, close
from streaming.schema import dead_letter
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.observation import NO_TIME, Batch, End, Entry, Feedback, Idle, decode, encode
from streaming.watermark import Watermark

log = logging.getLogger(__name__)

AHEAD_MS: Final = 600_000
"""Event time that a partition may be read ahead of the slowest: ten minutes of events fit into memory anywhere."""

POLL_ENTRIES: Final = 1_000_000
"""Entries per poll: all that a fetch brought. kafka-python 3.0.12 can lose sight of the rest of a partition's records
that were fetched, in part handed out, and then paused: it waits for them for ever."""

LAG_EVERY_S: Final = 5.0
"""How often the broker is asked where the log ends. What a fetch says of it is only ever the end of what was fetched,
so a reader that hands out whole fetches would always seem to have caught up."""

LAG_CALL_MS: Final = 2_000
"""Longest wait for that answer: a broker that does not give it is dealt with elsewhere."""

_OVER: Final = 2**62

DEEP_ENTRIES: Final = 16
"""Entries read from the end where it matters: enough that an end mark is not hidden behind what a worker that had been
paused still wrote after it."""

SHALLOW_ENTRIES: Final = 2
"""Entries read from the end of the others: their newest batch or mark."""

READ_S: Final = 20.0
"""Longest time to read the tails: some batches of 512 KiB per partition, most of them in the broker's cache."""

MOST_BYTES: Final = 32 << 20
"""Unacknowledged bytes at most. The client itself would buffer without bound while the broker is away."""

PERMANENT_ERRORS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
"""Errors of a send that trying again does not mend."""


class LogReader:
    """All partitions of `observations`, assigned by hand.

    `consumer` is in the group of `assess` without being a member, so that positions can be committed in transactions.
    """

    def __init__(self, clients: Clients, topics: Topics, partitions: int) -> None:
        self._clients = clients
        self._topic = topics.observations
        self._tps = [TopicPartition(topics.observations, number) for number in range(partitions)]
        self.consumer: KafkaConsumer = clients.reader(group=topics.assess_group, records=POLL_ENTRIES, gather=True)
        self.consumer.assign(self._tps)
        self._times = [NO_TIME] * partitions
        self._fetched: deque[tuple[int, ConsumerRecord]] = deque()
        """Polled and not yet handed out: the consumer is past them, so they are kept here and nowhere else."""
        self._ends = [0] * partitions
        self._ends_asked_s = 0.0
        self.positions = [0] * partitions
        """Next offset of every partition: everything before has been handed out."""
        self._written_ms = 0

    def bounds(self) -> tuple[list[int], list[int]]:
        """(first, end) offsets of every partition.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("asking how far the observation log reaches"):
            firsts = self.consumer.beginning_offsets(self._tps, CALL_MS)
            ends = self.consumer.end_offsets(self._tps, CALL_MS)
        return [firsts[tp] for tp in self._tps], [ends[tp] for tp in self._tps]

    def written_since(self, time_ms: int) -> list[int]:
        """The first offset of every partition that was written at this time or later; its end where none was.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("asking where the observation log was at a time"):
            found = self.consumer.offsets_for_times(dict.fromkeys(self._tps, time_ms), CALL_MS)
            ends = self.consumer.end_offsets(self._tps, CALL_MS)
        return [ends[tp] if (at := found.get(tp)) is None else at.offset for tp in self._tps]

    def seek(self, positions: list[int]) -> None:
        """Go on from these offsets; what was fetched and not yet handed out is read again."""
        self._fetched.clear()
        self.positions = list(positions)
        self._times = [NO_TIME] * len(positions)
        for tp, offset in zip(self._tps, positions, strict=True):
            self.consumer.seek(tp, offset)
        self.consumer.resume(*self._tps)

    def poll(self, timeout_ms: int) -> Iterator[Entry]:
        """The next entries, as they come; none while the broker is away. `positions` moves on with each.

        Whoever stops in the middle, because of an error for instance, goes on with the next call where it stopped: the
        entries that were fetched with the last one wait here.

        Raises:
            BrokerError: the broker refuses.
            LogError: a record that is no entry, or retention or truncation has removed what was not yet read.
        """
        if not self._fetched:
            self._fetch(timeout_ms)
        while self._fetched:
            number, record = self._fetched[0]
            try:
                entry = decode(record.value or b"")
            except LogError as error:
                raise LogError(f"{self._topic}-{number}@{record.offset}: {error}") from error
            self._fetched.popleft()
            self.positions[number] = record.offset + 1
            self._written_ms = max(self._written_ms, record.timestamp or 0)
            self._note(number, entry)
            yield entry
        self._pace()

    def _fetch(self, timeout_ms: int) -> None:
        with self._clients.explained("reading observations"):
            try:
                polled = self.consumer.poll(timeout_ms)
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                raise LogError(
                    f"{self._topic} no longer holds offsets {self.positions}: retention removed entries before they "
                    "were read, or the broker lost some; start again from a newer snapshot, or over under another "
                    "[kafka] topic_prefix; and let [kafka] retention_s be longer than any outage"
                ) from error
        for tp, records in polled.items():
            self._fetched.extend((tp.partition, record) for record in records)

    def lag(self, now_s: float) -> tuple[dict[int, int], float]:
        """Entries not yet handed out per partition, and how old the newest read one is.

        Args:
            now_s: seconds since 1970; the broker is asked every `LAG_EVERY_S` where the log ends.

        Returns:
            Entries behind the end by partition, and the age in seconds, 0 where nothing waits: a stream may be silent.
        """
        if now_s - self._ends_asked_s >= LAG_EVERY_S:
            self._ends_asked_s = now_s
            with contextlib.suppress(KafkaError):
                for tp, end in self.consumer.end_offsets(self._tps, LAG_CALL_MS).items():
                    self._ends[tp.partition] = end
        behind = {}
        for tp in self._tps:
            end = max(self._ends[tp.partition], self.consumer.highwater(tp) or 0)
            behind[tp.partition] = max(0, end - self.positions[tp.partition])
        waits = any(behind.values()) and self._written_ms > 0
        return behind, max(0.0, now_s - self._written_ms / 1000) if waits else 0.0

    def _note(self, number: int, entry: Entry) -> None:
        if isinstance(entry, Batch):
            self._times[number] = max(self._times[number], entry.watermark)
        elif isinstance(entry, Idle):
            self._times[number] = max(self._times[number], entry.time)
        elif isinstance(entry, End):
            self._times[number] = _OVER

    def _pace(self) -> None:
        slowest = min(self._times)
        if slowest == _OVER:
            return
        ahead = {tp for tp in self._tps if slowest + AHEAD_MS < self._times[tp.partition] < _OVER}
        paused = self.consumer.paused()
        if ahead - paused:
            self.consumer.pause(*(ahead - paused))
        if paused - ahead:
            self.consumer.resume(*(paused - ahead))

    @property
    def paused(self) -> int:
        """Partitions that wait for the others."""
        return len(self.consumer.paused())

    def close(self) -> None:
        close(self.consumer)


class BatchHead(msgspec.Struct, tag="batch", frozen=True):
    """A `Batch` without its observations."""

    partition: int
    partitions: int
    start: int
    end: int
    watermark: int


_decoder: Final = msgspec.msgpack.Decoder(BatchHead | Idle | End | Feedback)


@dataclass
class PartitionTail:
    """What the newest entries of one partition say."""

    watermark: int = NO_TIME
    """Highest watermark a batch or idle mark carries, ms."""
    covered: int = 0
    """Source offset up to which batches cover the partition, as far as these entries show."""
    idle: bool = False
    """Whether the newest batch or mark is an idle mark."""
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
        return self.covered > 0 or self.idle or self.ended is not None


class LogTail:
    """Newest entries of all partitions of `observations`, as of the last `refresh`."""

    def __init__(self, clients: Clients, topics: Topics, partitions: int) -> None:
        self._clients = clients
        self._topic = topics.observations
        self._tps = [TopicPartition(topics.observations, number) for number in range(partitions)]
        self._consumer: KafkaConsumer | None = None
        self.tails = [PartitionTail() for _ in range(partitions)]

    def refresh(self, deep: Collection[int] = ()) -> list[PartitionTail]:
        """Read what was written since the last time.

        Args:
            deep: partitions of which `DEEP_ENTRIES` entries are read, so that no end mark is missed.

        Raises:
            BrokerError: the broker is away.
            LogError: an entry that is none.
        """
        with self._clients.explained("reading the end of the observation log"):
            if self._consumer is None:
                self._consumer = self._clients.reader(records=DEEP_ENTRIES)
                self._consumer.assign(self._tps)
            firsts = self._consumer.beginning_offsets(self._tps, CALL_MS)
            ends = self._consumer.end_offsets(self._tps, CALL_MS)
            changed = []
            for tp, tail in zip(self._tps, self.tails, strict=True):
                tail.first = firsts[tp]
                if ends[tp] != tail.next:
                    changed.append(tp)
            depth = SHALLOW_ENTRIES
            while changed:
                starts = {
                    tp: max(firsts[tp], ends[tp] - (DEEP_ENTRIES if tp.partition in deep else depth)) for tp in changed
                }
                self._read(starts, ends)
                # Where there was nothing but decisions, look further back.
                depth *= 8
                changed = [tp for tp in changed if not self.tails[tp.partition].known and starts[tp] > firsts[tp]]
        return self.tails

    def _read(self, starts: dict[TopicPartition, int], ends: dict[TopicPartition, int]) -> None:
        consumer = self._consumer
        assert consumer is not None
        for tp in self._tps:
            # A client without a position for each of its partitions would refuse to poll at all. Nothing is paused:
            # see `POLL_ENTRIES`.
            tail = self.tails[tp.partition]
            start = starts.get(tp, ends[tp])
            consumer.seek(tp, max(start, min(tail.next, ends[tp])) if tail.known else start)
        deadline = time.monotonic() + READ_S
        while any(consumer.position(tp) < ends[tp] for tp in starts):
            if time.monotonic() > deadline:
                raise KafkaTimeoutError(f"the end of {self._topic} could not be read within {READ_S:.0f} s")
            for tp, records in consumer.poll(200).items():
                for record in records:
                    self._note(tp, record.offset, record.value)
        for tp in starts:
            self.tails[tp.partition].next = ends[tp]

    def _note(self, tp: TopicPartition, offset: int, value: bytes | None) -> None:
        tail = self.tails[tp.partition]
        try:
            entry = _decoder.decode(value or b"")
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise LogError(
                f"{self._topic}-{tp.partition}@{offset} is no entry of this version of the log: another program "
                "writes to the topic, or the log is of another release; choose another [kafka] topic_prefix"
            ) from error
        if isinstance(entry, BatchHead):
            tail.watermark = max(tail.watermark, entry.watermark)
            tail.covered = max(tail.covered, entry.end)
            tail.idle = False
        elif isinstance(entry, Idle):
            tail.watermark = max(tail.watermark, entry.time)
            tail.idle, tail.idle_at = True, entry.time
        elif isinstance(entry, End):
            tail.ended = entry.offset

    def forget(self) -> None:
        """Read everything anew at the next `refresh`: what was noted ahead of the log has not come to pass."""
        for number in range(len(self.tails)):
            self.tails[number] = PartitionTail()

    @property
    def all_ended(self) -> bool:
        """Whether every partition has its end mark."""
        return all(tail.ended is not None for tail in self.tails)

    def low(self, but: int) -> int:
        """Smallest watermark (ms) of the partitions other than `but` that are neither idle nor ended.

        `NO_TIME` where there is none: a partition nobody has written to yet holds nobody back here.
        """
        others = [
            tail.watermark
            for number, tail in enumerate(self.tails)
            if number != but and not tail.idle and tail.ended is None and tail.watermark != NO_TIME
        ]
        return min(others, default=NO_TIME)

    def close(self) -> None:
        close(self._consumer)
        self._consumer = None


@dataclass(frozen=True)
class SentRange:
    """One range of source offsets up to `end`, with everything that was written for it."""

    tp: TopicPartition
    end: int
    size: int
    clock: Any
    """The writer's watermark state after the range, to go back to."""
    futures: Sequence[FutureRecordMetadata]


class InFlight:
    """Ranges in flight, per partition of the source in order.

    A range is acknowledged when everything written for it and for the ranges before it is.
    """

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, deque[SentRange]] = {}
        self._bytes = 0

    def add(self, sent: SentRange) -> None:
        self._queues.setdefault(sent.tp, deque()).append(sent)
        self._bytes += sent.size

    def settle(self, limit: int, timeout_s: float) -> tuple[list[SentRange], BaseException | None]:
        """Take out what is acknowledged, waiting at most `timeout_s` until no more than `limit` bytes are in flight.

        Returns:
            The ranges newly acknowledged, in order within each partition, and the error of a send that failed: what is
            still in flight then has to be written again.
        """
        deadline = time.monotonic() + timeout_s
        done: list[SentRange] = []
        while True:
            failure = self._take(done)
            left = deadline - time.monotonic()
            if failure is not None or self._bytes <= limit or left <= 0:
                return done, failure
            waiting = next(queue[0] for queue in self._queues.values() if queue)
            future = next(future for future in waiting.futures if not future.is_done)
            with contextlib.suppress(KafkaError):
                future.get(timeout=left)

    def _take(self, done: list[SentRange]) -> BaseException | None:
        failure: BaseException | None = None
        for queue in self._queues.values():
            while queue and all(future.is_done for future in queue[0].futures):
                failed = next((future for future in queue[0].futures if future.failed()), None)
                if failed is not None:
                    failure = failed.exception
                    break
                done.append(queue.popleft())
                self._bytes -= done[-1].size
        return failure

    def clear(self) -> None:
        """Forget everything in flight: the source is read again from the last acknowledged offset."""
        self._queues.clear()
        self._bytes = 0

    def ahead(self, tp: TopicPartition) -> bool:
        """Whether anything of `tp` is in flight."""
        return bool(self._queues.get(tp))


class LogWriter:
    """One producer at a time and what it has in flight."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._topics = topics
        self._producer: KafkaProducer | None = None
        self._pending = InFlight()

    def ready(self) -> bool:
        """Make a producer where there is none; False while the broker is away."""
        if self._producer is None:
            try:
                self._producer = self._clients.producer()
            except BrokerError as error:
                log.warning("no producer for the observation log: %s", error)
                return False
        return True

    def write(
        self,
        tp: TopicPartition,
        end: int,
        clock: Watermark | None,
        entries: list[tuple[int, Entry]],
        letters: list[DeadLetter],
    ) -> bool:
        """Send what was seen in the source up to `end` of `tp`; False where the producer failed (see `settle`).

        Args:
            tp: partition of the source.
            end: source offset up to which `entries` and `letters` are complete.
            clock: the writer's watermark after them; None where the source is `feedback`.
            entries: (partition of the log, entry), in order.
            letters: records that could not be read.

        Raises:
            BrokerError: the broker will never take it.
        """
        producer = self._producer
        if producer is None:
            return False
        futures: list[FutureRecordMetadata] = []
        size = 0
        try:
            for letter in letters:
                key, value = letter.source.encode("utf-8", "replace"), dead_letter.encode(letter)
                futures.append(producer.send(self._topics.dead_letters, value, key=key))
                size += len(value)
            for partition, entry in entries:
                value = encode(entry)
                futures.append(producer.send(self._topics.observations, value, partition=partition))
                size += len(value)
        except KafkaError as error:
            self._give_up(error)
            return False
        self._pending.add(SentRange(tp, end, size, None if clock is None else clock.state(), futures))
        return True

    def settle(self, *, everything: bool, timeout_s: float) -> list[SentRange]:
        """What is newly acknowledged, after waiting until little enough (or nothing) is in flight.

        Where a send failed, `failed` is true afterwards, and all that was not acknowledged has to be read again.

        Raises:
            BrokerError: the broker will never take it.
        """
        if self._producer is None:
            return []
        done, failure = self._pending.settle(0 if everything else MOST_BYTES, timeout_s)
        if failure is not None:
            self._give_up(failure)
        return done

    @property
    def failed(self) -> bool:
        """Whether the last producer failed and `ready` has to make another."""
        return self._producer is None

    def ahead(self, tp: TopicPartition) -> bool:
        """Whether anything of `tp` is in flight."""
        return self._pending.ahead(tp)

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, PERMANENT_ERRORS):
            raise BrokerError(
                f"the broker refuses what is written to {self._topics.observations} or {self._topics.dead_letters}: "
                f"{type(error).__name__}; check max.message.bytes and the ACLs of these topics (explanation/kafka.md)"
            ) from error
        log.warning(
            "a send to the observation log failed (%s): resuming after what was acknowledged", type(error).__name__
        )
        close(self._producer, 1.0)
        self._producer = None
        self._pending.clear()

    def close(self) -> None:
        close(self._producer)
        self._producer = None
