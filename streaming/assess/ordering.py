"""Remembers keys for a while of event time, in two generations, so that forgetting costs nothing per key.

From several logs in any interleaving to one order: what came, what came too late, and what has to wait.

Each partition of `posts` has its own clock and its next source offset, and both follow from its own records alone. An
accepted event waits in the bucket of its tick until the clocks of all partitions have passed the tick; then nothing
earlier can come any more, and the bucket is sorted.

The events of one tick that have an effect, gathered column by column for the arrays.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_code
from detector.errors import LogError
from detector.text.features import TEXT_FEATURES, TextFeatures
from streaming.schema.observation import NO_TIME, Batch, End, Entry, Feedback, Idle, Observation
from streaming.watermark import Watermark

KEY_BYTES: Final = 12
"""96 bits: among 10^9 keys remembered at once, two collide with probability 10^-11."""


def event_key(account: str, event: str) -> bytes:
    """The identity of an event (contract: the pair of account and id) in a fixed size."""
    name = account.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(
        b"%d:%b%b" % (len(name), name, event.encode("utf-8", "surrogatepass")), digest_size=KEY_BYTES
    ).digest()


class RecentKeys:
    """Key -> time, forgotten `window_ms` of event time later. Times put must not decrease.

    Args:
        window_ms: how long a key is remembered (inclusive).
    """

    def __init__(self, window_ms: int) -> None:
        self._window = window_ms
        self._width = max(window_ms, 1)
        self._generation = -(2**62)
        self._now: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def get(self, key: bytes, at_ms: int) -> int | None:
        """The time under which `key` was put, if that is at most the window before `at_ms`."""
        put = self._now.get(key)
        if put is None:
            put = self._before.get(key)
        return put if put is not None and at_ms - put <= self._window else None

    def put(self, key: bytes, at_ms: int) -> None:
        """Remember `key`; an older time of it is replaced."""
        generation = at_ms // self._width
        if generation != self._generation:
            self._before = self._now if generation == self._generation + 1 else {}
            self._now = {}
            self._generation = generation
        self._now[key] = at_ms

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {
            "generation": self._generation,
            "now": [b"".join(self._now), list(self._now.values())],
            "before": [b"".join(self._before), list(self._before.values())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._generation = state["generation"]
        self._now, self._before = (
            {keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]: at for i, at in enumerate(times)}
            for keys, times in (state["now"], state["before"])
        )


NO_END: Final = 2**62
"""The watermark of a partition that is over, in ms: later than every event."""


@dataclass
class Counts:
    """What became of the records, and what was wrong with the log."""

    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0
    hole_records: int = 0
    """Source offsets that retention removed before anybody read them."""
    holes: int = 0
    gaps: int = 0
    """Batches ignored because they begin beyond the next offset without a hole mark."""
    repeated: int = 0
    """Batches that said nothing new."""

    @property
    def settled(self) -> int:
        """Records whose outcome is known; the others wait for their turn."""
        return self.accepted + self.duplicate + self.late + self.dead


class _Partition:
    """One partition of `posts` as its log shows it."""

    __slots__ = ("ended", "next_offset", "watermark")

    def __init__(self, watermark: Watermark) -> None:
        self.watermark = watermark
        self.next_offset = 0
        self.ended = False

    @property
    def time(self) -> int:
        return NO_END if self.ended else self.watermark.value


def event_order(observation: Observation) -> tuple[int, str, str, bytes]:
    """The contract's order, and then the digest: the smaller one of two copies wins."""
    return observation.at, observation.account, observation.id, observation.digest


