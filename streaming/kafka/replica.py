"""The core with its place in the log: found, restored and read on, up to the tick that is committed.

The active process and a warm standby both hold one; only what they do with a tick beyond the committed one differs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec
from kafka import TopicPartition

from detector.errors import LogError
from streaming.assess.ordering import Ordering
from streaming.assess.records import Experts, TickOutput
from streaming.kafka.clients import CALL_MS, Clients
from streaming.kafka.journal import JournalReader
from streaming.kafka.logreader import LogReader
from streaming.kafka.recovery import Found, check, starts
from streaming.kafka.snapshots import Place, Snapshot, Snapshots
from streaming.kafka.topics import Topics
from streaming.observations import Entry

log = logging.getLogger(__name__)


class Core(Protocol):
    """The state machine, as far as these shells know it (`streaming.assess.core.Assess`)."""

    @property
    def ordering(self) -> Ordering:
        """Its events in order, with the counts and watermarks that metrics show."""
        ...

    def feed(self, entry: Entry) -> None: ...

    def next_tick(self) -> int | None:
        """Time of the tick that `advance` would run, ms; None where none is due."""
        ...

    def advance(self, experts: Experts) -> TickOutput | None: ...

    def ended(self) -> bool: ...

    def snapshot(self, folder: Path) -> None: ...


class _Metadata(msgspec.Struct):
    tick: int


class Replica:
    """A core, the log it reads and the journal it obeys.

    Args:
        make: a core from the folder of a snapshot's state, or a new one.
        settings: digest of this process's configuration and models.
    """

    def __init__(
        self,
        clients: Clients,
        topics: Topics,
        partitions: int,
        snapshots: Snapshots,
        make: Callable[[Path | None], Core],
        settings: str,
    ) -> None:
        self._clients, self._topics, self._snapshots = clients, topics, snapshots
        self._make, self._settings = make, settings
        self.log = LogReader(clients, topics, partitions)
        self.journal = JournalReader(clients, topics)
        self.core: Core | None = None
        self.tick: int | None = None
        """Last tick that ran here, or that the snapshot had seen."""
        self.place: Place | None = None
        """The snapshot it started from."""

    def restore(self, *, fenced: bool) -> Core:
        """A core at the best place to start from.

        Args:
            fenced: whether nobody else can commit any more, so that everything that is committed has to agree.

        Raises:
            LogError: there is none, or what was found does not fit together.
            BrokerError: the broker is away.
        """
        self.core, self.place = None, None
        last = self.journal.read_end().last
        usable = [] if last is None else [each for each in self._snapshots.all() if each.place.run == last.run]
        self.journal.start(min((each.place.journal for each in usable), default=None))
        self.journal.catch_up()
        found = self._found(usable, fenced=fenced)
        check(found)
        reasons: list[str] = []
        for snapshot in starts(found, reasons):
            if snapshot is None:
                self.log.seek([0] * len(found.firsts))
                self.core, self.tick = self._make(None), None
                break
            try:
                self.core = self._make(snapshot.state)
            except LogError as error:
                log.error("snapshot %s cannot be used: %s", snapshot.folder.name, error)
                reasons.append(f"{snapshot.folder.name} cannot be used ({error})")
                continue
            self.log.seek(snapshot.place.positions)
            self.place, self.tick = snapshot.place, snapshot.place.tick_ms
            break
        assert self.core is not None
        return self.core

    def check(self) -> None:
        """Whether what is committed fits together; to be asked once nobody else can commit.

        Raises:
            LogError: it does not.
        """
        check(self._found([], fenced=True))

    def _found(self, snapshots: list[Snapshot], *, fenced: bool) -> Found:
        firsts, ends = self.log.bounds()
        journal = self.journal.journal
        if not fenced:
            # Meanwhile more may have been committed than was read of the journal.
            return Found(journal, journal.tick_ms, firsts, ends, False, snapshots, self._settings)
        consumer = self.log.consumer
        with self._clients.explained("reading committed positions"):
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
        return Found(journal, group_tick, firsts, ends, outputs, snapshots, self._settings)

    def drop(self) -> None:
        """Forget the core: ticks may have run in it that another process commits now."""
        self.core, self.tick, self.place = None, None, None

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
        if self._run_committed(core):
            return True
        for entry in self.log.poll(timeout_ms):
            core.feed(entry)
            self._run_committed(core)
        return True

    def _run_committed(self, core: Core) -> bool:
        """Run committed ticks that are due; whether the one after them is held back."""
        while core.next_tick() is not None:
            if self.held_back:
                return True
            output = core.advance(self.journal.journal.answer)
            if output is not None:
                self.tick = output.tick_ms
                self.journal.journal.forget(output.tick_ms)
        return False

    def close(self) -> None:
        self.log.close()
        self.journal.close()
