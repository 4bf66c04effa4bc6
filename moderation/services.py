"""How often somebody may ask: token buckets in memory, so per process; the clock is an argument.

What a request needs, put together once when the feed starts.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from moderation import queue
from moderation.db import Database
from moderation.live import Hub
from moderation.loops import Feedback, Ingest, now_ms
from moderation.telemetry import FeedMetrics

MOST_KEYS: Final = 10_000
"""Buckets remembered; beyond that the one unused for longest is forgotten."""


class Limiter:
    """Lets `burst` requests of one key through at once, and then `per_s` a second."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, key: str, now_s: float) -> bool:
        """Take one from the bucket of `key`; False where it is empty."""
        with self._lock:
            left, at = self._buckets.pop(key, (float(self._burst), now_s))
            left = min(float(self._burst), left + max(0.0, now_s - at) * self._per_s)
            good = left >= 1
            self._buckets[key] = (left - 1 if good else left, now_s)
            while len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
            return good

    def forgive(self, key: str) -> None:
        """Fill a bucket: whoever it belongs to has shown who they are."""
        with self._lock:
            self._buckets.pop(key, None)


LOGIN_BURST: Final = 5
LOGIN_PER_S: Final = 1 / 30
"""Five wrong passwords at once, then one in half a minute: a person notices nothing, a list of words gets nowhere."""

NAME_BURST: Final = 30
NAME_PER_S: Final = 1 / 20
"""Of one name from all addresses: high enough that a stranger elsewhere does not keep its owner out."""

REQUEST_BURST: Final = 200
REQUEST_PER_S: Final = 50.0
"""Of one person: a page makes a handful of requests, a program that works a queue some ten a second."""

ADDRESS_BURST: Final = 1000
ADDRESS_PER_S: Final = 300.0
"""Of one address, whoever asks: a whole team may sit behind one."""


FEW: Final = 1000
COUNT_S: Final = 3.0
"""Counting 100,000 alerts takes some ten milliseconds: too much for every page, and nobody sees the last digits."""


@dataclass(frozen=True)
class Settings:
    """How the feed is reached.

    Args:
        hosts: names under which browsers may ask for it (`Host`), without ports; "*" for any.
        secure: whether it is reached by https only: cookies are marked so, and browsers told to stay with it.
        proxied: whether `X-Forwarded-For` of the nearest proxy names the client.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    secure: bool = False
    proxied: bool = False


@dataclass
class Services:
    """All parts of a running feed."""

    database: Database
    metrics: FeedMetrics
    hub: Hub
    settings: Settings
    now: Callable[[], int] = now_ms
    clock: Callable[[], float] = time.monotonic
    ingest: Ingest | None = None
    feedback: Feedback | None = None
    logins: Limiter = field(default_factory=lambda: Limiter(LOGIN_BURST, LOGIN_PER_S))
    names: Limiter = field(default_factory=lambda: Limiter(NAME_BURST, NAME_PER_S))
    addresses: Limiter = field(default_factory=lambda: Limiter(ADDRESS_BURST, ADDRESS_PER_S))
    _waiting: tuple[float, int] = (0.0, 0)
    requests: Limiter = field(default_factory=lambda: Limiter(REQUEST_BURST, REQUEST_PER_S))

    def waiting(self, connection: Connection) -> int:
        """How many alerts wait: counted now where they are few, else as of the last `COUNT_S` seconds."""
        at, count = self._waiting
        if count < FEW or self.clock() - at > COUNT_S:
            count = queue.count_waiting(connection, self.now())
            self._waiting = (self.clock(), count)
        return count

    def decided(self, verdict: str) -> None:
        """A decision was made: count it, and have it sent."""
        self.metrics.decision(verdict)
        if self.feedback is not None:
            self.feedback.wake()

    def problems(self) -> list[str]:
        """Why the feed is not ready, in words; empty where it is."""
        found = []
        try:
            if not self.database.alive():
                found.append("the database does not answer")
        except (SQLAlchemyError, OSError):
            found.append("the database does not answer")
        for loop in (self.ingest, self.feedback):
            if loop is not None and not loop.alive:
                found.append(f"the {loop.name} loop has ended")
            elif loop is not None and loop.problem is not None:
                found.append(f"{loop.name}: {loop.problem}")
        return found


def build(database: Database, settings: Settings, now: Callable[[], int] = now_ms) -> Services:
    """Services without background loops; `service.create_app` serves them."""
    metrics = FeedMetrics()
    return Services(database, metrics, Hub(database, metrics, now), settings, now=now)
