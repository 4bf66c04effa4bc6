"""The input of `score`: a member of a consumer group that says exactly which source offsets it has been given.

A poll gives ranges [start, end) from the consumer's position before and after it, so that offsets without a record
(transaction markers, compaction) are covered too. Where retention was faster than we, the range says so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from detector.errors import LogError
from streaming.kafka.clients import CALL_MS, Clients, close
from streaming.kafka.membership import Membership

log = logging.getLogger(__name__)

COMMIT_MS: Final = 5_000
"""A commit that takes longer is tried again later; only repeated work depends on it."""

LOST_MEMBERSHIP: Final = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)


@dataclass
class Taken:
    """What one poll gave of one partition: `records` of source offsets [start, end), after a hole of `hole` offsets."""

    place: TopicPartition
    start: int
    end: int
    hole: int
    records: list[Any] = field(repr=False)


class Source:
    """One member of the group that shares the partitions of some topics. Never polls beyond what it can account for."""

    def __init__(self, clients: Clients, group: str, topics: list[str], records: int) -> None:
        self._clients = clients
        self._membership = Membership()
        self._handled = -1
        self._consumer: KafkaConsumer = clients.member(group, records)
        clients.subscribe(self._consumer, topics, self._membership)
        self._holes: dict[TopicPartition, int] = {}
        self._astray = False
        self.next: dict[TopicPartition, int] = {}
        """Next source offset of every partition that this member owns."""
        self.committed: dict[TopicPartition, int] = {}
        """What the group had committed when the partition came here, 0 where nothing."""
        self._written_ms = 0

    def poll(self, timeout_ms: int) -> list[Taken]:
        """What came. An empty answer says nothing: while the broker is away there is no error here.

        Raises:
            LogError: a topic ends before what has been read of it.
            BrokerError: the broker refuses.
        """
        records: dict[TopicPartition, list[Any]] = {}
        with self._clients.explained("reading posts"):
            try:
                records = self._consumer.poll(timeout_ms)
            except NoOffsetForPartitionError:
                # The client found a new partition before `_take_over` could place it; nothing was read.
                self._astray = True
            except (OffsetOutOfRangeError, LogTruncationError):
                self._out_of_range()
            if self._membership.version != self._handled:
                # What this poll gave may belong to another assignment; the positions below make it come again.
                self._take_over()
                return []
            if self._astray:
                self._place(self.next)
                return []
            return [taken for place in self.next if (taken := self._taken(place, records.get(place, []))) is not None]

    def age_s(self, now_s: float) -> float:
        """Seconds since the newest record that was read was written; 0 where none was."""
        return max(0.0, now_s - self._written_ms / 1000) if self._written_ms else 0.0

    def _taken(self, place: TopicPartition, records: list[Any]) -> Taken | None:
        try:
            position = self._consumer.position(place, CALL_MS)
        except IllegalStateError:
            return None
        start = self.next[place]
        if position is None or position <= start:
            return None
        self.next[place] = position
        kept = [record for record in records if record.offset >= start]
        if kept:
            self._written_ms = max(self._written_ms, kept[-1].timestamp or 0)
        return Taken(place, start, position, self._holes.pop(place, 0), kept)

    def _take_over(self) -> None:
        version, settled = self._membership.version, self._membership.settled
        owned = self._membership.assigned if settled else frozenset()
        try:
            # A partition that stays goes on where it is: everything before that was written by this process.
            offsets = {place: self.next[place] if place in self.next else self._committed(place) for place in owned}
        except KafkaTimeoutError:
            log.warning("the broker does not say where to go on; trying again")
            return
        self._holes = {place: hole for place, hole in self._holes.items() if place in owned}
        self.next = offsets
        self._place(offsets)
        if settled and self._membership.version == version:
            self._handled = version
            if owned:
                log.info("owns %d partitions", len(owned))

    def _committed(self, place: TopicPartition) -> int:
        committed: int | None = self._consumer.committed(place, timeout_ms=CALL_MS)
        self.committed[place] = committed or 0
        return self._inside(place, committed or 0)

    def _inside(self, place: TopicPartition, offset: int) -> int:
        """`offset`, or the first one there still is, with the hole noted."""
        first = self._consumer.beginning_offsets([place], CALL_MS)[place]
        end = self._consumer.end_offsets([place], CALL_MS)[place]
        if offset > end:
            raise LogError(
                f"{place.topic}-{place.partition} ends at {end}, but was read up to {offset} before: the topic was "
                "recreated or its broker lost data; start over under another [kafka] topic_prefix"
            )
        if offset < first:
            self._holes[place] = self._holes.get(place, 0) + first - offset
            log.error("retention removed %d records of %s-%d unread", first - offset, place.topic, place.partition)
            return int(first)
        return offset

    def _out_of_range(self) -> None:
        try:
            self.next = {place: self._inside(place, offset) for place, offset in self.next.items()}
        except KafkaTimeoutError:
            log.warning("the broker does not say what it still has; trying again")
        self._astray = True

    def _place(self, offsets: dict[TopicPartition, int]) -> None:
        self._astray = False
        for place, offset in offsets.items():
            try:
                self._consumer.seek(place, offset)
            except ValueError:
                # Taken away in this very moment; the next poll sees the new assignment.
                self._astray = True

    @property
    def settled(self) -> bool:
        """Whether the present assignment is known and acted upon."""
        return self._membership.settled and self._membership.version == self._handled

    def go_back(self, offsets: dict[TopicPartition, int]) -> None:
        """Read these partitions again from these offsets."""
        for place in offsets.keys() & self.next.keys():
            self.next[place] = offsets[place]
            self._holes.pop(place, None)
        self._place(self.next)

    def ends(self, places: list[TopicPartition]) -> dict[TopicPartition, int] | None:
        """End offsets as the broker says now; None while it is away."""
        try:
            ends: dict[TopicPartition, int] = self._consumer.end_offsets(places, CALL_MS)
        except KafkaError:
            return None
        return ends

    def commit(self, offsets: dict[TopicPartition, int]) -> bool:
        """Commit next offsets; False where it did not work, which costs repeated work at most."""
        wanted = {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items() if place in self.next}
        if not wanted:
            return True
        try:
            self._consumer.commit(wanted, timeout_ms=COMMIT_MS)
        except LOST_MEMBERSHIP:
            log.info("the group was just dealt anew: offsets are committed by whoever goes on")
            return False
        except KafkaError as error:
            log.warning("offsets could not be committed (%s); trying again", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        """Leave the group."""
        close(self._consumer)
