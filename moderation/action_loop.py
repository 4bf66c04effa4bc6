"""Sends deliveries to their receivers by signed webhooks, and tries again until they are taken.

A delivery is taken up by one conditional statement that counts the attempt first, so that two feeds on one database do
not send the same at once, and a crash in the middle sends it again. A receiver that is away is left alone for growing
waits; with the first delivery that it takes again, all that waited for it follow.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from sqlalchemy import Connection, func, select, update
from sqlalchemy.orm import aliased

from detector.errors import ConfigError, DeliveryError, SwarmlightError, UsageError
from moderation.action_formats import render
from moderation.background import BackgroundLoop
from moderation.console_config import ConsoleConfig, Receiver
from moderation.database_tables import Delivery
from moderation.db import Database
from moderation.feed_metrics import FeedMetrics
from streaming.outgoing import Endpoint
from streaming.retry import Backoff
from streaming.schema.action import read_action
from streaming.signing import Signer
from streaming.sinks.webhook import SignedWebhook

log = logging.getLogger(__name__)

BATCH: Final = 100
"""Deliveries looked up at once."""

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
"""Bounds of the waits for a receiver that is away: a restart costs seconds, and one that comes back is found within
five minutes."""

LEASE_MS: Final = 120_000
"""How long an attempt is left alone: three times the longest that a request may take."""

GIVE_UP_MS: Final = 3 * 86_400_000
"""A receiver that has not taken something for three days has people who have to be asked: a weekend is over by then."""

CONNECT_S: Final = 5.0
ANSWER_S: Final = 15.0
"""A receiver is to note what it is told and to answer; one loop serves all receivers."""

MAX_PROBLEM_CHARACTERS: Final = 300


class Sender(Protocol):
    """How one receiver is reached."""

    def post(self, message_id: str, body: bytes) -> object:
        """Send one message once.

        Raises:
            DeliveryError: it was not taken.
        """


@dataclass
class ReceiverChannel:
    """A receiver, how it is reached, and whether it is away.

    Args:
        receiver: as configured.
        sender: sends one message to it.
        backoff: its waits.
        away_until: before then it is left alone, ms since 1970.
    """

    receiver: Receiver
    sender: Sender
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_WAIT_S, LONGEST_WAIT_S))
    away_until: int = 0


def ways(config: ConsoleConfig, now: Callable[[], int]) -> dict[str, ReceiverChannel]:
    """How each receiver is reached.

    Args:
        config: as `console_config.load` gives it, with addresses and the files of secrets.
        now: the wall clock, ms since 1970.

    Raises:
        ConfigError: an address or a secret cannot be used.
    """
    found = {}
    for receiver in config.receiver:
        what = f"receiver {receiver.name}"
        try:
            endpoint = Endpoint(
                receiver.url, what, internal=receiver.allow_internal, connect_s=CONNECT_S, answer_s=ANSWER_S,
                allowed_by="allow_internal = true",
            )  # fmt: skip
            webhook = SignedWebhook(endpoint, Signer(receiver.secret()), lambda: now() / 1000)
        except UsageError as error:
            raise ConfigError(f"{what}: {error}") from None
        found[receiver.name] = ReceiverChannel(receiver, webhook)
    return found


def deliver_due(
    database: Database,
    receivers: Mapping[str, ReceiverChannel],
    now: Callable[[], int],
    stopping: Callable[[], bool] = bool,
) -> int:
    """Attempt what is due, the oldest first; a receiver that does not answer is left alone until later.

    Args:
        database: with the deliveries.
        receivers: name -> way.
        now: the wall clock, ms since 1970.
        stopping: whether to leave off.

    Returns:
        How many deliveries were taken by their receivers.
    """
    taken = 0
    while not stopping():
        present = [name for name, way in receivers.items() if way.away_until <= now()]
        rows = _due(database, present, now()) if present else []
        for row in rows:
            way = receivers[row.receiver]
            if stopping():
                break
            if way.away_until <= now():
                taken += _attempt(database, way, row, now)
        if not rows:
            break
    return taken


def _due(database: Database, names: list[str], now: int) -> list[Any]:
    """Deliveries that may be sent: none about the same alert waits before them for the same receiver."""
    earlier = aliased(Delivery)
    before = select(earlier.seq).where(
        earlier.receiver == Delivery.receiver,
        earlier.alert_id == Delivery.alert_id,
        earlier.state == "waiting",
        earlier.seq < Delivery.seq,
    )
    query = (
        select(Delivery.seq, Delivery.id, Delivery.receiver, Delivery.body, Delivery.made, Delivery.attempts)
        .where(
            Delivery.state == "waiting", Delivery.next_at <= now, Delivery.receiver.in_(names), ~before.exists()
        )
        .order_by(Delivery.next_at, Delivery.seq)
        .limit(BATCH)
    )  # fmt: skip
    with database.read() as connection:
        return list(connection.execute(query))


def _attempt(database: Database, way: ReceiverChannel, row: Any, now: Callable[[], int]) -> bool:
    """Send one delivery once; whether it was taken."""
    at = now()
    with database.write() as connection:
        mine = connection.execute(
            update(Delivery)
            .where(Delivery.seq == row.seq, Delivery.state == "waiting", Delivery.next_at <= at)
            .values(attempts=Delivery.attempts + 1, next_at=at + LEASE_MS, at=at)
            .returning(Delivery.body)
        ).scalar_one_or_none()
    if mine is None:
        return False
    try:
        # What lies there now: an account may have been forgotten since.
        body = render(read_action(mine), way.receiver)
        if body is not None:
            way.sender.post(row.id, body)
    except DeliveryError as error:
        _failed(database, way, row, error, now())
        return False
    except SwarmlightError as error:
        _set(database, row.seq, state="dead", problem=str(error)[:MAX_PROBLEM_CHARACTERS], at=now())
        return False
    if body is None:
        _set(database, row.seq, state="dropped", problem="nothing in it is for this receiver", body="", at=now())
        return False
    _set(database, row.seq, state="delivered", problem="", body="", at=now())
    if way.backoff.failures:
        _bring_forward(database, way, now())
    way.backoff.succeeded()
    way.away_until = 0
    return True


def _failed(database: Database, way: ReceiverChannel, row: Any, error: DeliveryError, now: int) -> None:
    """Note a failure: a refusal is dead, everything else is tried again until `GIVE_UP_MS` are over."""
    problem = str(error)[:MAX_PROBLEM_CHARACTERS]
    if error.lasting or now - row.made > GIVE_UP_MS:
        _set(database, row.seq, state="dead", problem=problem, at=now)
        log.warning("%s; it is in the dead-letter list of actions", problem)
        return
    wait_ms = round(1000 * way.backoff.failed(error.wait_s))
    way.away_until = now + wait_ms
    _set(database, row.seq, next_at=now + wait_ms, problem=problem, at=now)


def _set(database: Database, seq: int, **values: Any) -> None:
    with database.write() as connection:
        connection.execute(update(Delivery).where(Delivery.seq == seq, Delivery.state == "waiting").values(**values))


def _bring_forward(database: Database, way: ReceiverChannel, now: int) -> None:
    """A receiver is back: what waited for it is due, but for what is being sent or was never tried."""
    with database.write() as connection:
        connection.execute(
            update(Delivery)
            .where(
                Delivery.receiver == way.receiver.name,
                Delivery.state == "waiting",
                Delivery.attempts > 0,
                Delivery.problem != "",
                Delivery.next_at > now,
            )
            .values(next_at=now)
        )


def count_open(connection: Connection) -> dict[str, int]:
    """How many deliveries wait, and how many are dead."""
    counted = func.count().label("number")
    query = select(Delivery.state, counted).where(Delivery.state.in_(("waiting", "dead"))).group_by(Delivery.state)
    return {"waiting": 0, "dead": 0} | {row.state: row.number for row in connection.execute(query)}


class ActionLoop(BackgroundLoop):
    """The thread that sends deliveries.

    Args:
        database: with the deliveries.
        receivers: name -> way (`ways`).
        metrics: where failures are counted.
        now: the wall clock, ms since 1970.
    """

    def __init__(
        self, database: Database, receivers: Mapping[str, ReceiverChannel], metrics: FeedMetrics, now: Callable[[], int]
    ) -> None:
        super().__init__("actions", metrics)
        self._database = database
        self._receivers = receivers
        self._now = now
        self._new = threading.Event()

    def wake(self) -> None:
        """Look at once: there is something new to send."""
        self._new.set()

    def step(self) -> None:
        """Send what is due, when woken or after a second."""
        self._new.wait(1.0)
        self._new.clear()
        deliver_due(self._database, self._receivers, self._now, self.stopping.is_set)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the thread to end, and wait for it; what is not sent is sent after the next start."""
        self.stopping.set()
        self._new.set()
        super().stop(timeout_s)
