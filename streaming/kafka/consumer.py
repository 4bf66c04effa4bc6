"""What a consumer group has given to this process.

The input of `score`: a member of a consumer group that says exactly which source offsets it has been given.

A poll gives ranges [start, end) from the consumer's position before and after it, so that offsets without a record
(transaction markers, compaction) are covered too. Where retention was faster than we, the range says so.

What a partition says by saying nothing: that it is silent, or that it is over.

Silence begins when everything the broker has of a partition has been read. While the broker does not answer, nothing is
known, and no time counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
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

from detector.errors import BrokerError, LogError
from streaming.config import Config
from streaming.health import Health
from streaming.kafka.client import CALL_MS, Clients, Topics, close
from streaming.kafka.log import LogTail, Writer
from streaming.schema.observation import NO_TIME, Idle
from streaming.watermark import Watermark
from streaming.worker_metrics import Metrics


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what the group assigns. Its methods run on the client's own thread, so they do no more than that.

    `version` counts what happened: who acts on an assignment compares it before and after. `lost` says that the group
    has thrown us out, and may have given to others what was ours.
    """

    def __init__(self) -> None:
        self.version = 0
        self.settled = False
        self.lost = False
        self.assigned: frozenset[TopicPartition] = frozenset()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.assigned -= frozenset(revoked)
        self.settled = False
        self.version += 1

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.lost = True
        self.on_partitions_revoked(lost)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned |= frozenset(assigned)
        self.settled = True
        self.version += 1


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


MARK_EVERY_S: Final = 1.0
"""How often the ends of the others are looked at while one of ours is silent: a backlog of theirs may run through an
hour of event time meanwhile, and what waits for our mark waits no longer than this."""


class Quiet:
    """Since when each partition has been read to its end. Pure; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._since: dict[TopicPartition, float] = {}

    def heard(self, place: TopicPartition) -> None:
        """Something came, or it is not known whether all was read."""
        self._since.pop(place, None)

    def at_end(self, place: TopicPartition, now: float) -> None:
        """The broker says that everything of `place` has been read."""
        self._since.setdefault(place, now)

    def keep(self, places: Collection[TopicPartition]) -> None:
        """Only these are ours from here on."""
        self._since = {place: since for place, since in self._since.items() if place in places}

    def lasts(self, place: TopicPartition, now: float) -> float:
        """Seconds that `place` has been quiet; -1 where it is not."""
        since = self._since.get(place)
        return -1.0 if since is None else now - since


class Silence:
    """Writes idle marks, and says which partitions are due for their end mark."""

    def __init__(
        self,
        source: Source,
        writer: Writer,
        tail: LogTail,
        topics: Topics,
        config: Config,
        *,
        exit_s: float | None,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._source, self._writer, self._tail, self._posts = source, writer, tail, topics.posts
        self._partitions = len(tail.tails)
        self._tick_ms = config.tick_s * 1000
        self._idle_s, self._exit_s = config.idle_partition_s, exit_s
        self._metrics, self._health = metrics, health
        self._quiet = Quiet()
        self._marked_at = float("-inf")

    def heard(self, place: TopicPartition) -> None:
        """Something came of `place`."""
        self._quiet.heard(place)

    def keep(self, places: Collection[TopicPartition]) -> None:
        """Only these are ours from here on."""
        self._quiet.keep(places)

    def look(
        self, now: float, clocks: Mapping[TopicPartition, Watermark], ended: Collection[TopicPartition]
    ) -> list[TopicPartition]:
        """Ask the broker where our partitions end; mark those long silent, and return those that are over.

        Args:
            clocks: the watermarks of our partitions of `posts`; an idle mark raises its partition's.
            ended: those whose log is closed already.
        """
        places = list(self._source.next)
        ends = self._source.ends(places) if places else {}
        self._metrics.broker(ends is not None)
        if ends is None:
            self._quiet.keep(())
            return []
        if ends:
            self._health.heard(now)
        lag = {place: ends[place] - self._source.next[place] for place in places}
        for place, behind in lag.items():
            if behind > 0:
                self._quiet.heard(place)
            else:
                self._quiet.at_end(place, now)
        waiting = {place.partition: lag[place] for place in clocks if place in lag}
        self._metrics.lag("score", waiting, self._source.age_s(time.time()) if any(waiting.values()) else 0.0)
        over, silent = [], []
        for place in sorted(clocks):
            quiet_s = self._quiet.lasts(place, now)
            if place in ended or quiet_s < 0:
                continue
            if self._exit_s is not None and quiet_s >= self._exit_s and self._decided(place, now):
                over.append(place)
            elif self._idle_s and quiet_s >= self._idle_s:
                silent.append(place)
        if silent and now - self._marked_at >= MARK_EVERY_S:
            self._marked_at = now
            self._mark(silent, clocks)
        return over

    def _decided(self, place: TopicPartition, now: float) -> bool:
        """Whether the decisions that go into the log of `place` are read to their end as well."""
        return all(
            self._quiet.lasts(other, now) >= 0
            for other in self._source.next
            if other.topic != self._posts and other.partition % self._partitions == place.partition
        )

    def _mark(self, silent: list[TopicPartition], clocks: Mapping[TopicPartition, Watermark]) -> None:
        """Their watermarks become the smallest one of the partitions that are not silent, as the log shows it.

        Repeated each tick of that time; where all are silent, nothing is written and the last events wait.
        """
        try:
            tails = self._tail.refresh()
        except BrokerError as error:
            log.warning("%s", error)
            return
        for place in silent:
            low, own = self._tail.low(place.partition), tails[place.partition]
            if low == NO_TIME or self._writer.ahead(place):
                continue
            if own.silent and low // self._tick_ms <= own.idle_at // self._tick_ms:
                continue
            offset, clock = self._source.next[place], clocks[place]
            clock.raise_to(low)
            mark = Idle(place.partition, self._partitions, offset, low)
            if not self._writer.write(place, offset, clock, [(place.partition, mark)], []):
                return
            # The next of ours sees this one silent, as it would if another worker owned it.
            own.silent, own.idle_at = True, low
