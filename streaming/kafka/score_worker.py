"""The stage `score` on Kafka: records of `posts` and `feedback` in, entries of the observation log out, nothing kept.

One turn of the loop polls, scores, sends, commits what was acknowledged, and marks partitions that get nothing more as
idle or ended. Any number of these loops may run, and any of them may die at any moment: what is repeated says the same,
and `assess` knows how far it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import msgspec
from kafka import TopicPartition

from detector.errors import BrokerError, EventError, LogError
from streaming.assess import feedback
from streaming.config import Config
from streaming.health import Health
from streaming.kafka.client import Clients, Topics
from streaming.kafka.consumer import IdlePartitions, InputConsumer, SourceRange
from streaming.kafka.log import LogTail, LogWriter, SentRange
from streaming.schema.dead_letter import DeadLetter, dead_letter
from streaming.schema.observation import End, Entry, Feedback
from streaming.score import Scorer, cut
from streaming.sources.base import FileRecord, SourceRecord
from streaming.watermark import Watermark
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

POLL_MS: Final = 200
"""Longest wait for records, and longest delay of noticing an idle partition or a request to stop."""

COMMIT_EVERY_S: Final = 0.5
"""What a crash makes others do again."""

SETTLE_S: Final = 60.0
"""Longest wait for acknowledgements: the client gives up on a record after 30 s itself."""

LAST_WAIT_S: Final = 15.0
"""The same when asked to stop: within the half minute that supervisors grant."""

LOG_APPEND_TIME: Final = 1
"""Kafka's type of a record's timestamp that the broker has set."""

LOOK_EVERY_S: Final = 0.5
"""How often the broker is asked where the partitions end."""


class ScoreStage:
    """The loop of `score`. Call `turn` until `done` or asked to stop, then `close`.

    Args:
        clients: makes the Kafka clients.
        topics: names.
        config: lateness, idle partitions, records per poll.
        scorer: the pure core.
        partitions: of `posts`.
        exit_s: close a partition's log once it has been read to its end for this many seconds; None: never.
        patient: stay until the logs of all partitions are closed, not only those that this process owns.
        metrics: told what happens.
        health: told that the loop works.
        convert: makes post events of the records of `posts`; None where they are post events.
        clock: seconds, monotonic.
        wall_ms: milliseconds since 1970.
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
        convert: Callable[[bytes], FileRecord] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._topics, self._scorer, self._partitions = topics, scorer, partitions
        self._exit_s, self._patient = exit_s, patient
        self._metrics, self._health, self._convert = metrics, health, convert
        self._clock, self._wall_ms = clock, wall_ms
        self._lateness_ms = config.allowed_lateness_s * 1000
        begins = None
        if topics.live is not None:
            begins = {} if config.shadow.begin_ms is None else {topics.posts: config.shadow.begin_ms}
        self._source = InputConsumer(
            clients, topics.score_group, [topics.posts, topics.feedback], config.kafka.poll_records, begins
        )
        self._writer = LogWriter(clients, topics)
        self._tail = LogTail(clients, topics, partitions)
        self._idle = IdlePartitions(
            self._source, self._writer, self._tail, topics, config, exit_s=exit_s, metrics=metrics, health=health
        )
        self._clocks: dict[TopicPartition, Watermark] = {}
        self._acknowledged: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._safe_clocks: dict[TopicPartition, object] = {}
        self._ended: set[TopicPartition] = set()
        self._unread: set[TopicPartition] = set()
        self._committed_at = self._looked_at = clock()
        self.done = False
        """Nothing is left to do: the logs are closed and everything is committed."""

    def turn(self) -> None:
        """Run one turn of the loop; takes about `POLL_MS` where nothing comes.

        Raises:
            LogError, BrokerError: what only an operator can mend.
        """
        if not self._writer.ready():
            time.sleep(POLL_MS / 1000)
            return
        try:
            self._adopt()
        except BrokerError as error:
            log.warning("newly assigned partitions cannot be begun yet: %s", error)
            return
        for taken in self._source.poll(POLL_MS):
            self._idle.heard(taken.tp)
            self._score(taken)
        self._settle()
        now = self._clock()
        if now - self._committed_at >= COMMIT_EVERY_S:
            self._commit()
        if now - self._looked_at >= LOOK_EVERY_S and self._source.settled:
            self._looked_at = now
            for tp in self._idle.check(now, self._clocks, self._ended):
                self._end(tp)
            self.done = self._exit_s is not None and self._all_done()

    # Assigned partitions

    def _adopt(self) -> None:
        """Begin with partitions that were assigned, forget those that were taken away."""
        if not self._source.settled:
            return
        owned = {tp: offset for tp, offset in self._source.next.items() if self._has_a_log(tp)}
        self._metrics.partitions_unread(len(self._source.next) - len(owned))
        new = [tp for tp in owned if tp not in self._acknowledged]
        for tp in [tp for tp in self._acknowledged if tp not in owned]:
            for memory in (self._acknowledged, self._clocks, self._safe_clocks, self._uncommitted):
                memory.pop(tp, None)
            self._ended.discard(tp)
        self._metrics.partitions(sum(tp.topic == self._topics.posts for tp in self._acknowledged))
        self._idle.keep(owned)
        if not new:
            return
        tails = self._tail.refresh(deep={tp.partition for tp in new})
        for tp in new:
            self._acknowledged[tp] = owned[tp]
            if tp.topic != self._topics.posts:
                continue
            tail = tails[tp.partition]
            before = self._source.committed[tp]
            if before > 0 and tail.next == 0:
                raise LogError(
                    f"{tp.topic}-{tp.partition} was read up to {before} but its observations are gone: "
                    f"{self._topics.observations} was recreated; start over under another [kafka] topic_prefix"
                )
            self._clocks[tp] = Watermark(self._lateness_ms)
            self._clocks[tp].raise_to(tail.watermark)
            self._safe_clocks[tp] = self._clocks[tp].state()
            if tail.ended is not None:
                self._check_closed(tp, tail.ended)
        self._metrics.partitions(len(self._clocks))

    def _has_a_log(self, tp: TopicPartition) -> bool:
        """Whether there is a partition of observations for it; said once where there is none."""
        if tp.topic != self._topics.posts or tp.partition < self._partitions:
            return True
        if tp not in self._unread:
            self._unread.add(tp)
            self._metrics.alarm("partitions")
            log.error(
                "%s-%d came after the observations of %s were begun with %d partitions: it is not read, and nothing of "
                "it is lost while its records are kept. Let producers write to partitions 0 to %d only and write what "
                "is in the others there again; or let them write to the topic of another [kafka] topic_prefix, which "
                "may have as many as it likes, and end the workers of this one once they have nothing left",
                tp.topic,
                tp.partition,
                tp.topic,
                self._partitions,
                self._partitions - 1,
            )
        return False

    def _check_closed(self, tp: TopicPartition, offset: int) -> None:
        """A partition has its end mark. Records after it are written all the same, and late, until all have theirs."""
        ends = self._source.ends([tp])
        end = offset if ends is None else ends[tp]
        if self._exit_s is None or (end > offset and self._all_ended()):
            raise LogError(
                f"the log of {tp.topic}-{tp.partition} is closed at offset {offset} and takes no more records "
                f"(the topic ends at {end}): it was processed with --exit-when-idle; go on under another "
                "[kafka] topic_prefix"
            )
        self._ended.add(tp)

    # Records

    def _score(self, taken: SourceRange) -> None:
        tp, now_ms = taken.tp, self._wall_ms()
        if tp not in self._acknowledged or self._writer.failed:
            return
        started = self._clock()
        origin = f"{tp.topic}-{tp.partition}@"
        records = [
            SourceRecord(
                each.offset,
                -1 if each.timestamp is None else each.timestamp,
                each.value or b"",
                origin,
                broker_stamp=each.timestamp_type == LOG_APPEND_TIME,
            )
            for each in taken.records
        ]
        if taken.gap:
            self._metrics.offset_gap(taken.gap)
            self._metrics.alarm("offset_gap")
        if tp.topic == self._topics.posts:
            records = self._converted(records)
            self._metrics.records_read(len(records))
            entries, letters = self._observe(taken, records, now_ms)
        else:
            entries, letters = self._decisions(tp, records, now_ms)
        self._metrics.step("score", "read_text", self._clock() - started)
        self._writer.write(tp, taken.end, self._clocks.get(tp), entries, letters)
        if taken.records:
            self._health.heard(self._clock(), "score")

    def _converted(self, records: list[SourceRecord]) -> list[SourceRecord]:
        """The records as post events; what is in order and no post event is counted and goes no further."""
        if self._convert is None:
            return records
        kept = []
        for record in records:
            made = self._convert(record.value)
            if not made.skipped:
                kept.append(
                    msgspec.structs.replace(record, value=made.value, oversize=made.oversize, problem=made.problem)
                )
        self._metrics.records_skipped(len(records) - len(kept))
        return kept

    def _observe(
        self, taken: SourceRange, records: list[SourceRecord], now_ms: int
    ) -> tuple[list[tuple[int, Entry]], list[DeadLetter]]:
        cut_before = self._scorer.texts_cut
        observations, letters = self._scorer.score(records, now_ms)
        self._metrics.texts_cut(self._scorer.texts_cut - cut_before)
        batches = cut(
            observations,
            partition=taken.tp.partition,
            partitions=self._partitions,
            start=taken.start,
            end=taken.end,
            watermark=self._clocks[taken.tp],
            models=self._scorer.models,
            offset_gap=taken.gap,
        )
        self._metrics.texts("first", sum(1 for each in observations if each.text))
        return [(taken.tp.partition, batch) for batch in batches], letters

    def _decisions(
        self, tp: TopicPartition, records: list[SourceRecord], now_ms: int
    ) -> tuple[list[tuple[int, Entry]], list[DeadLetter]]:
        """Moderators' decisions go into the log of the partition of `posts` with the same number."""
        partition = tp.partition % self._partitions
        entries: list[tuple[int, Entry]] = []
        letters: list[DeadLetter] = []
        for record in records:
            if feedback.parse(record.value) is None:
                letters.append(dead_letter(record, EventError("", "is no decision of this version"), now_ms))
            else:
                entries.append((partition, Feedback(partition, self._partitions, record.value)))
        return entries, letters

    # Acknowledgements and commits

    def _settle(self, *, everything: bool = False, timeout_s: float = SETTLE_S) -> None:
        self._note(self._writer.settle(everything=everything, timeout_s=timeout_s))
        if self._writer.failed:
            self._metrics.alarm("send_failed")
            self._source.rewind(self._acknowledged)
            self._tail.forget()
            for tp, state in self._safe_clocks.items():
                self._clocks[tp] = Watermark.from_state(state, self._lateness_ms)  # type: ignore[arg-type]

    def _note(self, done: list[SentRange]) -> None:
        for sent in done:
            if sent.tp in self._acknowledged:
                self._acknowledged[sent.tp] = self._uncommitted[sent.tp] = sent.end
                if sent.clock is not None:
                    self._safe_clocks[sent.tp] = sent.clock
        if done:
            self._health.heard(self._clock(), "score")

    def _commit(self) -> None:
        self._committed_at = self._clock()
        if not self._uncommitted:
            return
        self._health.commit_due(self._committed_at, "score")
        if self._source.commit(self._uncommitted):
            self._uncommitted = {}
            self._health.committed(self._clock(), "score")

    # Partitions that have ended

    def _end(self, tp: TopicPartition) -> None:
        """Close the log of a partition, once everything before is known to be in it."""
        self._settle(everything=True)
        offset = self._source.next.get(tp)
        if self._writer.failed or offset is None or self._writer.ahead(tp):
            return
        entry = End(tp.partition, self._partitions, offset)
        self._writer.write(tp, offset, self._clocks[tp], [(tp.partition, entry)], [])
        self._settle(everything=True)
        if not self._writer.failed and not self._writer.ahead(tp):
            log.info("%s-%d has ended at offset %d", tp.topic, tp.partition, offset)
            self._ended.add(tp)

    def _all_done(self) -> bool:
        ours = [tp for tp in self._source.next if tp.topic == self._topics.posts and self._has_a_log(tp)]
        if any(tp not in self._ended for tp in ours) or (not self._source.settled):
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
            self._settle(everything=True, timeout_s=LAST_WAIT_S)
            self._commit()
        finally:
            self._source.close()
            self._writer.close()
            self._tail.close()
