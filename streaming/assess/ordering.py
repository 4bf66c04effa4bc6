"""From several logs in any interleaving to one order: what came, what came too late, and what has to wait.

Each partition of `posts` has its own clock and its next source offset, and both follow from its own records alone. An
accepted event waits in the bucket of its tick until the clocks of all partitions have passed the tick; then nothing
earlier can come any more, and the bucket is sorted.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from detector.errors import LogError
from streaming.schema.observation import NO_TIME, Batch, End, Entry, Feedback, Idle, Observation
from streaming.watermark import Watermark

NO_END: Final = 2**62
"""The watermark of a partition that is over, in ms: later than every event."""


ANYWHERE: Final = -1
"""In place of the next source offset: that of whatever comes first, where a log is not read from its beginning."""


class Counts(msgspec.Struct):
    """What became of the records, and what was wrong with the log.

    Args:
        accepted: records that took effect.
        duplicate: records of an event that was seen before.
        late: records behind their partition's watermark.
        dead: records that are no event.
        offset_gap_records: source offsets that retention removed before anybody read them.
        offset_gaps: how often that happened.
        gaps: batches ignored because they begin beyond the next offset without saying that retention removed it.
        repeated: batches that said nothing new.
        revised: of the accepted records those that are edits of an earlier one.
    """

    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0
    offset_gap_records: int = msgspec.field(default=0, name="hole_records")
    offset_gaps: int = msgspec.field(default=0, name="holes")
    gaps: int = 0
    repeated: int = 0
    revised: int = 0

    @property
    def settled(self) -> int:
        """Records whose outcome is known; the others wait for their turn."""
        return self.accepted + self.duplicate + self.late + self.dead


class PartitionState(msgspec.Struct):
    """One partition of `posts` as its log shows it.

    Args:
        watermark: its clock.
        next_offset: the source offset that its next new record has; `ANYWHERE` before the first of a log that is not
            read from its beginning.
        ended: whether its end mark came.
        refused: where the log went on beyond `next_offset` without saying why, -1 where it did not. What lies between
            may still come: a worker that was replaced can write behind its successor.
    """

    watermark: Watermark
    next_offset: int = 0
    ended: bool = False
    refused: int = -1

    @property
    def time(self) -> int:
        """The watermark, ms; `NO_END` after the end mark."""
        return NO_END if self.ended else self.watermark.value


class OrderingState(msgspec.Struct):
    """What ordering remembers. Buckets are named by their time divided by the width of a bucket.

    Args:
        partitions: of `posts`.
        counts: of the records.
        waiting: events that wait for their turn, by bucket.
        decisions: bodies of moderators' decisions that wait for their turn, by bucket; `NO_TIME` for those that came
            before their partition's first record.
    """

    partitions: list[PartitionState]
    counts: Counts = msgspec.field(default_factory=Counts)
    waiting: dict[int, list[Observation]] = {}
    decisions: dict[int, list[bytes]] = {}

    @classmethod
    def begin(cls, partitions: int, allowed_lateness_ms: int) -> OrderingState:
        """Nothing was read yet.

        Args:
            partitions: how many `posts` has.
            allowed_lateness_ms: of every partition's watermark.
        """
        return cls([PartitionState(Watermark(allowed_lateness_ms)) for _ in range(partitions)])


def event_order(event: Observation) -> tuple[int, str, str, bytes]:
    """The contract's order, and then the digest: the smaller one of two copies wins."""
    return event.at, event.account, event.id, event.digest


