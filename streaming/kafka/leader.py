"""Which `assess` process is active (`Lease`), the state it holds (`Replica`), and what the others do (`Standby`).

The active process owns the only partition of the lease topic. The group deals by range: the partition goes to the
member whose id comes first, and ids begin with the time at which a process asked for the lease, so the one that has
asked longest has it, and nobody who joins takes it away. Whoever has lost it asks again, behind the others.
(kafka-python's sticky assignors would leave the partition to nobody when two members claim to have had it, as after
both were too slow for the broker.) A member has to answer the group within the session timeout, and a tick or a
snapshot may take longer: so the lease has a thread of its own, which gives it up when its process does not call `holds`
any more. The lease only says who should write. That nobody else can is the work of the transactional id: a process that
has lost the lease without noticing is fenced by its successor.

A `Replica` is the core restored from a snapshot or from offset 0, and run up to the committed tick. The active process
and a warm standby both hold one; they differ in what they do with a tick beyond the committed one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from detector.errors import BrokerError, LogError, StartError
from detector.models import Models
from streaming.assess.engine import Assess
from streaming.assess.ordering import Ordering
from streaming.assess.outputs import Reranker, RerankRequest, TickOutput
from streaming.assess.settings import AssessSettings
from streaming.assess.snapshot import copied, restore, write_copied
from streaming.health import Health
from streaming.kafka.client import CALL_MS, MAX_POLL_MS, Clients, Topics, close
from streaming.kafka.consumer import GroupAssignment
from streaming.kafka.journal import JournalReader
from streaming.kafka.log import LogReader
from streaming.kafka.snapshots import (
    Core,
    PeriodicSnapshots,
    RecoveryState,
    Snapshot,
    SnapshotManifest,
    SnapshotStore,
    check_consistency,
    starting_points,
)
from streaming.schema.observation import Entry

log = logging.getLogger(__name__)

STATE: Final = "assess"
"""The only file in a snapshot's folder of state."""

POLL_MS: Final = 100
"""How often the thread checks its flags; the client answers the group in between."""

PAUSE_S: Final = 0.5
"""Wait after an error of the broker."""

STUCK_S: Final = MAX_POLL_MS / 1000
"""Seconds without a call of `holds` after which the process counts as stuck: what Kafka itself gives a member."""

RETRY_S: Final = 60.0
"""How often a standby without anything to start from looks again."""

LOOK_EVERY_S: Final = 1.0
"""How often a cold standby asks whether the log has ended."""

FOLLOW_S: Final = 1.0
"""How long a warm standby goes on with a backlog before it looks at its lease and at requests to stop."""

READ_MS: Final = 200
"""Longest wait for entries of the log, and the pause of a warm standby that has caught up with what is committed."""


class AssessCore:
    """The state machine of `streaming.assess`, with its snapshots as folders."""

    def __init__(self, assess: Assess) -> None:
        self.assess = assess

    @property
    def ordering(self) -> Ordering:
        return self.assess.ordering

    def feed(self, entry: Entry) -> None:
        self.assess.feed(entry)

    def next_tick(self) -> int | None:
        return self.assess.next_tick()

    def asked(self) -> RerankRequest | None:
        return self.assess.asked()

    def advance(self, reranker: Reranker) -> TickOutput | None:
        return self.assess.advance(reranker)

    def ended(self) -> bool:
        return self.assess.ended()

    def snapshot(self) -> Callable[[Path], None]:
        state = copied(self.assess)

        def save(folder: Path) -> None:
            folder.mkdir()
            with (folder / STATE).open("w+b") as file:
                write_copied(file, state)
                file.flush()
                os.fsync(file.fileno())

        return save


def make_core(
    settings: AssessSettings,
    models: Models,
    partitions: int,
    folder: Path | None,
    log_models: dict[str, str] | None = None,
) -> AssessCore:
    """A new core, or one that goes on from the snapshot in `folder`.

    Args:
        settings: of `assess`.
        models: the weights.
        partitions: of the observation log.
        folder: state folder of a snapshot; None: start empty.
        log_models: name and version of the models that the log has to be of; None: of those it begins with.

    Raises:
        LogError: the snapshot is damaged, or of other settings or models.
    """
    assess = Assess(settings, models, partitions)
    assess.state.log_models = log_models
    if folder is not None:
        restore(folder / STATE, assess)
    return AssessCore(assess)


