"""The two threads beside the service: one takes alerts in, one sends decisions out. Both outlive what goes wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError

from detector.errors import SwarmlightError
from moderation import ingest, outbox
from moderation.db import Database, Meta, upsert
from moderation.outbox import Sink
from moderation.sources import Batch, Source
from moderation.telemetry import FeedMetrics

log = logging.getLogger(__name__)

SHORTEST_WAIT_S: Final = 0.2
LONGEST_WAIT_S: Final = 15.0
"""Waiting after a failure doubles from one to the other."""


class Loop:
    """A thread that takes one turn after another until it is stopped."""

    def __init__(self, name: Literal["ingest", "feedback"], metrics: FeedMetrics) -> None:
        self.name = name
        self.metrics = metrics
        self.stopping = threading.Event()
        self.problem: str | None = "starting"
        """What went wrong at the last turn; None where nothing did."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 10.0) -> None:
        self.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def turn(self) -> None:
        """Do what there is to do, or wait a moment."""
        self.stopping.wait(SHORTEST_WAIT_S)

    def after_failure(self) -> None:
        """Get ready to try again."""

    def finish(self) -> None:
        """Give everything back."""

    def _run(self) -> None:
        wait = SHORTEST_WAIT_S
        while not self.stopping.is_set():
            try:
                self.turn()
                self.problem, wait = None, SHORTEST_WAIT_S
            except (SwarmlightError, SQLAlchemyError, OSError) as error:
                # The text of a database error may quote rows; its kind is enough to look further.
                said = str(error) if isinstance(error, SwarmlightError) else type(error).__name__
                if self.problem != said:
                    log.warning("%s: %s; trying again", self.name, said)
                self.problem = said
                self.metrics.failure(self.name)
                self.stopping.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
                self.after_failure()
        self.finish()


class Ingest(Loop):
    """Takes alerts and details in."""

    def __init__(self, database: Database, source: Source, metrics: FeedMetrics, now: Callable[[], int]) -> None:
        super().__init__("ingest", metrics)
        self._database = database
        self._source = source
        self._now = now
        self._started = False

    def turn(self) -> None:
        if not self._started:
            self._source.start(self._places())
            self._started = True
        batch = self._source.read()
        if batch:
            self._take(batch)

    def after_failure(self) -> None:
        # What was read and not stored is read again.
        self._started = False

    def finish(self) -> None:
        self._source.close()

    def _places(self) -> dict[str, str]:
        with self._database.read() as connection:
            return {row.key: row.value for row in connection.execute(select(Meta.key, Meta.value))}

    def _take(self, batch: Batch) -> None:
        def work(connection: Connection) -> ingest.Taken:
            taken = ingest.Taken()
            now = self._now()
            for alert_id, page in batch.gone_pages:
                ingest.drop_page(connection, alert_id, page)
            ingest.take_alerts(connection, batch.alerts, now, taken)
            ingest.take_pages(connection, batch.pages, taken)
            for key, value in batch.places.items():
                statement = upsert(connection, Meta).values(key=key, value=value)
                connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))
            return taken

        taken = self._database.transact(work)
        for (kind, status), count in taken.revisions.items():
            self.metrics.alert(kind, status, count)
        self.metrics.record("stale", taken.stale)
        self.metrics.record("unreadable", batch.unreadable)


class Feedback(Loop):
    """Sends decisions. `wake` makes it look at once."""

    def __init__(self, database: Database, sink: Sink, metrics: FeedMetrics, now: Callable[[], int]) -> None:
        super().__init__("feedback", metrics)
        self._database = database
        self._sink = sink
        self._now = now
        self._news = threading.Event()

    def wake(self) -> None:
        self._news.set()

    def turn(self) -> None:
        self._news.wait(1.0)
        self._news.clear()
        if not self.stopping.is_set():
            outbox.flush(self._database, self._sink.send, self._now)

    def stop(self, timeout_s: float = 10.0) -> None:
        self.stopping.set()
        self._news.set()
        super().stop(timeout_s)

    def finish(self) -> None:
        try:
            outbox.flush(self._database, self._sink.send, self._now)
        except (SwarmlightError, SQLAlchemyError, OSError):
            log.warning("some decisions are not sent yet; they are at the next start")
        self._sink.close()


def now_ms() -> int:
    """The wall clock, ms since 1970."""
    return time.time_ns() // 1_000_000
