"""Reads the observation log, all partitions, in any order between them and in order within each.

A partition that has been read far ahead of the slowest one in event time is paused: its events could only wait in
memory for the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from detector.errors import LogError
from streaming.kafka.clients import CALL_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.observations import NO_TIME, Batch, End, Entry, Idle, decode

AHEAD_MS: Final = 600_000
"""Event time that a partition may be read ahead of the slowest: ten minutes of events fit into memory anywhere."""

POLL_ENTRIES: Final = 1_000_000
"""Entries per poll: all that a fetch brought. kafka-python 3.0.12 can lose sight of the rest of a partition's records
that were fetched, in part handed out, and then paused: it waits for them for ever."""

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
        """Go on from these offsets."""
        self.positions = list(positions)
        self._times = [NO_TIME] * len(positions)
        for place, offset in zip(self._places, positions, strict=True):
            self.consumer.seek(place, offset)
        self.consumer.resume(*self._places)

    def poll(self, timeout_ms: int) -> Iterator[Entry]:
        """The next entries, as they come; none while the broker is away. `positions` moves on with each.

        Raises:
            BrokerError: the broker refuses.
            LogError: a record that is no entry, or retention or truncation has removed what was not yet read.
        """
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
            for record in records:
                try:
                    entry = decode(record.value or b"")
                except LogError as error:
                    raise LogError(f"{place.topic}-{place.partition}@{record.offset}: {error}") from error
                self.positions[place.partition] = record.offset + 1
                self._written_ms = max(self._written_ms, record.timestamp or 0)
                self._note(place.partition, entry)
                yield entry
        self._pace()

    def lag(self, now_s: float) -> tuple[dict[int, int], float]:
        """Entries not yet handed out per partition, as far as the broker has told, and how old the newest read one is.

        The age, in seconds, is 0 where nothing waits: a stream may be silent.
        """
        behind = {
            place.partition: max(0, (self.consumer.highwater(place) or 0) - self.positions[place.partition])
            for place in self._places
        }
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
