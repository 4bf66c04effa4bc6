"""The parts of a running feed, put together once at start and given to every request (`auth.RequestContext`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from moderation import alert_lists
from moderation.action_loop import ActionLoop
from moderation.background import BackgroundLoop
from moderation.db import Database, now_ms
from moderation.feed_metrics import FeedMetrics
from moderation.ingest import IngestLoop
from moderation.live import Hub
from moderation.login_limits import LoginLimits
from moderation.odds import WATCH_BELOW_POSTS
from moderation.oidc import Provider
from moderation.outbox import FeedbackLoop
from moderation.rate_limits import FailureLimit, RateLimit

SECRET_REQUESTS: Final = 5
SECRET_WINDOW_S: Final = 150
"""Wrong login links of one address, and wrong old passwords of one user: as many as wrong passwords."""

DEPARTURES: Final = 120
DEPARTURE_WINDOW_S: Final = 60
"""Sign-ins begun from one address, each of which is kept for ten minutes: a whole team after the feed's restart."""

USER_REQUESTS: Final = 200
USER_WINDOW_S: Final = 4
"""Requests of one user, 50 a second: a page makes a handful, a program that works the queue some ten a second."""

ADDRESS_REQUESTS: Final = 1000
ADDRESS_WINDOW_S: Final = 3
"""Requests of one address, whoever asks: a whole team may sit behind one."""

EXACT_COUNT: Final = 1000
COUNT_VALID_S: Final = 3.0
"""Up to so many waiting alerts are counted for every page; of more, the count may be this old. Counting 100,000 takes
some ten milliseconds, and nobody reads the last digits."""


@dataclass(frozen=True)
class Settings:
    """How the feed is reached.

    Args:
        hosts: names under which browsers may ask for it (header `Host`), without ports; "*" for any.
        secure: whether it is reached by https only: cookies are marked so, and browsers told to stay with https.
        proxied: whether the last address in `X-Forwarded-For` is the client's, written by a trusted proxy.
        watch_below: posts under which an alert is watched and not decided.
        public_url: address that browsers use, as configured; "" where requests say it.
        local_accounts: whether passwords let people in.
        lab_runs: folder of the policy lab's runs; None where none is named.
    """

    hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    secure: bool = False
    proxied: bool = False
    watch_below: int = WATCH_BELOW_POSTS
    public_url: str = ""
    local_accounts: bool = True
    lab_runs: Path | None = None


@dataclass
class Services:
    """The parts of a running feed.

    Args:
        database: where everything is kept.
        metrics: what is counted.
        hub: sender of live updates.
        settings: how the feed is reached.
        now: the wall clock, ms since 1970.
        clock: a monotonic clock, seconds.
        ingest: the loop that stores alerts; None without a source.
        feedback: the loop that sends decisions; None without a destination.
        actions: the loop that tells receivers of them; None without receivers.
        oidc: the OpenID provider that people sign in at; None without one.
        logins: wrong attempts to log in.
        secret_limit: wrong login links, by address, and wrong old passwords, by user.
        departure_limit: sign-ins begun, by address.
        user_limit: requests, by user.
        address_limit: requests, by address.
    """

    database: Database
    metrics: FeedMetrics
    hub: Hub
    settings: Settings
    now: Callable[[], int] = now_ms
    clock: Callable[[], float] = time.monotonic
    ingest: IngestLoop | None = None
    feedback: FeedbackLoop | None = None
    actions: ActionLoop | None = None
    oidc: Provider | None = None
    logins: LoginLimits = field(default_factory=LoginLimits)
    secret_limit: FailureLimit = field(default_factory=lambda: FailureLimit(SECRET_REQUESTS, SECRET_WINDOW_S))
    departure_limit: RateLimit = field(default_factory=lambda: RateLimit(DEPARTURES, DEPARTURE_WINDOW_S))
    user_limit: RateLimit = field(default_factory=lambda: RateLimit(USER_REQUESTS, USER_WINDOW_S))
    address_limit: RateLimit = field(default_factory=lambda: RateLimit(ADDRESS_REQUESTS, ADDRESS_WINDOW_S))
    _waiting: tuple[float, int] = (0.0, 0)

    @property
    def loops(self) -> list[BackgroundLoop]:
        """The background loops there are."""
        return [loop for loop in (self.feedback, self.actions, self.ingest) if loop is not None]

    def count_waiting(self, connection: Connection) -> int:
        """How many alerts wait: counted now where they are few, else at most `COUNT_VALID_S` seconds ago."""
        at, count = self._waiting
        if count < EXACT_COUNT or self.clock() - at > COUNT_VALID_S:
            count = alert_lists.count_waiting(connection, self.now())
            self._waiting = (self.clock(), count)
        return count

    def decision_made(self, verdict: str) -> None:
        """Count a decision whose transaction is committed, and have it sent at once."""
        self.metrics.decision(verdict)
        for loop in (self.feedback, self.actions):
            if loop is not None:
                loop.wake()

    def wake_actions(self) -> None:
        """Have receivers told at once: something is to be sent again."""
        if self.actions is not None:
            self.actions.wake()

    def problems(self) -> list[str]:
        """Why the feed is not ready, in words; empty where it is."""
        found = [] if self.database.alive() else [self.database.no_answer_advice]
        for loop in self.loops:
            if not loop.alive:
                found.append(f"the {loop.name} loop has ended: restart the feed, and look at its log for the reason")
            elif loop.problem is not None:
                found.append(f"the {loop.name} loop: {loop.problem}")
        return found


def build_services(database: Database, settings: Settings, now: Callable[[], int] = now_ms) -> Services:
    """Services without background loops, ready for `app.create_app`.

    Args:
        database: where everything is kept.
        settings: how the feed is reached.
        now: the wall clock, ms since 1970.
    """
    metrics = FeedMetrics()
    return Services(database, metrics, Hub(database, metrics, now), settings, now=now)
