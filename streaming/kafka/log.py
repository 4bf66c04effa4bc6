"""Reads the observation log, all partitions, in any order between them and in order within each.

A partition that has been read far ahead of the slowest one in event time is paused: its events could only wait in
memory for the others.

The end of the observation log, partition by partition: what its newest entries say without reading the whole log.

`score` needs it to go on from another worker's watermark, to see who is silent, and to see that a log is closed. Only
the heads of batches are decoded.

What was sent and is not yet acknowledged, in order, so that offsets are committed only behind it.

Writes the observation log and the dead letters, and survives what happens to a producer.

After any error an idempotent producer is of no use any more: it is closed, another is made, and the caller reads again
from what was acknowledged. What was written twice says the same, and `assess` drops it.
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


class LogReader:
    """All partitions of `observations`, assigned by hand.

    `consumer` is in the group of `assess` without being a member, so that positions can be committed in transactions.
    """

    def __init__(self, clients: Clients, topics: Topics, partitions: int) -> None:
        self._clients = clients
        self._topic = topics.observations
        self._places = [TopicPartition(topics.observations, number) for number in range(partitions)]
        self.consumer: KafkaConsumer = clients.reader(group=topics.assess_group, records=POLL_ENTRIES)
        self.consumer.assign(self._places)
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
            firsts = self.consumer.beginning_offsets(self._places, CALL_MS)
            ends = self.consumer.end_offsets(self._places, CALL_MS)
        return [firsts[place] for place in self._places], [ends[place] for place in self._places]

    def seek(self, positions: list[int]) -> None:
        """Go on from these offsets; what was fetched and not yet handed out is read again."""
        self._fetched.clear()
        self.positions = list(positions)
        self._times = [NO_TIME] * len(positions)
        for place, offset in zip(self._places, positions, strict=True):
            self.consumer.seek(place, offset)
        self.consumer.resume(*self._places)

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
        for place, records in polled.items():
            self._fetched.extend((place.partition, record) for record in records)

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
                for place, end in self.consumer.end_offsets(self._places, LAG_CALL_MS).items():
                    self._ends[place.partition] = end
        behind = {}
        for place in self._places:
            end = max(self._ends[place.partition], self.consumer.highwater(place) or 0)
            behind[place.partition] = max(0, end - self.positions[place.partition])
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
        ahead = {place for place in self._places if slowest + AHEAD_MS < self._times[place.partition] < _OVER}
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


MOST_BYTES: Final = 32 << 20
"""Unacknowledged bytes at most. The client itself would buffer without bound while the broker is away."""


@dataclass(frozen=True)
class Sent:
    """One range of source offsets up to `end`, with everything that was written for it."""

    place: TopicPartition
    end: int
    size: int
    clock: Any
    """The writer's watermark state after the range, to go back to."""
    futures: Sequence[FutureRecordMetadata]


class Pending:
    """Ranges in flight, per partition of the source in order.

    A range is acknowledged when everything written for it and for the ranges before it is.
    """

    def __init__(self) -> None:
        self._queues: dict[TopicPartition, deque[Sent]] = {}
        self._bytes = 0

    def add(self, sent: Sent) -> None:
        self._queues.setdefault(sent.place, deque()).append(sent)
        self._bytes += sent.size

    def settle(self, limit: int, timeout_s: float) -> tuple[list[Sent], BaseException | None]:
        """Take out what is acknowledged, waiting at most `timeout_s` until no more than `limit` bytes are in flight.

        Returns:
            The ranges newly acknowledged, in order within each partition, and the error of a send that failed: what is
            still in flight then has to be written again.
        """
        deadline = time.monotonic() + timeout_s
        done: list[Sent] = []
        while True:
            failure = self._take(done)
            left = deadline - time.monotonic()
            if failure is not None or self._bytes <= limit or left <= 0:
                return done, failure
            waiting = next(queue[0] for queue in self._queues.values() if queue)
            future = next(future for future in waiting.futures if not future.is_done)
            with contextlib.suppress(KafkaError):
                future.get(timeout=left)

    def _take(self, done: list[Sent]) -> BaseException | None:
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

    def ahead(self, place: TopicPartition) -> bool:
        """Whether anything of `place` is in flight."""
        return bool(self._queues.get(place))


log = logging.getLogger(__name__)

HOPELESS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
"""Errors that trying again does not mend."""


class Writer:
    """One producer at a time and what it has in flight."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._topics = topics
        self._producer: KafkaProducer | None = None
        self._pending = Pending()

    def ready(self) -> bool:
        """Make a producer where there is none; False while the broker is away."""
        if self._producer is None:
            try:
                self._producer = self._clients.producer()
            except BrokerError as error:
                log.warning("%s", error)
                return False
        return True

    def write(
        self,
        place: TopicPartition,
        end: int,
        clock: Watermark | None,
        entries: list[tuple[int, Entry]],
        letters: list[DeadLetter],
    ) -> bool:
        """Send what was seen in the source up to `end` of `place`; False where the producer failed (see `settle`).

        Args:
            entries: (partition of the log, entry), in order.
            clock: the writer's watermark after them.

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
        self._pending.add(Sent(place, end, size, None if clock is None else clock.state(), futures))
        return True

    def settle(self, *, all_of_it: bool, timeout_s: float) -> list[Sent]:
        """What is newly acknowledged, after waiting until little enough (or nothing) is in flight.

        Where a send failed, `failed` is true afterwards, and all that was not acknowledged has to be read again.

        Raises:
            BrokerError: the broker will never take it.
        """
        if self._producer is None:
            return []
        done, failure = self._pending.settle(0 if all_of_it else MOST_BYTES, timeout_s)
        if failure is not None:
            self._give_up(failure)
        return done

    @property
    def failed(self) -> bool:
        """Whether the last producer failed and `ready` has to make another."""
        return self._producer is None

    def ahead(self, place: TopicPartition) -> bool:
        """Whether anything of `place` is in flight."""
        return self._pending.ahead(place)

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, HOPELESS):
            raise BrokerError(
                f"the broker refuses what is written to {self._topics.observations} or {self._topics.dead_letters}: "
                f"{type(error).__name__}; check max.message.bytes and the ACLs of these topics (explanation/kafka.md)"
            ) from error
        log.warning("a send failed (%s): writing again from what was acknowledged", type(error).__name__)
        close(self._producer, 1.0)
        self._producer = None
        self._pending.clear()

    def close(self) -> None:
        close(self._producer)
        self._producer = None
