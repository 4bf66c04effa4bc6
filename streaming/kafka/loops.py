"""Runs the stages of one worker, each in a thread of its own, until they are done, one fails, or it is asked to stop.

A broker that is away is no reason to end: the loops go on asking, and health says so. Whatever asking again does not
mend ends the whole worker with its error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from detector.errors import BrokerError
from streaming.health import Health
from streaming.kafka import trouble
from streaming.metrics import Metrics

log = logging.getLogger(__name__)

PAUSE_S: Final = 1.0
"""Wait after an error of the broker."""

CLOSE_S: Final = 25.0
"""Longest time to finish a batch, commit and leave: within the half minute that supervisors grant."""


class Stage(Protocol):
    """One of the loops."""

    done: bool

    def turn(self) -> None: ...

    def close(self) -> None: ...


class Loops:
    """The stages of one worker.

    Args:
        stages: functions that make a stage, by name; each is called in the stage's own thread.
        health: told when the slowest of the loops last went round.
    """

    def __init__(self, stages: dict[str, Callable[[], Stage]], metrics: Metrics, health: Health) -> None:
        self._metrics, self._health = metrics, health
        self._turned = dict.fromkeys(stages, time.monotonic())
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._loop, args=(name, make), name=name, daemon=True)
            for name, make in stages.items()
        ]

    def stop(self) -> None:
        """Ask all loops to finish their batch and end; may be called from a signal handler."""
        self._stop.set()
        self._changed.set()

    def run(self) -> None:
        """Start all loops and return when all have ended; at most about `CLOSE_S` after being asked to.

        Raises:
            BaseException: the first error that ended a loop.
        """
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads) and not self._stop.is_set():
            self._changed.wait(0.2)
            self._changed.clear()
            self._health.turned(min(self._turned.values()))
        deadline = time.monotonic() + CLOSE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._errors:
            raise self._errors[0]
        if any(thread.is_alive() for thread in self._threads):
            log.warning("not everything could be finished within %.0f s; the next start goes on from there", CLOSE_S)

    def _loop(self, name: str, make: Callable[[], Stage]) -> None:
        try:
            stage = make()
            try:
                self._turn(name, stage)
            finally:
                self._turned[name] = float("inf")
                try:
                    stage.close()
                except BrokerError as error:
                    log.warning("%s did not end in order: %s", name, error)
        except BaseException as error:
            self._errors.append(error)
            self.stop()
        finally:
            self._changed.set()

    def _turn(self, name: str, stage: Stage) -> None:
        while not stage.done and not self._stop.is_set():
            self._turned[name] = time.monotonic()
            try:
                stage.turn()
            except BrokerError as error:
                if trouble.is_hopeless(error):
                    raise
                log.warning("%s: %s", name, error)
                self._metrics.broker(False)
                self._stop.wait(PAUSE_S)
