"""What a partition says by saying nothing: that it is silent, or that it is over.

Silence begins when everything the broker has of a partition has been read. While the broker does not answer, nothing is
known, and no time counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from typing import Final

from kafka import TopicPartition

from detector.errors import BrokerError
from streaming.config import Config
from streaming.health import Health
from streaming.kafka.source import Source
from streaming.kafka.tail import LogTail
from streaming.kafka.topics import Topics
from streaming.kafka.writer import Writer
from streaming.metrics import Metrics
from streaming.observations import NO_TIME, Idle
from streaming.watermarks import Watermark

log = logging.getLogger(__name__)

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