class Ordering:
    """Takes log entries; gives the events of a tick in order once nothing earlier can come.

    Args:
        partitions: how many `posts` has.
        tick_ms: length of a tick.
        allowed_lateness_ms: of every partition's watermark.
        campaign_tick_ms: multiples of it are ticks too; need not be a multiple of `tick_ms`.
    """

    def __init__(
        self, partitions: int, tick_ms: int, allowed_lateness_ms: int, campaign_tick_ms: int | None = None
    ) -> None:
        self.counts = Counts()
        self._tick_ms = tick_ms
        self._campaign_tick_ms = campaign_tick_ms or tick_ms
        self._width_ms = math.gcd(self._tick_ms, self._campaign_tick_ms)
        self._lateness_ms = allowed_lateness_ms
        self._partitions = [_Partition(Watermark(allowed_lateness_ms)) for _ in range(partitions)]
        self._waiting: dict[int, list[Observation]] = {}
        self._decisions: dict[int, list[bytes]] = {}

    def feed(self, entry: Entry) -> None:
        """Take one entry.

        Raises:
            LogError: the entry speaks of another number of partitions than this state was begun with.
        """
        if entry.partitions != len(self._partitions) or not 0 <= entry.partition < entry.partitions:
            raise LogError(
                f"the log speaks of partition {entry.partition} of {entry.partitions} of posts, the state of "
                f"{len(self._partitions)}: the number of partitions may not change; begin again under another "
                "topic_prefix"
            )
        partition = self._partitions[entry.partition]
        if isinstance(entry, Batch):
            self._batch(partition, entry)
        elif isinstance(entry, Idle):
            if entry.offset <= partition.next_offset and not partition.ended:
                partition.watermark.raise_to(entry.time)
        elif isinstance(entry, End):
            if entry.offset <= partition.next_offset:
                partition.ended = True
            else:
                self.counts.gaps += 1
        else:
            self._feedback(partition, entry)

    def _batch(self, partition: _Partition, batch: Batch) -> None:
        counts = self.counts
        expected = partition.next_offset
        if batch.end <= expected:
            counts.repeated += 1
            return
        if batch.start > expected:
            if not batch.hole or batch.start - batch.hole > expected:
                counts.gaps += 1
                return
            counts.holes += 1
            counts.hole_records += batch.start - expected
        partition.next_offset = batch.end
        see, width_ms, waiting = partition.watermark.see, self._width_ms, self._waiting
        for seen in batch.observations:
            if seen.offset < expected:
                continue
            if seen.dead:
                counts.dead += 1
            elif partition.ended or see(seen.at, seen.stamp):
                counts.late += 1
            else:
                place = seen.at // width_ms
                bucket = waiting.get(place)
                if bucket is None:
                    waiting[place] = [seen]
                else:
                    bucket.append(seen)

    def _feedback(self, partition: _Partition, entry: Feedback) -> None:
        """A decision takes effect at the first tick after its partition's watermark, which has therefore not run."""
        if partition.ended:
            self.counts.gaps += 1
            return
        time = partition.time
        place = time // self._width_ms if time > NO_TIME else NO_TIME
        self._decisions.setdefault(place, []).append(entry.body)

    @property
    def low(self) -> int:
        """The smallest watermark (ms); `NO_TIME` while a partition has none, `NO_END` when all are over."""
        return min(partition.time for partition in self._partitions)

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
        return [*self._waiting, *(place for place in self._decisions if place > NO_TIME)]

    def take(self, tick_ms: int) -> list[Observation]:
        """The waiting events before `tick_ms`, in order; they wait no longer."""
        limit = tick_ms // self._width_ms
        due = [place for place in self._waiting if place < limit]
        events: list[Observation] = []
        for place in due:
            events += self._waiting.pop(place)
        events.sort(key=event_order)
        return events

    def take_decisions(self, tick_ms: int) -> list[bytes]:
        """The decisions that take effect by `tick_ms`, in an order that does not depend on their partition."""
        limit = tick_ms // self._width_ms
        due = [place for place in self._decisions if place < limit]
        return sorted(body for place in due for body in self._decisions.pop(place))

    @property
    def waiting(self) -> int:
        """Events that wait for their turn."""
        return sum(len(bucket) for bucket in self._waiting.values())

    @property
    def positions(self) -> list[int]:
        """Next source offset of every partition."""
        return [partition.next_offset for partition in self._partitions]

    @property
    def watermarks(self) -> list[int]:
        """Watermark (ms) of every partition: `NO_TIME` before the first, `NO_END` after its end mark."""
        return [partition.time for partition in self._partitions]

    @property
    def over(self) -> bool:
        """Whether every partition has its end mark."""
        return all(partition.ended for partition in self._partitions)

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse. Waiting events in order, so that equal states are equal bytes."""
        waiting = [sorted(self._waiting[place], key=event_order) for place in sorted(self._waiting)]
        return {
            "partitions": [[part.next_offset, part.ended, *part.watermark.state()] for part in self._partitions],
            "counts": vars(self.counts).copy(),
            "waiting": msgspec.msgpack.encode([_placeless(seen) for bucket in waiting for seen in bucket]),
            "decisions": [[place, sorted(self._decisions[place])] for place in sorted(self._decisions)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave.

        Raises:
            LogError: it is of another number of partitions.
        """
        if len(state["partitions"]) != len(self._partitions):
            raise LogError(
                f"the snapshot is of {len(state['partitions'])} partitions of posts, the topic has "
                f"{len(self._partitions)}: the number may not change; begin again under another topic_prefix"
            )
        for partition, (offset, ended, high, jumped) in zip(self._partitions, state["partitions"], strict=True):
            partition.next_offset, partition.ended = offset, ended
            partition.watermark = Watermark.from_state((high, list(jumped)), self._lateness_ms)
        self.counts = Counts(**state["counts"])
        self._waiting = {}
        for seen in msgspec.msgpack.decode(state["waiting"], type=list[Observation]):
            self._waiting.setdefault(seen.at // self._width_ms, []).append(seen)
        self._decisions = {place: list(bodies) for place, bodies in state["decisions"]}


def _multiple(time_ms: int, of_ms: int) -> int:
    """The smallest multiple of `of_ms` that is not before `time_ms`."""
    return -(-time_ms // of_ms) * of_ms


def _placeless(seen: Observation) -> Observation:
    """Where a record lay decides nothing once it waits; leaving it out makes states equal whatever the partitioning."""
    return msgspec.structs.replace(seen, offset=0, stamp=-1)


_BLANK: Final = bytes(TEXT_FEATURES.itemsize)

_LANGUAGES_KEPT: Final = 4096
"""Tags remembered: a hostile stream can invent tags, there are a few hundred languages."""


@dataclass(frozen=True)
class Columns:
    """Events column by column, each (n,)."""

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    kinds: NDArray[np.int64]
    readings: TextFeatures
    has_text: NDArray[np.bool_]
    languages: NDArray[np.uint16]
    links: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> Columns:
        """Some of the events, by position."""
        columns: dict[str, NDArray[Any]] = vars(self)
        return Columns(**{name: column[chosen] for name, column in columns.items()})


@dataclass
class Seen:
    """Events in order; the row of one whose account was deleted in the same tick is -1."""

    rows: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    readings: list[bytes] = field(default_factory=list)
    languages: list[int] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    by_row: dict[int, list[int]] = field(default_factory=dict)
    """Row -> positions of its events, in order."""

    def add(self, row: int, seen: Observation, language: int) -> None:
        """Append one event."""
        self.by_row.setdefault(row, []).append(len(self.rows))
        self.rows.append(row)
        self.times.append(seen.at)
        self.kinds.append(seen.kind)
        self.readings.append(seen.reading)
        self.languages.append(language)
        self.links.append(len(seen.urls))

    def forget(self, row: int) -> None:
        """The account of `row` was deleted: its events of this tick have had no effect."""
        for position in self.by_row.pop(row, ()):
            self.rows[position] = -1

    def columns(self) -> Columns:
        """All events as arrays."""
        return Columns(
            np.array(self.rows, np.int64),
            np.array(self.times, np.int64),
            np.array(self.kinds, np.int64),
            np.frombuffer(b"".join(reading or _BLANK for reading in self.readings), TEXT_FEATURES),
            np.array([bool(reading) for reading in self.readings]),
            np.array(self.languages, np.uint16),
            np.array(self.links, np.int64),
        )

    def rounds(self, columns: Columns) -> Iterator[Columns]:
        """The events that have an effect in rounds of distinct accounts: the first of each, the second of each, ..."""
        turns: list[list[int]] = []
        for positions in self.by_row.values():
            for turn, position in enumerate(positions):
                if turn == len(turns):
                    turns.append([])
                turns[turn].append(position)
        for turn_positions in turns:
            yield columns.take(np.array(sorted(turn_positions), np.int64))


class Languages:
    """Codes of language tags, looked up once each."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, tag: str) -> int:
        """`language_code` of the tag."""
        code = self._codes.get(tag)
        if code is None:
            code = language_code(tag)
            if len(self._codes) < _LANGUAGES_KEPT:
                self._codes[tag] = code
        return code
