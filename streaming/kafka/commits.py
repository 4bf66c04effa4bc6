"""What an active `assess` has committed: it writes what waits, and finds out what became of a write that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from detector.errors import BrokerError, FencedError
from streaming.assess.records import TickOutput
from streaming.health import Health
from streaming.kafka.outbox import Outbox
from streaming.kafka.replica import Replica
from streaming.metering import AssessMeter
from streaming.metrics import Metrics

log = logging.getLogger(__name__)


class Commits:
    """The transactions of a process while it is active. `begin` at a takeover.

    Args:
        meter: told what is committed, so that nothing is counted twice.
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
        """Commit what waits. Where it is not known whether that worked, `make_sure` finds out.

        Raises:
            FencedError: another process has taken over.
            BrokerError: it is not known whether it was written.
        """
        tick_ms = self._replica.tick
        self._write(0 if tick_ms is None else tick_ms, list(self._replica.log.positions), ended)

    def make_sure(self) -> None:
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
            raise FencedError("another process has written outputs meanwhile")

    def _write(self, tick_ms: int, positions: list[int], ended: bool) -> None:
        started = self._clock()
        self._health.commit_due(started)
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
            log.info("first commit %.2f s after taking over", self._clock() - self._took_over_at)
            self._took_over_at = None
        self.tick_ms = tick_ms
        self._metrics.transaction("committed")
        self._health.committed(self._clock())
        if self._replica.core is not None:
            self._meter.committed(self._replica.core.ordering, outputs)
        for output in outputs:
            self._metrics.decision_delay(time.time() - output.tick_ms / 1000)
