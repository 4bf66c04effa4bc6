"""Live updates: one look at the database a second for everybody, told to each browser as server-sent events.

An event says that something changed, never what it says: the page asks for what it wants to show, with its own rights.
Its id is a time. Whoever connects anew with the last one (`Last-Event-ID`, or `since`) is first told what changed
meanwhile, by whichever process of the feed answers: it is looked up in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from detector.errors import FeedError
from moderation.db import Alert, Database
from moderation.queue import waiting
from moderation.telemetry import FeedMetrics

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0

OVERLAP_MS: Final = 5_000
"""A transaction that began earlier may commit later: what changed this long ago is looked at again."""

MOST_NAMED: Final = 100
"""Changes named in one event; of more, only the number is told."""

RETRY_MS: Final = 3_000
"""A browser waits this long before it connects anew."""

BEAT_S: Final = 15.0
"""A comment this often keeps proxies from closing a silent connection."""

MOST_LISTENERS: Final = 500
MOST_OF_ONE: Final = 8
"""Browser windows of one person."""

QUEUE: Final = 20
"""Events a slow browser may lag behind before the older are dropped: each only says that there is news."""


class Hub:
    """Looks for changes and tells listeners."""

    def __init__(self, database: Database, metrics: FeedMetrics, now: Callable[[], int]) -> None:
        self._database = database
        self._metrics = metrics
        self._now = now
        self._listeners: dict[asyncio.Queue[str], str] = {}
        self._seen: dict[tuple[str, int], None] = {}
        self._task: asyncio.Task[None] | None = None
        self._last: dict[str, Any] = {}
        self._since = now()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def listen(self, user_id: str, until_ms: int, since: int | None = None) -> AsyncIterator[str]:
        """Events for one browser, as text of the protocol, until a time.

        Args:
            since: id of the last event it saw; None for only what is new.

        Raises:
            FeedError: `limited`: too many windows are open.
        """
        mine = sum(1 for who in self._listeners.values() if who == user_id)
        if len(self._listeners) >= MOST_LISTENERS or mine >= MOST_OF_ONE:
            raise FeedError("limited", "too many windows follow the queue: close some")
        return self._events(user_id, until_ms, since)

    async def _events(self, user_id: str, until_ms: int, since: int | None) -> AsyncIterator[str]:
        mailbox: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self._listeners[mailbox] = user_id
        self._metrics.listeners(len(self._listeners))
        try:
            yield f"retry: {RETRY_MS}\n\n" + _event("hello", self._last, self._since if since is None else since)
            if since is not None:
                # After this browser is listening, so that nothing falls between the two.
                with contextlib.suppress(SQLAlchemyError):
                    missed = await asyncio.to_thread(self._meanwhile, since)
                    if missed is not None:
                        yield missed
            while self._now() < until_ms:
                try:
                    yield await asyncio.wait_for(mailbox.get(), BEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners.pop(mailbox, None)
            self._metrics.listeners(len(self._listeners))

    async def _run(self) -> None:
        while True:
            started = time.monotonic()
            try:
                news = await asyncio.to_thread(self._look)
                if news is not None:
                    self._tell(news)
            except SQLAlchemyError as error:
                log.warning("live: %s", type(error).__name__)
                self._metrics.failure("live")
            await asyncio.sleep(max(0.1, LOOK_S - (time.monotonic() - started)))

    def _look(self) -> str | None:
        """What changed since the last look, as an event; None where nothing did."""
        now = self._now()
        with self._database.read() as connection:
            rows = _changed(connection, self._since)
            fresh = [row for row in rows if (row.id, row.changed) not in self._seen]
            self._seen = {(row.id, row.changed): None for row in rows}
            self._since = rows[0].changed if rows else max(self._since, now - OVERLAP_MS)
            if not fresh and self._last:
                return None
            self._count(connection, now)
        return self._news(fresh, self._since)

    def _meanwhile(self, since: int) -> str | None:
        """What changed since somebody's last event, as one; None where nothing did."""
        with self._database.read() as connection:
            rows = _changed(connection, since)
            if not self._last:
                self._count(connection, self._now())
        return self._news(rows, max(since, rows[0].changed)) if rows else None

    def _count(self, connection: Connection, now: int) -> None:
        count = connection.scalar(select(func.count()).select_from(Alert).where(waiting(now))) or 0
        self._metrics.waiting(int(count))
        self._last = {"waiting": int(count)}

    def _news(self, rows: Sequence[Any], upto: int) -> str:
        named = rows[:MOST_NAMED]
        news = {
            "changed": [row.id for row in named],
            "times": [row.changed for row in named],
            "arrived": [row.id for row in named if row.arrived == row.changed],
            "more": len(rows) - len(named),
        }
        return _event("change", self._last | news, upto)

    def _tell(self, text: str) -> None:
        for mailbox in list(self._listeners):
            if mailbox.full():
                mailbox.get_nowait()
            mailbox.put_nowait(text)


def _changed(connection: Connection, since: int) -> Sequence[Any]:
    """Alerts that changed since a time, or shortly before it, the latest first."""
    asked = (
        select(Alert.id, Alert.changed, Alert.arrived)
        .where(Alert.changed >= since - OVERLAP_MS)
        .order_by(Alert.changed.desc())
        .limit(20 * MOST_NAMED)
    )
    return connection.execute(asked).all()


def _event(name: str, data: dict[str, Any], at: int) -> str:
    return f"id: {at}\nevent: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
