"""The input of `score`: a member of a consumer group that knows exactly which source offsets it was given.

`InputConsumer.poll` returns ranges [start, end) from the consumer's position before and after the poll, so that offsets
without a record (transaction markers, compaction) are covered too; where retention removed records unread, the range
says how many (an offset gap). `IdlePartitions` writes idle marks for partitions that have been read to their end and
get nothing more, and says which of them have ended. While the broker does not answer, nothing is known and no time
counts.
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
from streaming.kafka.log import LogTail, LogWriter
from streaming.schema.observation import NO_TIME, Idle
from streaming.watermark import Watermark
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

COMMIT_MS: Final = 5_000
"""A commit that takes longer is tried again later; only repeated work depends on it."""

LOST_MEMBERSHIP: Final = (
    CommitFailedError,
    IllegalGenerationError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

MARK_EVERY_S: Final = 1.0
"""How often the ends of the others are read while one of ours is idle: a backlog of theirs may run through an
hour of event time meanwhile, and what waits for our mark waits no longer than this."""


UNSETTLED_S: Final = 60.0
"""Longest time in which a member knows no assignment, or two session timeouts where those are longer: the others wait
for one that died for one of them. kafka-python 3.0.12 can join a group and lose the assignment, when the broker comes
back while partitions are dealt out anew: it then takes itself for a member for ever and reads nothing."""


class GroupAssignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """What the group has assigned to this process. Methods run on the client's own thread, so they only take notes.

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


@dataclass
class SourceRange:
    """What one poll gave of one partition: `records` of offsets [start, end), after `gap` lost ones."""

    tp: TopicPartition
    start: int
    end: int
    gap: int
    records: list[Any] = field(repr=False)