class _Metadata(msgspec.Struct):
    tick: int


class Replica:
    """A core, the log it reads, and the journal whose committed ticks it repeats.

    Args:
        clients: makes the consumers.
        topics: names.
        partitions: of the observation log.
        snapshots: what there is to start from.
        make: a core from the folder of a snapshot's state, or a new one.
        settings: digest of this process's configuration and models.
        begin_ms: when what a shadow begins with was written, ms since 1970; None: with what retention has left.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        partitions: int,
        snapshots: SnapshotStore,
        make: Callable[[Path | None], Core],
        settings: str,
        begin_ms: int | None = None,
    ) -> None:
        self._clients, self._topics, self._snapshots = clients, topics, snapshots
        self._begin_ms = begin_ms
        self._make, self._settings = make, settings
        self.log = LogReader(clients, topics, partitions)
        self.journal = JournalReader(clients, topics)
        self.core: Core | None = None
        self.tick: int | None = None
        """Last tick that ran here, or that the snapshot had seen."""
        self.manifest: SnapshotManifest | None = None
        """The snapshot it started from."""

    def restore(self, *, fenced: bool) -> Core:
        """A core at the best place to start from.

        Args:
            fenced: whether nobody else can commit any more, so that everything that is committed has to agree.

        Raises:
            LogError: there is none, or what was found does not fit together.
            BrokerError: the broker is away.
        """
        self.core, self.manifest = None, None
        last = self.journal.read_end().last
        usable = [] if last is None else [each for each in self._snapshots.all() if each.manifest.run == last.run]
        self.journal.start(min((each.manifest.journal for each in usable), default=None))
        self.journal.catch_up()
        found = self._recovery_state(usable, fenced=fenced)
        check_consistency(found)
        reasons: list[str] = []
        for snapshot in starting_points(found, reasons):
            if snapshot is None:
                self.log.seek([0] * len(found.firsts) if found.begins is None else found.begins)
                self.core, self.tick = self._make(None), None
                if found.begins is not None:
                    self.core.ordering.begin_anywhere()
                break
            try:
                self.core = self._make(self._snapshots.on_disk(snapshot).state)
            except LogError as error:
                log.error("snapshot %s cannot be used: %s", snapshot.folder.name, error)
                reasons.append(f"{snapshot.folder.name} cannot be used ({error})")
                continue
            self.log.seek(snapshot.manifest.positions)
            self.manifest, self.tick = snapshot.manifest, snapshot.manifest.tick_ms
            break
        assert self.core is not None
        return self.core

    def check_consistency(self) -> None:
        """Whether what is committed fits together; to be asked once nobody else can commit.

        Raises:
            LogError: it does not.
        """
        check_consistency(self._recovery_state([], fenced=True))

    def _recovery_state(self, snapshots: list[Snapshot], *, fenced: bool) -> RecoveryState:
        firsts, ends = self.log.bounds()
        begins = self._begins(firsts)
        journal = self.journal.journal
        if not fenced:
            # Meanwhile more may have been committed than was read of the journal.
            return RecoveryState(journal, journal.tick_ms, firsts, ends, False, snapshots, self._settings, begins)
        consumer = self.log.consumer
        with self._clients.explained("reading the committed positions of assess"):
            group = consumer.committed(TopicPartition(self._topics.observations, 0), metadata=True, timeout_ms=CALL_MS)
            places = [
                TopicPartition(self._topics.alerts, n) for n in consumer.partitions_for_topic(self._topics.alerts)
            ]
            outputs = any(consumer.end_offsets(places, CALL_MS).values())
        try:
            group_tick = None if group is None else msgspec.json.decode(group.metadata, type=_Metadata).tick
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise LogError(
                f"the group {self._topics.assess_group} has offsets that assess did not commit: another program uses "
                "the group, or they were reset by hand; delete the group's offsets, the journal has the positions"
            ) from error
        return RecoveryState(journal, group_tick, firsts, ends, outputs, snapshots, self._settings, begins)

    def _begins(self, firsts: list[int]) -> list[int] | None:
        """Where a start without a snapshot begins the log; None: at offset 0."""
        if self._topics.live is None:
            return None
        if self._begin_ms is None or self._topics.observations != self._topics.live.observations:
            return firsts  # a log of its own begins where its score began
        since = self.log.written_since(self._begin_ms)
        return [max(first, at) for first, at in zip(firsts, since, strict=True)]

    def drop(self) -> None:
        """Forget the core: ticks may have run in it that another process commits now."""
        self.core, self.tick, self.manifest = None, None, None

    @property
    def held_back(self) -> bool:
        """Whether the next tick is one that nobody has committed yet."""
        due = None if self.core is None else self.core.next_tick()
        committed = self.journal.journal.tick_ms
        return due is not None and (committed is None or due > committed)

    def follow(self, timeout_ms: int) -> bool:
        """Read on, and run what is committed; False where this configuration cannot follow the active process's.

        Raises:
            LogError, BrokerError: as `restore` and the log's reader.
        """
        core = self.core or self.restore(fenced=False)
        journal = self.journal.journal
        if journal.other_settings(self.tick, self._settings):
            return False
        until = time.monotonic() + FOLLOW_S
        if self._run_committed(core, until):
            return True
        for entry in self.log.poll(timeout_ms):
            core.feed(entry)
            self._run_committed(core, until)
            if time.monotonic() >= until:
                break
        return True

    def committed(self) -> SnapshotManifest | None:
        """What a snapshot of the core would be of; None where its last tick is not the last committed one."""
        journal = self.journal.journal
        if journal.last is None or self.core is None or self.tick is None or self.tick != journal.tick_ms:
            return None
        return SnapshotManifest(journal.last.run, self.tick, list(self.log.positions), journal.last_offset)

    def _run_committed(self, core: Core, until: float) -> bool:
        """Run committed ticks that are due, until this time; whether the one after them has to wait."""
        while core.next_tick() is not None:
            if self.held_back or time.monotonic() >= until:
                return True
            output = core.advance(self.journal.journal.answer)
            if output is not None:
                self.tick = output.tick_ms
                self.journal.journal.forget(output.tick_ms)
        return False

    def close(self) -> None:
        self.log.close()
        self.journal.close()


class Lease:
    """A member of the lease's group, in a thread of its own. Call `holds` often: it is the process's sign of life.

    Args:
        clients: makes the consumer.
        topics: names the lease topic and its group.
        wall_ns: ns since 1970. Where clocks of machines differ, a process may be replaced by one that joins; no more.
        clock: seconds, monotonic.
        group: whose members share the lease; empty: that of `assess`.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
        group: str = "",
    ) -> None:
        self._clients, self._topics, self._wall_ns, self._clock = clients, topics, wall_ns, clock
        self._group = group or topics.lease_group
        self._membership = GroupAssignment()
        self._consumer: KafkaConsumer | None = None
        self._held = threading.Event()
        self._anew, self._closing = threading.Event(), threading.Event()
        self._error: BrokerError | None = None
        self._looked_at = clock()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    def holds(self, wait_s: float = 0.0) -> bool:
        """Whether this process has the lease; waits for it up to `wait_s`.

        Raises:
            BrokerError: the last attempt to reach the group failed.
        """
        self._looked_at = self._clock()
        error = self._error
        if error is not None:
            raise BrokerError(str(error)) from error.__cause__
        return self._held.wait(wait_s) if wait_s else self._held.is_set()

    def rejoin(self) -> None:
        """Leave the group and join it again, behind all others."""
        self._held.clear()
        self._anew.set()

    def close(self) -> None:
        """Leave the group, so that a standby takes over at once."""
        self._closing.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
                self._error = None
            except BrokerError as error:
                self._error = error
                self._closing.wait(PAUSE_S)
        self._leave()

    def _turn(self) -> None:
        stuck = self._clock() - self._looked_at > STUCK_S
        if stuck or self._membership.lost or self._anew.is_set():
            if stuck and self._consumer is not None:
                log.error("%s: not turned for %.0f s, leaving the lease to another process", self._group, STUCK_S)
            self._leave()
            self._anew.clear()
        if stuck:
            self._closing.wait(PAUSE_S)
            return
        consumer = self._consumer or self._join()
        with self._clients.explained("holding the lease"):
            try:
                consumer.poll(POLL_MS)
            except (NoOffsetForPartitionError, OffsetOutOfRangeError):
                # The topic holds nothing; any position will do.
                for tp in self._membership.assigned:
                    try:
                        consumer.seek(tp, 0)
                    except ValueError:
                        break
        if self._membership.lost or self._anew.is_set():
            self._held.clear()
        elif self._membership.settled:
            # While the group reassigns, the lease stays with its owner.
            self._held.set() if self._membership.assigned else self._held.clear()

    def _join(self) -> KafkaConsumer:
        self._membership = GroupAssignment()
        consumer = self._clients.member(self._group, 1, name=f"assess-{self._wall_ns():020d}")
        self._clients.subscribe(consumer, [self._topics.lease], self._membership)
        self._consumer = consumer
        return consumer

    def _leave(self) -> None:
        self._held.clear()
        close(self._consumer)
        self._consumer, self._membership = None, GroupAssignment()


