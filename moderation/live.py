"""Live updates: one query of the database a second for everybody, sent to each browser as server-sent events.

An event says that something changed, never what it says: the page asks for what it wants to show, with its user's
rights. The id of an event is a time. Whoever connects again with the last id (header `Last-Event-ID`, or `since`) is
first told what changed meanwhile, by whichever process of the feed answers: it is looked up in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import anyio
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import ServerSentEvent

from detector.errors import FeedError
from moderation.alert_lists import count_for_leads, count_waiting
from moderation.database_tables import AlertRow
from moderation.db import Database
from moderation.feed_metrics import FeedMetrics

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
"""Between two queries for changes."""

OVERLAP_MS: Final = 5_000
"""A transaction that began earlier may commit later: what changed this long before the last query is queried again."""

MAX_IDS: Final = 100
"""Alerts named in one event; of more, only the number is told."""

RETRY_MS: Final = 3_000
"""A browser waits this long before it connects again."""

PING_S: Final = 15.0
"""A comment this often keeps proxies from closing a silent connection."""

END_CHECK_S: Final = 0.5
END_GRACE_S: Final = 2.0
"""A stream notices within the first that the feed ends, and is cut off after the second, before the server is."""

MAX_LISTENERS: Final = 500
MAX_LISTENERS_PER_USER: Final = 8
"""Open browser windows: of all users, and of one."""

MAX_LAG: Final = 20
"""Events a slow browser may lag behind before the oldest are dropped: each only says that something changed."""


class Hub:
    """Polls the database for changed alerts and tells every listener.

    Args:
        database: where alerts are kept.
        metrics: what is counted.
        now: the wall clock, ms since 1970.
    """

    def __init__(self, database: Database, metrics: FeedMetrics, now: Callable[[], int]) -> None:
        self._database = database
        self._metrics = metrics
        self._now = now
        self._listeners: dict[asyncio.Queue[ServerSentEvent], str] = {}
        self._sent: set[tuple[str, int]] = set()
        self._task: asyncio.Task[None] | None = None
        self._counts: dict[str, int] = {}
        self._since = now()

    async def start(self) -> None:
        """Begin to poll, in a task of the running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End polling."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def listen(
        self, user_id: str, until_ms: int, since: int | None = None, ending: anyio.Event | None = None
    ) -> AsyncIterator[ServerSentEvent]:
        """Events for one browser window, until a time or until the feed ends.

        Args:
            user_id: whose window it is.
            until_ms: when the events end, ms since 1970; the browser then connects again.
            since: id of the last event it saw; None for only what is new.
            ending: set when the feed ends.

        Raises:
            FeedError: `limited`: too many windows are open.
        """
        of_user = sum(1 for who in self._listeners.values() if who == user_id)
        if len(self._listeners) >= MAX_LISTENERS or of_user >= MAX_LISTENERS_PER_USER:
            raise FeedError("limited", "too many windows follow the queue: close some, or load this page again later")
        return self._events(user_id, until_ms, since, ending or anyio.Event())

    async def _events(
        self, user_id: str, until_ms: int, since: int | None, ending: anyio.Event
    ) -> AsyncIterator[ServerSentEvent]:
        mailbox: asyncio.Queue[ServerSentEvent] = asyncio.Queue(MAX_LAG)
        self._listeners[mailbox] = user_id
        self._metrics.listeners(len(self._listeners))
        try:
            yield ServerSentEvent(retry=RETRY_MS)
            yield _event("hello", self._counts, self._since if since is None else since)
            if since is not None:
                # After this window is registered, so that no change falls between the two.
                with contextlib.suppress(SQLAlchemyError):
                    missed = await asyncio.to_thread(self._changes_since, since)
                    if missed is not None:
                        yield missed
            while (left_ms := until_ms - self._now()) > 0 and not ending.is_set():
                try:
                    event = await asyncio.wait_for(mailbox.get(), min(left_ms / 1000, END_CHECK_S))
                except TimeoutError:
                    continue
                yield event
        finally:
            self._listeners.pop(mailbox, None)
            self._metrics.listeners(len(self._listeners))

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                event = await asyncio.to_thread(self._poll)
                if event is not None:
                    self._publish(event)
            except SQLAlchemyError as error:
                log.warning("live updates: the database failed: %s; trying again", type(error).__name__)
                self._metrics.failure("live")
            await asyncio.sleep(max(0.1, POLL_S - (time.monotonic() - started)))

    def _poll(self) -> ServerSentEvent | None:
        """What changed since the last poll, as an event; None where nothing did."""
        now = self._now()
        with self._database.read() as connection:
            rows = _changed_since(connection, self._since)
            new = [row for row in rows if (row.id, row.changed) not in self._sent]
            self._sent = {(row.id, row.changed) for row in rows}
            self._since = rows[0].changed if rows else max(self._since, now - OVERLAP_MS)
            if not new and self._counts:
                return None
            self._count(connection, now)
        return self._change_event(new, self._since)

    def _changes_since(self, since: int) -> ServerSentEvent | None:
        """What changed since a browser's last event, as one; None where nothing did."""
        with self._database.read() as connection:
            rows = _changed_since(connection, since)
            if not self._counts:
                self._count(connection, self._now())
        return self._change_event(rows, max(since, rows[0].changed)) if rows else None

    def _count(self, connection: Connection, now: int) -> None:
        count = count_waiting(connection, now)
        self._metrics.waiting(count)
        self._counts = {"waiting": count, "for_leads": count_for_leads(connection, now)}

    def _change_event(self, rows: Sequence[Any], upto: int) -> ServerSentEvent:
        named = rows[:MAX_IDS]
        changes = {
            "changed": [row.id for row in named],
            "times": [row.changed for row in named],
            "arrived": [row.id for row in named if row.arrived == row.changed],
            "more": len(rows) - len(named),
        }
        return _event("change", self._counts | changes, upto)

    def _publish(self, event: ServerSentEvent) -> None:
        for mailbox in list(self._listeners):
            if mailbox.full():
                mailbox.get_nowait()
            mailbox.put_nowait(event)


def ping() -> ServerSentEvent:
    """The comment that keeps a silent connection open."""
    return ServerSentEvent(comment="ping")


def _changed_since(connection: Connection, since: int) -> Sequence[Any]:
    """Alerts that changed since a time, or shortly before it, the latest first."""
    query = (
        select(AlertRow.id, AlertRow.changed, AlertRow.arrived)
        .where(AlertRow.changed >= since - OVERLAP_MS)
        .order_by(AlertRow.changed.desc())
        .limit(20 * MAX_IDS)
    )
    return connection.execute(query).all()


def _event(name: str, data: dict[str, Any], at: int) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, separators=(",", ":")), event=name, id=str(at))