class InputConsumer:
    """One member of the group that shares the partitions of some topics; every offset it polls is accounted for.

    Args:
        clients: makes the consumer.
        group: the consumer group.
        topics: topics whose partitions the group shares.
        records: records a poll returns at most.
        begins: where the group has committed nothing: None where what retention has removed of a topic is missed, as
            the group should have read it; else topic -> ms since 1970 of what it begins with, and with what there is of
            the topics not in it.
    """

    def __init__(
        self,
        clients: Clients,
        group: str,
        topics: list[str],
        records: int,
        begins: Mapping[str, int] | None = None,
    ) -> None:
        self._clients, self._begins = clients, begins
        self._group, self._topics, self._records = group, topics, records
        self._unsettled_s = max(UNSETTLED_S, 2 * clients.session_ms / 1000)
        self._consumer: KafkaConsumer
        self._join()
        self._offset_gaps: dict[TopicPartition, int] = {}
        self.next: dict[TopicPartition, int] = {}
        """Next source offset of every partition that this member owns."""
        self.committed: dict[TopicPartition, int] = {}
        """What the group had committed when the partition came here, 0 where nothing."""
        self._written_ms = 0

    def _join(self) -> None:
        """Become a member of the group, with nothing known of an assignment."""
        membership = GroupAssignment()
        consumer = self._clients.member(self._group, self._records, gather=True)
        self._clients.subscribe(consumer, self._topics, membership)
        self._consumer, self._membership, self._handled = consumer, membership, -1
        self._needs_seek = False
        self._settled_at = time.monotonic()

    def _watch_membership(self) -> None:
        """Join anew where no assignment has come for too long.

        Raises:
            BrokerError: the broker is away.
        """
        now = time.monotonic()
        if self.settled:
            self._settled_at = now
        elif now - self._settled_at > self._unsettled_s:
            log.warning("no assignment from %s for %.0f s: joining it anew", self._group, now - self._settled_at)
            old = self._consumer
            self._join()
            self.next = {}
            close(old, 1.0)

    def poll(self, timeout_ms: int) -> list[SourceRange]:
        """What came. An empty answer says nothing: while the broker is away there is no error here.

        Raises:
            LogError: a topic ends before what has been read of it.
            BrokerError: the broker refuses.
        """
        self._watch_membership()
        records: dict[TopicPartition, list[Any]] = {}
        with self._clients.explained("reading posts"):
            try:
                records = self._consumer.poll(timeout_ms)
            except NoOffsetForPartitionError:
                # The client found a new partition before `_apply_assignment` could seek it; nothing was read.
                self._needs_seek = True
            except (OffsetOutOfRangeError, LogTruncationError):
                self._out_of_range()
            if self._membership.version != self._handled:
                # What this poll gave may belong to another assignment; the positions below make it come again.
                self._apply_assignment()
                return []
            if self._needs_seek:
                self._place(self.next)
                return []
            return [taken for tp in self.next if (taken := self._taken(tp, records.get(tp, []))) is not None]

    def age_s(self, now_s: float) -> float:
        """Seconds since the newest record that was read was written; 0 where none was."""
        return max(0.0, now_s - self._written_ms / 1000) if self._written_ms else 0.0

    def _taken(self, tp: TopicPartition, records: list[Any]) -> SourceRange | None:
        try:
            position = self._consumer.position(tp, CALL_MS)
        except IllegalStateError:
            return None
        start = self.next[tp]
        if position is None or position <= start:
            return None
        self.next[tp] = position
        kept = [record for record in records if record.offset >= start]
        if kept:
            self._written_ms = max(self._written_ms, kept[-1].timestamp or 0)
        return SourceRange(tp, start, position, self._offset_gaps.pop(tp, 0), kept)

    def _apply_assignment(self) -> None:
        version, settled = self._membership.version, self._membership.settled
        owned = self._membership.assigned if settled else frozenset()
        try:
            # A partition that stays goes on where it is: everything before that was written by this process.
            offsets = {tp: self.next[tp] if tp in self.next else self._committed(tp) for tp in owned}
        except KafkaTimeoutError:
            log.warning("the committed offsets of the new partitions could not be read in time; trying again")
            return
        self._offset_gaps = {tp: gap for tp, gap in self._offset_gaps.items() if tp in owned}
        self.next = offsets
        self._place(offsets)
        if settled and self._membership.version == version:
            self._handled = version
            if owned:
                log.info("owns %d partitions of its input topics", len(owned))

    def _committed(self, tp: TopicPartition) -> int:
        committed: int | None = self._consumer.committed(tp, timeout_ms=CALL_MS)
        self.committed[tp] = committed or 0
        if committed is None and self._begins is not None:
            return self._begin(tp, self._begins.get(tp.topic))
        return self._clamped(tp, committed or 0)

    def _begin(self, tp: TopicPartition, since_ms: int | None) -> int:
        """The first offset there is, or of what was written since; the end where nothing was."""
        if since_ms is None:
            return int(self._consumer.beginning_offsets([tp], CALL_MS)[tp])
        found = self._consumer.offsets_for_times({tp: since_ms}, CALL_MS).get(tp)
        return int(self._consumer.end_offsets([tp], CALL_MS)[tp] if found is None else found.offset)

    def _clamped(self, tp: TopicPartition, offset: int) -> int:
        """`offset`, or the first one there still is, with the gap noted."""
        first = self._consumer.beginning_offsets([tp], CALL_MS)[tp]
        end = self._consumer.end_offsets([tp], CALL_MS)[tp]
        if offset > end:
            raise LogError(
                f"{tp.topic}-{tp.partition} ends at {end}, but was read up to {offset} before: the topic was "
                "recreated or its broker lost data; start over under another [kafka] topic_prefix"
            )
        if offset < first:
            self._offset_gaps[tp] = self._offset_gaps.get(tp, 0) + first - offset
            log.error("retention removed %d records of %s-%d unread", first - offset, tp.topic, tp.partition)
            return int(first)
        return offset

    def _out_of_range(self) -> None:
        try:
            self.next = {tp: self._clamped(tp, offset) for tp, offset in self.next.items()}
        except KafkaTimeoutError:
            log.warning("the bounds of partitions with lost offsets could not be read in time; trying again")
        self._needs_seek = True

    def _place(self, offsets: dict[TopicPartition, int]) -> None:
        self._needs_seek = False
        for tp, offset in offsets.items():
            try:
                self._consumer.seek(tp, offset)
            except ValueError:
                # Revoked in this very moment; the next poll sees the new assignment.
                self._needs_seek = True

    @property
    def settled(self) -> bool:
        """Whether the present assignment is known and acted upon."""
        return self._membership.settled and self._membership.version == self._handled

    def rewind(self, offsets: dict[TopicPartition, int]) -> None:
        """Read these partitions again from these offsets."""
        for tp in offsets.keys() & self.next.keys():
            self.next[tp] = offsets[tp]
            self._offset_gaps.pop(tp, None)
        self._place(self.next)

    def ends(self, tps: list[TopicPartition]) -> dict[TopicPartition, int] | None:
        """End offsets as the broker says now; None while it is away."""
        try:
            ends: dict[TopicPartition, int] = self._consumer.end_offsets(tps, CALL_MS)
        except KafkaError:
            return None
        return ends

    def commit(self, offsets: dict[TopicPartition, int]) -> bool:
        """Commit next offsets; False where it did not work, which costs repeated work at most."""
        wanted = {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in offsets.items() if tp in self.next}
        if not wanted:
            return True
        try:
            self._consumer.commit(wanted, timeout_ms=COMMIT_MS)
        except LOST_MEMBERSHIP:
            log.info("the group has just reassigned its partitions: their new owners commit the offsets")
            return False
        except KafkaError as error:
            log.warning("offsets could not be committed (%s); trying again", type(error).__name__)
            return False
        return True

    def close(self) -> None:
        """Leave the group."""
        close(self._consumer)