class Ordering:
    """Takes log entries; gives the events of a tick in order once nothing earlier can come.

    Args:
        state: the part of the state that this class changes.
        tick_ms: length of a tick.
        campaign_tick_ms: multiples of it are ticks too; need not be a multiple of `tick_ms`.
    """

    def __init__(self, state: OrderingState, tick_ms: int, campaign_tick_ms: int | None = None) -> None:
        self._state = state
        self._tick_ms = tick_ms
        self._campaign_tick_ms = campaign_tick_ms or tick_ms
        self._width_ms = math.gcd(self._tick_ms, self._campaign_tick_ms)

    @property
    def counts(self) -> Counts:
        """Records by outcome, and what was wrong with the log."""
        return self._state.counts

    def feed(self, entry: Entry) -> None:
        """Take one entry.

        Raises:
            LogError: the entry speaks of another number of partitions than this state was begun with.
        """
        partitions = self._state.partitions
        if entry.partitions != len(partitions) or not 0 <= entry.partition < entry.partitions:
            raise LogError(
                f"the log speaks of partition {entry.partition} of {entry.partitions} of posts, the state of "
                f"{len(partitions)}: the number of partitions may not change; begin again under another topic_prefix"
            )
        partition = partitions[entry.partition]
        if partition.next_offset == ANYWHERE and not isinstance(entry, Feedback):
            partition.next_offset = entry.start if isinstance(entry, Batch) else entry.offset
        if isinstance(entry, Batch):
            self._feed_batch(partition, entry)
        elif isinstance(entry, Idle):
            if entry.offset <= partition.next_offset and not partition.ended:
                partition.watermark.raise_to(entry.time)
        elif isinstance(entry, End):
            if entry.offset <= partition.next_offset:
                partition.ended = True
            else:
                self._refuse(partition, entry.offset)
        else:
            self._feed_decision(partition, entry)

    def begin_anywhere(self) -> None:
        """Let each partition begin with whatever comes first of it."""
        for partition in self._state.partitions:
            partition.next_offset = ANYWHERE

    def _feed_batch(self, partition: PartitionState, batch: Batch) -> None:
        counts = self.counts
        expected = partition.next_offset
        if batch.end <= expected:
            counts.repeated += 1
            return
        if batch.start > expected:
            if not batch.offset_gap or batch.start - batch.offset_gap > expected:
                self._refuse(partition, batch.start)
                return
            counts.offset_gaps += 1
            counts.offset_gap_records += batch.start - expected
        partition.next_offset = batch.end
        if partition.refused <= batch.end:
            partition.refused = -1
        see, width_ms, waiting = partition.watermark.see, self._width_ms, self._state.waiting
        for event in batch.observations:
            if event.offset < expected:
                continue
            if event.dead:
                counts.dead += 1
            elif partition.ended or see(event.at, event.stamp, event.broker_stamp):
                counts.late += 1
            else:
                place = event.at // width_ms
                bucket = waiting.get(place)
                if bucket is None:
                    waiting[place] = [event]
                else:
                    bucket.append(event)

    def _refuse(self, partition: PartitionState, offset: int) -> None:
        """The log goes on at `offset`, beyond what was read of the partition."""
        self.counts.gaps += 1
        if partition.refused < 0:
            partition.refused = offset

    @property
    def unconfirmed(self) -> int:
        """Events so far ahead of their partition's clock that it has not followed them (`streaming.watermark`)."""
        return sum(partition.watermark.unconfirmed for partition in self._state.partitions if not partition.ended)

    @property
    def suspect_clocks(self) -> list[int]:
        """Partitions whose records lately were mostly a day ahead of their clock: nothing is decided until it jumps."""
        partitions = enumerate(self._state.partitions)
        return [number for number, each in partitions if each.watermark.suspect and not each.ended]

    @property
    def open_gaps(self) -> dict[int, tuple[int, int]]:
        """Partitions whose log went on beyond what was read: (offset that is awaited, offset at which it went on).

        Everything behind a gap is ignored until it is closed, so no tick that needs the partition can run.
        """
        return {
            number: (partition.next_offset, partition.refused)
            for number, partition in enumerate(self._state.partitions)
            if partition.refused >= 0
        }

    def _feed_decision(self, partition: PartitionState, entry: Feedback) -> None:
        """A decision takes effect at the first tick after its partition's watermark, which has therefore not run."""
        if partition.ended:
            self.counts.gaps += 1
            return
        time = partition.time
        place = time // self._width_ms if time > NO_TIME else NO_TIME
        self._state.decisions.setdefault(place, []).append(entry.body)

    @property
    def low(self) -> int:
        """The smallest watermark (ms); `NO_TIME` while a partition has none, `NO_END` when all are over."""
        return min(partition.time for partition in self._state.partitions)

    def next_tick(self) -> int | None:
        """The first tick that has events or decisions, if it may run; else None."""
        low = self.low
        places = self._places()
        if low == NO_TIME or not places:
            return None
        end = (min(places) + 1) * self._width_ms
        first = min(_multiple(end, self._tick_ms), _multiple(end, self._campaign_tick_ms))
        return first if first <= low else None

    def last_tick(self) -> int | None:
        """The regular tick that covers the last event or decision; None where nothing waits."""
        places = self._places()
        return _multiple((max(places) + 1) * self._width_ms, self._tick_ms) if places else None

    def _places(self) -> list[int]:
        """Buckets that hold something with a time."""
        state = self._state
        return [*state.waiting, *(place for place in state.decisions if place > NO_TIME)]

    def take(self, tick_ms: int) -> list[Observation]:
        """The waiting events before `tick_ms`, in order; they wait no longer."""
        waiting, limit = self._state.waiting, tick_ms // self._width_ms
        due = [place for place in waiting if place < limit]
        events: list[Observation] = []
        for place in due:
            events += waiting.pop(place)
        events.sort(key=event_order)
        return events

    def take_decisions(self, tick_ms: int) -> list[bytes]:
        """The decisions that take effect by `tick_ms`, in an order that does not depend on their partition."""
        decisions, limit = self._state.decisions, tick_ms // self._width_ms
        due = [place for place in decisions if place < limit]
        return sorted(body for place in due for body in decisions.pop(place))

    @property
    def waiting(self) -> int:
        """Events that wait for their turn."""
        return sum(len(bucket) for bucket in self._state.waiting.values())

    @property
    def positions(self) -> list[int]:
        """Next source offset of every partition."""
        return [partition.next_offset for partition in self._state.partitions]

    @property
    def watermarks(self) -> list[int]:
        """Watermark (ms) of every partition: `NO_TIME` before the first, `NO_END` after its end mark."""
        return [partition.time for partition in self._state.partitions]

    @property
    def over(self) -> bool:
        """Whether every partition has its end mark."""
        return all(partition.ended for partition in self._state.partitions)


def _multiple(time_ms: int, of_ms: int) -> int:
    """The smallest multiple of `of_ms` that is not before `time_ms`."""
    return -(-time_ms // of_ms) * of_ms
