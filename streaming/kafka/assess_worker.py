"""The stage `assess` on Kafka: one process at a time feeds the observation log to the core and commits its outputs.

Taking over, in this order: initialise transactions, which fences the old owner; read what is committed; load the newest
snapshot not beyond it, or begin at offset 0; run the ticks up to the committed one again without writing anything; and
write the outputs of every later one. A warm standby reads and runs all along, up to the committed tick, so that only
the last seconds are left when it takes over.

`CommitTracker` knows what is committed, and finds out what became of a transaction that failed. `AssessMeter` turns the
core's counts into metrics, counting each decision in the process that committed it.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast, get_args

from detector.drift import DRIFTED
from detector.errors import BrokerError, FencedError, LogError
from streaming.assess.ordering import NO_END, Counts, Ordering
from streaming.assess.outputs import NOT_READ, Answer, RerankRequest, TickOutput
from streaming.config import Config
from streaming.health import Health
from streaming.kafka.client import Clients, Topics
from streaming.kafka.journal import Outbox
from streaming.kafka.leader import Lease, Replica, Standby
from streaming.kafka.shared_snapshots import SharedSnapshots
from streaming.kafka.snapshots import Core, PeriodicSnapshots, SnapshotManifest, SnapshotStore
from streaming.kafka.text_reader import BackgroundReader
from streaming.schema.observation import NO_TIME
from streaming.worker_metrics import Metrics, Outcome

log = logging.getLogger(__name__)

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

_NO_WORD: Final = re.compile(r"[^a-z0-9]+")

POLL_MS: Final = 200
"""Longest wait for entries of the log, and longest delay of a request to stop."""

TURN_S: Final = 1.0
"""How long one turn of the loop goes on with a backlog before it looks at everything else: a request to stop, the
lease, snapshots. One tick is never cut short, so a turn may take that much longer."""

LEAST_WAIT_S: Final = 0.05
"""Shortest wait for the texts that a tick needs: a turn that has no time left still does not spin."""

MEASURE_EVERY_S: Final = 1.0
"""How often metrics of the present state are set."""

GAP_PATIENCE_S: Final = 120.0
"""Seconds for which a gap in the log may stay open: a replaced worker's batch can lie before its successor's, which
then closes it within the session timeout and a rebalance, a minute at most. A longer one does not close by itself."""

PROBE_EVERY_S: Final = 5.0
"""How often the broker is asked whether it is there while nothing is written to the log."""


class AssessMeter:
    """Counts what a process decided since it took over; what an earlier owner has counted is not counted again."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._before = Counts()
        self._drifted = False

    def skip_published(self, ordering: Ordering) -> None:
        """The core is restored, or ran a tick again that an earlier owner committed."""
        self._before = _copy(ordering.counts)

    def committed(self, ordering: Ordering, outputs: Iterable[TickOutput]) -> None:
        """Ticks whose outputs are committed, and the core's ordering at that moment."""
        metrics, counts = self._metrics, ordering.counts
        for outcome in OUTCOMES:
            more = getattr(counts, outcome) - getattr(self._before, outcome)
            if more > 0:
                metrics.records(outcome, more)
        self._before = _copy(counts)
        for output in outputs:
            for reason, count in output.stats.abstained.items():
                metrics.abstention("text", _NO_WORD.sub("_", reason.lower()).strip("_"), count)
            for reason, count in output.stats.withheld.items():
                metrics.abstention("flag", reason, count)
            for alert in output.alerts:
                metrics.alert(cast(Any, alert.kind), cast(Any, alert.status))
                if alert.revision == 1:
                    metrics.alert_opened(cast(Any, alert.kind))
            metrics.shed(int((output.rerank_answer.llrs == NOT_READ).sum()))
            metrics.size("accounts", output.stats.accounts)
            metrics.size("flagged", output.stats.flagged)
            metrics.size("groups", output.stats.groups)
            metrics.size("held_back", output.stats.held_back)
            for among, (share, decoys) in (output.stats.chance or {}).items():
                metrics.groups_by_chance(cast(Any, among), share, decoys)
            if output.stats.drift is not None:
                self._against_people(output.stats.drift, output.stats.flagged_share or 0.0)

    def _against_people(self, drift: float, flagged_share: float) -> None:
        self._metrics.against_people(drift, flagged_share)
        drifted = drift > DRIFTED
        if drifted and not self._drifted:
            log.warning(
                "totals of accounts have moved from those of the people that thresholds were set on: stability index "
                "%.2f, and up to %.2f is usual; %.1f%% of accounts are flagged. Look at a sample, and calibrate on "
                "this platform (swarmlight calibrate)",
                drift,
                DRIFTED,
                100 * flagged_share,
                extra={"drift": drift, "flagged_share": flagged_share},
            )
        elif self._drifted and not drifted:
            log.info("totals of accounts are again where the calibration people's are: stability index %.2f", drift)
        self._drifted = drifted

    def now(self, ordering: Ordering, now_s: float) -> None:
        """The present, in seconds since 1970: how old the smallest watermark is, and how many events wait."""
        if NO_TIME < ordering.low < NO_END:
            self._metrics.watermark_age(now_s - ordering.low / 1000)
        self._metrics.size("waiting", ordering.waiting)
        self._metrics.size("unconfirmed", ordering.unconfirmed)


