"""Live updates: one look at the database a second for everybody, told to each browser as server-sent events.

An event says that something changed, never what it says: the page asks for what it wants to show, with its own rights.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from detector.errors import FeedError
from moderation.claims import waiting
from moderation.database import Database
from moderation.metrics import FeedMetrics
from moderation.schema import Alert

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0

OVERLAP_MS: Final = 5_000
"""A transaction that began earlier may commit later: what changed this long ago is looked at again."""

MOST_NAMED: Final = 100
"""Changes named in one event; of more, only the number is told."""

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

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def listen(self, user_id: str, until_ms: int) -> AsyncIterator[str]:
        """Events for one browser, as text of the protocol, until a time.

        Raises:
            FeedError: `limited`: too many windows are open.
        """
        mine = sum(1 for who in self._listeners.values() if who == user_id)
        if len(self._listeners) >= MOST_LISTENERS or mine >= MOST_OF_ONE:
            raise FeedError("limited", "too many windows follow the queue: close some")
        return self._events(user_id, until_ms)

    async def _events(self, user_id: str, until_ms: int) -> AsyncIterator[str]:
        mailbox: asyncio.Queue[str] = asyncio.Queue(QUEUE)
        self._listeners[mailbox] = user_id
        self._metrics.listeners(len(self._listeners))
        try:
            yield "retry: 3000\n\n" + _event("hello", self._last)
            while self._now() < until_ms:
                try:
                    yield await asyncio.wait_for(mailbox.get(), BEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners.pop(mailbox, None)
            self._metrics.listeners(len(self._listeners))

    async def _run(self) -> None:
        since = self._now()
        while True:
            started = time.monotonic()
            try:
                since, news = await asyncio.to_thread(self._look, since)
                if news is not None:
                    self._tell(_event("change", news))
            except SQLAlchemyError as error:
                log.warning("live: %s", type(error).__name__)
                self._metrics.failure("live")
            await asyncio.sleep(max(0.1, LOOK_S - (time.monotonic() - started)))

    def _look(self, since: int) -> tuple[int, dict[str, Any] | None]:
        now = self._now()
        with self._database.read() as connection:
            rows = connection.execute(
                select(Alert.id, Alert.changed, Alert.arrived, Alert.revision)
                .where(Alert.changed >= since - OVERLAP_MS)
                .order_by(Alert.changed.desc())
                .limit(20 * MOST_NAMED)
            ).all()
            latest = rows[0].changed if rows else max(since, now - OVERLAP_MS)
            fresh = [row for row in rows if (row.id, row.changed) not in self._seen]
            self._seen = {(row.id, row.changed): None for row in rows}
            if not fresh and self._last:
                return latest, None
            count = connection.scalar(select(func.count()).select_from(Alert).where(waiting(now))) or 0
        self._metrics.waiting(int(count))
        named = fresh[:MOST_NAMED]
        self._last = {"waiting": int(count)}
        news = {
            "waiting": int(count),
            "changed": [row.id for row in named],
            "arrived": [row.id for row in named if row.arrived == row.changed],
            "more": len(fresh) - len(named),
        }
        return latest, news

    def _tell(self, text: str) -> None:
        for mailbox in list(self._listeners):
            if mailbox.full():
                mailbox.get_nowait()
            mailbox.put_nowait(text)


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