class CaughtUp:
    """Since when each partition has been read to its end. No I/O; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._since: dict[TopicPartition, float] = {}

    def heard(self, tp: TopicPartition) -> None:
        """Records came, or it is not known whether all were read."""
        self._since.pop(tp, None)

    def at_end(self, tp: TopicPartition, now: float) -> None:
        """The broker says that everything of `tp` has been read."""
        self._since.setdefault(tp, now)

    def keep(self, tps: Collection[TopicPartition]) -> None:
        """Forget all partitions but these."""
        self._since = {tp: since for tp, since in self._since.items() if tp in tps}

    def seconds_idle(self, tp: TopicPartition, now: float) -> float:
        """Seconds since `tp` was read to its end without anything new; -1 where something is left to read."""
        since = self._since.get(tp)
        return -1.0 if since is None else now - since


class IdlePartitions:
    """Writes idle marks, and says which partitions are due for their end mark.

    Args:
        source: says what this process owns, and asks the broker for the ends.
        writer: writes the idle marks.
        tail: newest entries of the log, for the watermarks of the other partitions.
        topics: names; only partitions of `posts` get marks.
        config: the tick, and `idle_partition_s`.
        exit_s: seconds after which an idle partition is over; None: never.
        metrics: told of the lag and of the broker.
        health: told when the broker answers.
    """

    def __init__(
        self,
        source: InputConsumer,
        writer: LogWriter,
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
        self._caught_up = CaughtUp()
        self._marked_at = float("-inf")

    def heard(self, tp: TopicPartition) -> None:
        """Records of `tp` came."""
        self._caught_up.heard(tp)

    def keep(self, tps: Collection[TopicPartition]) -> None:
        """Forget all partitions but these."""
        self._caught_up.keep(tps)

    def check(
        self, now: float, clocks: Mapping[TopicPartition, Watermark], ended: Collection[TopicPartition]
    ) -> list[TopicPartition]:
        """Ask the broker where our partitions end; mark those that are idle, and return those that are over.

        Args:
            now: seconds, monotonic.
            clocks: the watermarks of our partitions of `posts`; an idle mark raises its partition's.
            ended: those whose log is closed already.
        """
        tps = list(self._source.next)
        ends = self._source.ends(tps) if tps else {}
        self._metrics.broker(ends is not None)
        if ends is None:
            self._caught_up.keep(())
            return []
        if ends or not tps:  # who owns nothing has nothing to ask
            self._health.heard(now, "score")
        lag = {tp: ends[tp] - self._source.next[tp] for tp in tps}
        for tp, behind in lag.items():
            if behind > 0:
                self._caught_up.heard(tp)
            else:
                self._caught_up.at_end(tp, now)
        waiting = {tp.partition: lag[tp] for tp in clocks if tp in lag}
        self._metrics.lag("score", waiting, self._source.age_s(time.time()) if any(waiting.values()) else 0.0)
        over, idle = [], []
        for tp in sorted(clocks):
            quiet_s = self._caught_up.seconds_idle(tp, now)
            if tp in ended or quiet_s < 0:
                continue
            if self._exit_s is not None and quiet_s >= self._exit_s and self._decided(tp, now):
                over.append(tp)
            elif self._idle_s and quiet_s >= self._idle_s:
                idle.append(tp)
        if idle and now - self._marked_at >= MARK_EVERY_S:
            self._marked_at = now
            self._mark(idle, clocks)
        return over

    def _decided(self, tp: TopicPartition, now: float) -> bool:
        """Whether the decisions that go into the log of `tp` are read to their end as well."""
        return all(
            self._caught_up.seconds_idle(other, now) >= 0
            for other in self._source.next
            if other.topic != self._posts and other.partition % self._partitions == tp.partition
        )

    def _mark(self, idle: list[TopicPartition], clocks: Mapping[TopicPartition, Watermark]) -> None:
        """Their watermarks become the smallest one of the partitions that are not idle, as the log shows it.

        Repeated each tick of that time; where all are idle, nothing is written and the last events wait.
        """
        try:
            tails = self._tail.refresh()
        except BrokerError as error:
            log.warning("no idle mark was written: %s", error)
            return
        for tp in idle:
            low, own = self._tail.low(tp.partition), tails[tp.partition]
            if low == NO_TIME or self._writer.ahead(tp):
                continue
            if own.idle and low // self._tick_ms <= own.idle_at // self._tick_ms:
                continue
            offset, clock = self._source.next[tp], clocks[tp]
            clock.raise_to(low)
            mark = Idle(tp.partition, self._partitions, offset, low)
            if not self._writer.write(tp, offset, clock, [(tp.partition, mark)], []):
                return
            # The next of ours sees this one idle, as it would if another worker owned it.
            own.idle, own.idle_at = True, low
