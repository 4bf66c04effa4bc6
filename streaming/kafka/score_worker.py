"""The stage `score` on Kafka: records of `posts` in, entries of the observation log out, nothing kept.

One turn of the loop: take what came, score it, send it, commit what was acknowledged, and say of partitions that have
nothing more to give that they are silent or over. Any number of these loops may run, and any of them may die at any
moment: what is repeated says the same, and `assess` knows how far it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from kafka import TopicPartition

from detector.errors import BrokerError, EventError, LogError
from streaming.assess import feedback
from streaming.config import Config
from streaming.health import Health
from streaming.kafka.client import Clients, Topics
from streaming.kafka.consumer import Silence, Source, Taken
from streaming.kafka.log import LogTail, Sent, Writer
from streaming.schema.dead_letter import DeadLetter, dead_letter
from streaming.schema.observation import End, Entry, Feedback
from streaming.score import Scorer, cut
from streaming.sources.base import SourceRecord
from streaming.watermark import Watermark
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

POLL_MS: Final = 200
"""Longest wait for records: how late a partition is seen to be quiet, and how late a request to stop is heard."""

COMMIT_EVERY_S: Final = 0.5
"""What a crash makes others do again."""

SETTLE_S: Final = 60.0
"""Longest wait for acknowledgements: the client gives up on a record after 30 s itself."""

LAST_WAIT_S: Final = 15.0
"""The same when asked to stop: within the half minute that supervisors grant."""

LOOK_EVERY_S: Final = 0.5
"""How often the broker is asked where quiet partitions end, and where others are."""


class ScoreStage:
    """The loop of `score`. `turn` until `done` or asked to stop, then `close`.

    Args:
        partitions: of `posts`.
        exit_s: close a partition's log once it has been read to its end for this many seconds; None: never.
        patient: stay until the logs of all partitions are closed, not only those that this process owns.
        clock: seconds, monotonic; `wall_ms`: ms since 1970.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        config: Config,
        scorer: Scorer,
        partitions: int,
        *,
        exit_s: float | None,
        patient: bool,
        metrics: Metrics,
        health: Health,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._topics, self._scorer, self._partitions = topics, scorer, partitions
        self._exit_s, self._patient = exit_s, patient
        self._metrics, self._health = metrics, health
        self._clock, self._wall_ms = clock, wall_ms
        self._lateness_ms = config.allowed_lateness_s * 1000
        self._source = Source(clients, topics.score_group, [topics.posts, topics.feedback], config.kafka.poll_records)
        self._writer = Writer(clients, topics)
        self._tail = LogTail(clients, topics, partitions)
        self._silence = Silence(
            self._source, self._writer, self._tail, topics, config, exit_s=exit_s, metrics=metrics, health=health
        )
        self._clocks: dict[TopicPartition, Watermark] = {}
        self._acknowledged: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._safe_clocks: dict[TopicPartition, object] = {}
        self._ended: set[TopicPartition] = set()
        self._committed_at = self._looked_at = clock()
        self.done = False
        """Nothing is left to do: the logs are closed and everything is committed."""

    def turn(self) -> None:
        """Go round once; takes about `POLL_MS` where nothing comes.

        Raises:
            LogError, BrokerError: what only an operator can mend.
        """
        if not self._writer.ready():
            time.sleep(POLL_MS / 1000)
            return
        try:
            self._adopt()
        except BrokerError as error:
            log.warning("%s", error)
            return
        for taken in self._source.poll(POLL_MS):
            self._silence.heard(taken.place)
            self._score(taken)
        self._settle()
        now = self._clock()
        if now - self._committed_at >= COMMIT_EVERY_S:
            self._commit()
        if now - self._looked_at >= LOOK_EVERY_S and self._source.settled:
            self._looked_at = now
            for place in self._silence.look(now, self._clocks, self._ended):
                self._end(place)
            self.done = self._exit_s is not None and self._all_done()

    # What is ours

    def _adopt(self) -> None:
        """Begin with partitions that were assigned, forget those that were taken away."""
        if not self._source.settled:
            return
        owned = self._source.next
        new = [place for place in owned if place not in self._acknowledged]
        for place in [place for place in self._acknowledged if place not in owned]:
            for memory in (self._acknowledged, self._clocks, self._safe_clocks, self._uncommitted):
                memory.pop(place, None)
            self._ended.discard(place)
        self._silence.keep(owned)
        if not new:
            return
        tails = self._tail.refresh(deep={place.partition for place in new})
        for place in new:
            self._acknowledged[place] = owned[place]
            if place.topic != self._topics.posts:
                continue
            if place.partition >= self._partitions:
                raise LogError(
                    f"{place.topic} has got more partitions than the {self._partitions} its observations were begun "
                    "with: start over under another [kafka] topic_prefix"
                )
            tail = tails[place.partition]
            before = self._source.committed[place]
            if before > 0 and tail.next == 0:
                raise LogError(
                    f"{place.topic}-{place.partition} was read up to {before} but its observations are gone: "
                    f"{self._topics.observations} was recreated; start over under another [kafka] topic_prefix"
                )
            self._clocks[place] = Watermark(self._lateness_ms)
            self._clocks[place].raise_to(tail.watermark)
            self._safe_clocks[place] = self._clocks[place].state()
            if tail.ended is not None:
                self._found_closed(place, tail.ended)
        self._metrics.partitions(len(self._clocks))

    def _found_closed(self, place: TopicPartition, offset: int) -> None:
        """A partition has its end mark. Records after it are written all the same, and late, until all have theirs."""
        ends = self._source.ends([place])
        end = offset if ends is None else ends[place]
        if self._exit_s is None or (end > offset and self._all_ended()):
            raise LogError(
                f"the log of {place.topic}-{place.partition} is closed at offset {offset} and takes no more records "
                f"(the topic ends at {end}): it was processed with --exit-when-idle; go on under another "
                "[kafka] topic_prefix"
            )
        self._ended.add(place)

    # What comes

    def _score(self, taken: Taken) -> None:
        place, now_ms = taken.place, self._wall_ms()
        if place not in self._acknowledged or self._writer.failed:
            return
        started = self._clock()
        origin = f"{place.topic}-{place.partition}@"
        records = [
            SourceRecord(each.offset, -1 if each.timestamp is None else each.timestamp, each.value or b"", origin)
            for each in taken.records
        ]
        if taken.hole:
            self._metrics.offset_gap(taken.hole)
            self._metrics.alarm("hole")
        if place.topic == self._topics.posts:
            entries, letters = self._observe(taken, records, now_ms)
        else:
            entries, letters = self._decisions(place, records, now_ms)
        self._metrics.step("score", "read_text", self._clock() - started)
        self._writer.write(place, taken.end, self._clocks.get(place), entries, letters)
        if taken.records:
            self._health.heard(self._clock())

    def _observe(
        self, taken: Taken, records: list[SourceRecord], now_ms: int
    ) -> tuple[list[tuple[int, Entry]], list[DeadLetter]]:
        observations, letters = self._scorer.score(records, now_ms)
        batches = cut(
            observations,
            partition=taken.place.partition,
            partitions=self._partitions,
            start=taken.start,
            end=taken.end,
            watermark=self._clocks[taken.place],
            models=self._scorer.models,
            hole=taken.hole,
        )
        self._metrics.texts("cheap", sum(1 for each in observations if each.text))
        return [(taken.place.partition, batch) for batch in batches], letters

    def _decisions(
        self, place: TopicPartition, records: list[SourceRecord], now_ms: int
    ) -> tuple[list[tuple[int, Entry]], list[DeadLetter]]:
        """Moderators' decisions go into the log of the partition of `posts` with the same number."""
        partition = place.partition % self._partitions
        entries: list[tuple[int, Entry]] = []
        letters: list[DeadLetter] = []
        for record in records:
            if feedback.parse(record.value) is None:
                letters.append(dead_letter(record, EventError("", "is no decision of this version"), now_ms))
            else:
                entries.append((partition, Feedback(partition, self._partitions, record.value)))
        return entries, letters

    # What was acknowledged

    def _settle(self, *, all_of_it: bool = False, timeout_s: float = SETTLE_S) -> None:
        self._note(self._writer.settle(all_of_it=all_of_it, timeout_s=timeout_s))
        if self._writer.failed:
            self._metrics.alarm("send_failed")
            self._source.go_back(self._acknowledged)
            self._tail.forget()
            for place, state in self._safe_clocks.items():
                self._clocks[place] = Watermark.from_state(state, self._lateness_ms)  # type: ignore[arg-type]

    def _note(self, done: list[Sent]) -> None:
        for sent in done:
            if sent.place in self._acknowledged:
                self._acknowledged[sent.place] = self._uncommitted[sent.place] = sent.end
                if sent.clock is not None:
                    self._safe_clocks[sent.place] = sent.clock
        if done:
            self._health.heard(self._clock())

    def _commit(self) -> None:
        self._committed_at = self._clock()
        if not self._uncommitted:
            return
        self._health.commit_due(self._committed_at)
        if self._source.commit(self._uncommitted):
            self._uncommitted = {}
            self._health.committed(self._clock())

    # What does not come

    def _end(self, place: TopicPartition) -> None:
        """Close the log of a partition, once everything before is known to be in it."""
        self._settle(all_of_it=True)
        offset = self._source.next.get(place)
        if self._writer.failed or offset is None or self._writer.ahead(place):
            return
        entry = End(place.partition, self._partitions, offset)
        self._writer.write(place, offset, self._clocks[place], [(place.partition, entry)], [])
        self._settle(all_of_it=True)
        if not self._writer.failed and not self._writer.ahead(place):
            log.info("%s-%d is over at offset %d", place.topic, place.partition, offset)
            self._ended.add(place)

    def _all_done(self) -> bool:
        ours = [place for place in self._source.next if place.topic == self._topics.posts]
        if any(place not in self._ended for place in ours) or (not self._source.settled):
            return False
        self._commit()
        if self._uncommitted:
            return False
        if ours and not self._patient:
            return True
        return self._all_ended()

    def _all_ended(self) -> bool:
        try:
            self._tail.refresh(deep=range(self._partitions))
        except BrokerError:
            return False
        return self._tail.all_ended

    def close(self) -> None:
        """Finish what is in flight, commit, leave the group."""
        try:
            self._settle(all_of_it=True, timeout_s=LAST_WAIT_S)
            self._commit()
        finally:
            self._source.close()
            self._writer.close()
            self._tail.close()