def _copy(counts: Counts) -> Counts:
    return Counts(
        **{name: getattr(counts, name) for name in (*OUTCOMES, "offset_gap_records", "offset_gaps", "repeated")}
    )


class CommitTracker:
    """The transactions of a process while it is active. Call `begin` at a takeover.

    Args:
        outbox: what waits to be committed.
        replica: the core and the journal.
        meter: told what is committed, so that nothing is counted twice.
        metrics: told how transactions end.
        health: told that something is due, and that it was committed.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        outbox: Outbox,
        replica: Replica,
        meter: AssessMeter,
        metrics: Metrics,
        health: Health,
        clock: Callable[[], float],
    ) -> None:
        self._outbox, self._replica, self._meter = outbox, replica, meter
        self._metrics, self._health, self._clock = metrics, health, clock
        self._took_over_at: float | None = None
        self.tick_ms: int | None = None
        """Up to this tick everything is committed; None: nothing is."""
        self.journal_offset = -1
        """Where the journal has the last transaction."""

    def begin(self, tick_ms: int | None, journal_offset: int) -> None:
        """Go on from what others have committed."""
        self.tick_ms, self.journal_offset = tick_ms, journal_offset
        self._took_over_at = self._clock()

    def has(self, tick_ms: int) -> bool:
        """Whether the outputs of this tick are committed."""
        return self.tick_ms is not None and tick_ms <= self.tick_ms

    def write(self, *, ended: bool) -> None:
        """Commit what waits. Where it is not known whether that worked, `resolve_uncertain` finds out.

        Raises:
            FencedError: another process has taken over.
            BrokerError: it is not known whether it was written.
        """
        tick_ms = self._replica.tick
        self._write(0 if tick_ms is None else tick_ms, list(self._replica.log.positions), ended)

    def resolve_uncertain(self) -> None:
        """Find out whether the transaction that failed, if one did, was committed; write it again where it was not.

        Raises:
            FencedError: another process has written meanwhile.
            BrokerError: the broker is still away.
        """
        if self._outbox.tried is None:
            return
        tick_ms, positions, ended = self._outbox.tried
        self._outbox.open()
        journal = self._replica.journal.catch_up()
        journal.forget(tick_ms)
        last = journal.last
        if journal.last_offset == self.journal_offset:
            log.info("the transaction that failed was not committed: writing it again")
            self._write(tick_ms, positions, ended)
        elif last is not None and (last.run, last.tick_ms, last.ended) == (self._outbox.run, tick_ms, ended):
            log.info("the transaction that failed was committed after all")
            self.journal_offset = journal.last_offset
            outputs = self._outbox.waiting
            self._outbox.drop()
            self._note(outputs, tick_ms)
        else:
            raise FencedError("another process has committed outputs since the transaction that failed")

    def _write(self, tick_ms: int, positions: list[int], ended: bool) -> None:
        started = self._clock()
        self._health.commit_due(started, "assess")
        outputs = self._outbox.waiting
        try:
            self.journal_offset = self._outbox.write(tick_ms, positions, ended)
        except BrokerError:
            self._metrics.transaction("aborted")
            raise
        self._metrics.step("assess", "commit", self._clock() - started)
        self._note(outputs, tick_ms)

    def _note(self, outputs: list[TickOutput], tick_ms: int) -> None:
        if self._took_over_at is not None:
            seconds = self._clock() - self._took_over_at
            log.info("first commit %.2f s after taking over", seconds, extra={"seconds": round(seconds, 3)})
            self._took_over_at = None
        self.tick_ms = tick_ms
        self._metrics.transaction("committed")
        self._metrics.committed(time.time())
        self._metrics.broker(True)
        self._health.committed(self._clock(), "assess")
        if self._replica.core is not None:
            self._meter.committed(self._replica.core.ordering, outputs)
        for output in outputs:
            self._metrics.decision_delay(time.time() - output.tick_ms / 1000)


class AssessStage:
    """The loop of `assess`, active or standing by. Call `turn` until `done` or asked to stop, then `close`.

    Args:
        clients: makes the Kafka clients.
        topics: names.
        config: ticks, snapshots, standby.
        partitions: of the observation log.
        make: a core from the folder of a snapshot's state, or a new one.
        reader: the second-stage model, asked only for ticks that nobody has committed.
        settings: digest of the configuration and the models, as the journal keeps it.
        closing: whether a log that has ended is what was asked for (`--exit-when-idle`).
        metrics: told what happens.
        health: told that the loop works.
        role: told `active` or `standby` whenever that changes.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        config: Config,
        partitions: int,
        *,
        make: Callable[[Path | None], Core],
        reader: BackgroundReader,
        settings: str,
        closing: bool,
        metrics: Metrics,
        health: Health,
        role: Callable[[str], None] = lambda what: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader, self._settings, self._closing = reader, settings, closing
        self._restarts = 0
        self._metrics, self._health, self._clock = metrics, health, clock
        self._meter, self._role = AssessMeter(metrics), role
        role("standby")
        shared = SharedSnapshots(config.state.url, topics.prefix) if config.state.url else None
        store = SnapshotStore(Path(config.state.dir), topics.prefix, shared)
        self._snapshots = PeriodicSnapshots(store, config.state.snapshot_every_s, metrics, clock)
        self._topics = topics
        self._lease = Lease(clients, topics)
        self._replica = Replica(clients, topics, partitions, store, make, settings, config.shadow.begin_ms)
        warm = config.kafka.standby == "warm"
        self._standby = Standby(self._replica, self._snapshots, health, clock, warm=warm, prepare=reader.prepare)
        self._outbox = Outbox(clients, topics, self._replica.log.consumer, settings)
        self._commits = CommitTracker(self._outbox, self._replica, self._meter, metrics, health, clock)
        self._heard_at = self._measured_at = clock()
        self._replay: tuple[int, int] | None = None
        self._gap_since: float | None = None
        self._clocks_suspect = False
        self.active = False
        self.done = False
        """Nothing is left to do: the log is over and its last tick is committed."""

    def turn(self) -> None:
        """Run one turn of the loop.

        Raises:
            LogError: the log, the journal and the snapshots do not fit together, or the log is closed.
            BrokerError: the broker is away or refuses; trying again may help.
        """
        held = self._lease.holds(0.0 if self.active or self._standby.warm else POLL_MS / 1000)
        try:
            if self.active and not held:
                raise FencedError("the lease went to another process between two turns")
            if self.active:
                self._work()
            elif held:
                self._take_over()
            else:
                closed = self._standby.turn()
                self._metrics.broker(True)
                if closed:
                    self._log_is_closed()
        except FencedError as error:
            log.warning("no longer active, standing by: %s", error)
            self._metrics.transaction("fenced")
            self._step_down()

    # Taking over

    def _take_over(self) -> None:
        started = self._clock()
        replica = self._replica
        self._outbox.open()
        warm = replica.core is not None
        if warm:
            warm = not replica.journal.catch_up().other_settings(replica.tick, self._settings)
        if warm:
            replica.check_consistency()
        else:
            replica.restore(fenced=True)
            self._metrics.restore("beginning" if replica.manifest is None else "snapshot")
        assert replica.core is not None
        self._meter.skip_published(replica.core.ordering)
        journal = replica.journal.journal
        if journal.last is not None and journal.last.ended:
            self._log_is_closed()
            return
        self._outbox.run = uuid.uuid4().hex if journal.last is None else journal.last.run
        if not warm:
            self._snapshots.begin(None if replica.manifest is None else replica.manifest.tick_ms)
        self._health.blocked(None)
        _, ends = replica.log.bounds()
        self._replay = (sum(replica.log.positions), sum(ends))
        self._commits.begin(journal.tick_ms, journal.last_offset)
        self.active = True
        self._metrics.active(True)
        self._metrics.took_over(time.time())
        self._role("active")
        how = "warm" if warm else "cold"
        seconds = self._clock() - started
        committed = {"seconds": round(seconds, 3), "committed_tick_ms": journal.tick_ms}
        log.info("took over %s in %.2f s", how, seconds, extra=committed)

    def _log_is_closed(self) -> None:
        if not self._closing:
            raise LogError(
                "the observation log is closed (it was processed with --exit-when-idle): go on under another "
                "[kafka] topic_prefix"
            )
        self.done = True

    def _step_down(self) -> None:
        self._outbox.close()
        self._replica.drop()
        self._lease.rejoin()
        self.active = False
        self._metrics.active(False)
        self._role("standby")

    # Running ticks

    def _work(self) -> None:
        replica, core = self._replica, self._replica.core
        assert core is not None
        self._commits.resolve_uncertain()
        entries, until = 0, self._clock() + TURN_S
        if self._run_ticks(core, until):
            for entry in replica.log.poll(POLL_MS if self._outbox.empty else 1):
                entries += 1
                core.feed(entry)
                if not self._run_ticks(core, until) or self._clock() >= until:
                    break
                self._check_lease()
        if entries:
            self._heard()
        elif self._clock() - self._heard_at >= PROBE_EVERY_S:
            self._probe()
        self._report_replay_progress()
        self._measure(core)
        self._watch_gaps(core)
        self._watch_clocks(core)
        if core.ended():
            self._finish(core)
            return
        self._snapshots.look()
        snapshot_due = self._snapshots.due
        if not self._outbox.empty and (not entries or snapshot_due or self._outbox.due(self._clock())):
            self._commits.write(ended=False)
        if snapshot_due:
            self._snapshot(core)

    def _watch_gaps(self, core: Core) -> None:
        """Say at once that the log went on beyond what was read, and do not wait for ever for what is missing.

        Raises:
            LogError: a gap has been open for `GAP_PATIENCE_S`: nobody will write what is missing by himself.
        """
        gaps = core.ordering.open_gaps
        if not gaps:
            self._gap_since = None
            return
        partition, (awaited, found) = next(iter(gaps.items()))
        where = f"partition {partition} of {self._topics.posts} goes on at offset {found}, though {awaited} comes next"
        if self._gap_since is None:
            self._gap_since = self._clock()
            self._metrics.alarm("gap")
            log.error("the observation log of %s; waiting for a worker that writes what lies between", where)
        elif self._replay is None and self._clock() - self._gap_since >= GAP_PATIENCE_S:
            raise LogError(
                f"the observation log of {where}, and nobody has written the records between: the offsets of the group "
                f"{self._topics.score_group} were set forward, or its log was written to by another program. Nothing "
                f"was decided meanwhile and no snapshot was written. Stop the workers, set the group's offset of that "
                f"partition back to {awaited} (kafka-consumer-groups --reset-offsets --to-offset {awaited}), and start "
                "them again"
            )

    def _watch_clocks(self, core: Core) -> None:
        """Say that a partition decides nothing while its records are a day ahead of its clock."""
        suspect = core.ordering.suspect_clocks
        if suspect and not self._clocks_suspect:
            self._metrics.alarm("clock_jump")
            log.warning(
                "records of partition %d of %s are more than a day ahead of its clock: after a long silence, or by "
                "wrong clocks. They wait until enough of them agree (docs/reference/events.md, A jump)",
                suspect[0],
                self._topics.posts,
            )
        self._clocks_suspect = bool(suspect)

    def _probe(self) -> None:
        """A log that gets nothing looks like a broker that is away; only a question tells.

        Raises:
            BrokerError: it is away.
        """
        self._replica.log.bounds()
        self._heard()

    def _heard(self) -> None:
        """The broker has answered."""
        self._heard_at = self._clock()
        self._health.heard(self._heard_at, "assess")
        self._metrics.broker(True)

    def _run_ticks(self, core: Core, until: float) -> bool:
        """Run what is due, mute what is committed, and let the rest wait for a transaction.

        Args:
            until: when to stop (of the clock); at least one tick is run.

        Returns:
            Whether nothing is due any more.
        """
        while (due := core.next_tick()) is not None:
            if not self._is_read(core, due, until):
                return False
            started = self._clock()
            output = core.advance(self._answer)
            if output is None:
                return True
            self._replica.tick = output.tick_ms
            self._metrics.step("assess", "tick", self._clock() - started)
            if (asked := core.asked()) is not None and not self._commits.has(asked.tick_ms):
                self._reader.ask(asked)
            if self._commits.has(output.tick_ms):
                self._replica.journal.journal.forget(output.tick_ms)
                self._meter.skip_published(core.ordering)
            else:
                self._outbox.add(output, self._clock())
            if self._outbox.due(self._clock()):
                self._commits.write(ended=False)
            if self._clock() >= until:
                return core.next_tick() is None
        return True

    def _is_read(self, core: Core, tick_ms: int, until: float) -> bool:
        """Whether what this tick needs is read; waits for it until this time (of the clock), and not for ever."""
        asked = core.asked()
        if asked is None or self._commits.has(tick_ms):
            return True
        started = self._clock()
        there = self._reader.answered(asked, max(LEAST_WAIT_S, until - started))
        self._metrics.step("assess", "second_stage", self._clock() - started)
        for _ in range(self._reader.restarts - self._restarts):
            self._metrics.alarm("text_reader")
        self._restarts = self._reader.restarts
        return there

    def _answer(self, request: RerankRequest) -> Answer:
        if self._commits.has(request.tick_ms):
            return self._replica.journal.journal.answer(request)
        answer = self._reader.take(request)
        self._metrics.texts("second", len(request.texts))
        self._metrics.texts("meaning", len(request.meanings))
        return answer

    def _check_lease(self) -> None:
        """Go on through a long replay only while this process has the lease."""
        if not self._lease.holds():
            raise FencedError("the lease went to another process while the log was replayed")

    # Metrics, snapshots and the end

    def _measure(self, core: Core) -> None:
        if self._clock() - self._measured_at >= MEASURE_EVERY_S:
            self._measured_at = self._clock()
            self._meter.now(core.ordering, time.time())
            self._metrics.lag("assess", *self._replica.log.lag(time.time()))

    def _report_replay_progress(self) -> None:
        if self._replay is None:
            return
        start, end = self._replay
        done, total = sum(self._replica.log.positions) - start, end - start
        self._health.replaying(done, total)
        if done >= total:
            log.info("caught up with the observation log")
            self._replay = None

    def _snapshot(self, core: Core) -> None:
        """Write the state, where the tick it holds is committed."""
        tick = self._replica.tick
        if tick is None or tick != self._commits.tick_ms or not self._outbox.empty:
            return
        positions, journal_offset = list(self._replica.log.positions), self._commits.journal_offset
        self._snapshots.write(SnapshotManifest(self._outbox.run, tick, positions, journal_offset), core)

    def _last_snapshot(self, core: Core) -> None:
        """That of an orderly end: a restart goes on from it, and a new release or configuration needs it."""
        self._snapshots.finish()
        self._snapshot(core)
        self._snapshots.finish()

    def _finish(self, core: Core) -> None:
        """Every partition has ended and the last tick has run."""
        self._commits.write(ended=True)
        self._last_snapshot(core)
        log.info("the log has ended and everything is committed")
        self.done = True

    def close(self) -> None:
        """Commit what waits, write a snapshot, leave the lease to another."""
        try:
            core = self._replica.core
            if self.active and core is not None and self._outbox.tried is None:
                if not self._outbox.empty:
                    self._commits.write(ended=False)
                self._last_snapshot(core)
        except FencedError as error:
            log.warning("the last outputs were left to another process: %s", error)
        finally:
            self._reader.close()
            self._outbox.close()
            self._lease.close()
            self._replica.close()
