"""The base of the threads beside the web service: one stores alerts, one sends decisions, one tells receivers of them.

A loop repeats `step` until it is stopped. A step that fails is logged, counted and tried again after a growing pause,
so that a broker or database that is away for a while stops nothing for good.
"""

from __future__ import annotations

import logging
import threading
from typing import Final, Literal

from sqlalchemy.exc import SQLAlchemyError

from detector.errors import SwarmlightError
from moderation.feed_metrics import FeedMetrics

log = logging.getLogger(__name__)

MIN_RETRY_S: Final = 0.2
MAX_RETRY_S: Final = 15.0
"""The pause after a failure doubles from the first to the second: quick after a hiccup, cheap during an outage."""


class BackgroundLoop:
    """A thread that repeats `step` until it is stopped.

    Args:
        name: of the thread, in logs and as the label of its failures.
        metrics: where failures are counted.
    """

    def __init__(self, name: Literal["ingest", "feedback", "actions"], metrics: FeedMetrics) -> None:
        self.name = name
        self.metrics = metrics
        self.stopping = threading.Event()
        self.problem: str | None = "starting"
        """What went wrong in the last step; None where nothing did."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the thread to end, and wait for it."""
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def step(self) -> None:
        """Do what there is to do, or wait a moment."""
        self.stopping.wait(MIN_RETRY_S)

    def after_failure(self) -> None:
        """Prepare for another attempt."""

    def finish(self) -> None:
        """Release what the loop holds; called once, in its thread, after the last step."""

    def _run(self) -> None:
        pause = MIN_RETRY_S
        while not self.stopping.is_set():
            try:
                self.step()
                self.problem, pause = None, MIN_RETRY_S
            except (SwarmlightError, SQLAlchemyError, OSError) as error:
                # The text of a database error may quote rows; its type is enough to look further.
                reason = str(error) if isinstance(error, SwarmlightError) else type(error).__name__
                if self.problem != reason:
                    log.warning("background loop %s failed: %s; it tries again by itself", self.name, reason)
                self.problem = reason
                self.metrics.failure(self.name)
                self.stopping.wait(pause)
                pause = min(2 * pause, MAX_RETRY_S)
                self.after_failure()
        self.finish()
