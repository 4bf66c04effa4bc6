"""What an `assess` process does while another one is active: look whether the log is over, and if warm, read along."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from streaming.health import Health
from streaming.kafka.replica import Replica

log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
"""How often a cold standby looks whether the log is over."""

READ_MS: Final = 200
"""Longest wait for entries of the log, and the pause of a warm standby that has caught up with what is committed."""


class Standby:
    """Cold: keeps nothing. Warm: keeps the replica at the committed tick, and what the expert needs in memory.

    Args:
        prepare: loads what is otherwise loaded when the expert is first asked, seconds after a takeover.
    """

    def __init__(
        self,
        replica: Replica,
        health: Health,
        clock: Callable[[], float],
        *,
        warm: bool,
        prepare: Callable[[], None],
    ) -> None:
        self._replica, self._health, self._clock, self._prepare = replica, health, clock, prepare
        self._looked_at = float("-inf")
        self._began = False
        self.warm = warm

    def turn(self) -> bool:
        """Look once; whether the log is over and its last tick committed.

        Raises:
            LogError, BrokerError: as `Replica.follow`.
        """
        now, reader = self._clock(), self._replica.journal
        if not self.warm:
            if now - self._looked_at < LOOK_EVERY_S:
                return False
            self._looked_at = now
        journal = reader.read_end() if reader.journal.last is None and not self.warm else reader.catch_up()
        self._health.heard(now)
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
        if self._replica.held_back:
            time.sleep(READ_MS / 1000)
        if not self._replica.follow(READ_MS):
            log.warning("the active process has another configuration or other models: standing by cold")
            self._replica.drop()
            self.warm = False