class Standby:
    """Waits for the lease. Cold: keeps nothing. Warm: keeps the replica at the committed tick, and models in memory.

    A warm one writes snapshots of its own: where every process has a disk of its own, the one that takes over must not
    depend on what the others have on theirs, nor on how much of the log is left.

    Args:
        replica: read along when warm.
        snapshots: written when warm.
        health: told when the broker answers, and when there is nothing to start from.
        clock: seconds, monotonic.
        warm: whether to read along.
        prepare: loads what is otherwise loaded when the second-stage model is first asked, seconds after a takeover.
    """

    def __init__(
        self,
        replica: Replica,
        snapshots: PeriodicSnapshots,
        health: Health,
        clock: Callable[[], float],
        *,
        warm: bool,
        prepare: Callable[[], None],
    ) -> None:
        self._replica, self._snapshots = replica, snapshots
        self._health, self._clock, self._prepare = health, clock, prepare
        self._looked_at = float("-inf")
        self._retry_at = float("-inf")
        self._began = False
        self.warm = warm

    def turn(self) -> bool:
        """Read what is committed; whether the log has ended and its last tick is committed.

        Raises:
            LogError, BrokerError: as `Replica.follow`.
        """
        now, reader = self._clock(), self._replica.journal
        if not self.warm:
            if now - self._looked_at < LOOK_EVERY_S:
                return False
            self._looked_at = now
        journal = reader.read_end() if reader.journal.last is None and not self.warm else reader.catch_up()
        self._health.heard(now, "assess")
        if journal.last is not None and journal.last.ended:
            return True
        if self.warm:
            self._follow()
        if not self._began:
            self._began = True
            if self.warm:
                self._prepare()
            log.info("standing by %s", "warm" if self.warm else "cold")
        if not self.warm and journal.last is not None:
            journal.forget(journal.last.tick_ms)
        return False

    def _follow(self) -> None:
        if self._clock() < self._retry_at:
            time.sleep(READ_MS / 1000)
            return
        if self._replica.held_back:
            time.sleep(READ_MS / 1000)
        begins = self._replica.core is None
        try:
            follows = self._replica.follow(READ_MS)
        except StartError as error:
            # No reason to end: the active process goes on, and a snapshot of it may appear in a folder that is shared.
            log.error("standing by with nothing to start from: %s", error)
            self._health.blocked("there is no snapshot to start from; the log says more")
            self._retry_at = self._clock() + RETRY_S
            return
        self._health.blocked(None)
        if not follows:
            log.warning("the active process has another configuration or other models: standing by cold")
            self._replica.drop()
            self.warm = False
            return
        if begins:
            manifest = self._replica.manifest
            self._snapshots.begin(None if manifest is None else manifest.tick_ms)
        core = self._replica.core
        self._snapshots.look()
        if core is not None and self._snapshots.due and (committed := self._replica.committed()) is not None:
            self._snapshots.write(committed, core, share=False)
