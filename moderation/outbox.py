"""The outbox: decisions on their way to the topic `feedback` or to a file.

A decision's record is written in the decision's own transaction and sent from there by `FeedbackLoop`, in order and at
least once, always with the same id. Whoever reads feedback takes an id once, so sending again after a crash changes
nothing.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol, cast

from kafka import KafkaProducer
from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from detector.errors import FeedError, SwarmlightError, UsageError
from detector.times import format_time
from moderation.background import BackgroundLoop
from moderation.database_tables import DecisionRow, Outgoing
from moderation.db import Database
from moderation.feed_metrics import FeedMetrics
from streaming.config import KafkaConfig
from streaming.kafka.client import DELIVERY_MS, Clients, Topics, close
from streaming.schema.feedback import FEEDBACK_VERSION, DecisionKind, FeedbackRecord, encode_feedback

log = logging.getLogger(__name__)

BATCH: Final = 200
"""Records sent before they are marked in the database: what a crash sends again at most."""


class OutgoingRecord(NamedTuple):
    """One record of topic `feedback`: its number in the outbox, its key and its JSON."""

    seq: int
    alert_id: str
    body: bytes


class FeedbackSink(Protocol):
    """Where decisions go."""

    def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Send records, and return once they are safe there.

        Raises:
            SwarmlightError: not all of them are.
        """

    def close(self) -> None:
        """Close files or connections."""


def enqueue(connection: Connection, decision: DecisionRow, by: str) -> None:
    """Add a decision's record to the outbox, in the decision's transaction.

    The record holds the reason; policy and note stay in this database.

    Args:
        connection: in a write transaction.
        decision: what was decided.
        by: pseudonym of who decided.
    """
    record = FeedbackRecord(
        v=FEEDBACK_VERSION,
        alert=decision.alert_id,
        account=decision.account,
        decision=cast(DecisionKind, decision.verdict),
        undoes=decision.undoes,
        id=decision.id,
        at=format_time(decision.at),
        by=by,
        reason=decision.reason,
        sampled_with=None if decision.verdict == "missed" else 1.0,
    )
    connection.execute(
        insert(Outgoing).values(
            decision_id=decision.id, alert_id=decision.alert_id, body=encode_feedback(record).decode()
        )
    )


def count_unsent(connection: Connection) -> int:
    """How many records are not sent yet."""
    return int(connection.scalar(select(func.count()).select_from(Outgoing).where(Outgoing.sent == 0)) or 0)


def send_unsent(database: Database, send: Callable[[Sequence[OutgoingRecord]], None], now: Callable[[], int]) -> int:
    """Send what is not sent yet, the oldest first, and mark it as sent.

    A crash between the two leaves records unmarked, and they are sent again.

    Args:
        database: with the outbox.
        send: `FeedbackSink.send`.
        now: the wall clock, ms since 1970.

    Returns:
        How many records were sent.
    """
    total = 0
    while True:
        with database.read() as connection:
            rows = connection.execute(
                select(Outgoing.seq, Outgoing.alert_id, Outgoing.body)
                .where(Outgoing.sent == 0)
                .order_by(Outgoing.seq)
                .limit(BATCH)
            ).all()
        if not rows:
            return total
        send([OutgoingRecord(row.seq, row.alert_id, row.body.encode()) for row in rows])
        with database.write() as connection:
            connection.execute(
                update(Outgoing).where(Outgoing.seq.in_([row.seq for row in rows])).values(sent=now(), body="")
            )
        total += len(rows)


class FeedbackLoop(BackgroundLoop):
    """The thread that sends decisions.

    Args:
        database: with the outbox.
        sink: where decisions go.
        metrics: where failures are counted.
        now: the wall clock, ms since 1970.
    """

    def __init__(self, database: Database, sink: FeedbackSink, metrics: FeedMetrics, now: Callable[[], int]) -> None:
        super().__init__("feedback", metrics)
        self._database = database
        self._sink = sink
        self._now = now
        self._new_decision = threading.Event()

    def wake(self) -> None:
        """Send at once: there is a new decision."""
        self._new_decision.set()

    def step(self) -> None:
        """Send what is not sent, when woken or after a second."""
        self._new_decision.wait(1.0)
        self._new_decision.clear()
        if not self.stopping.is_set():
            send_unsent(self._database, self._sink.send, self._now)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the thread to send what is left and to end, and wait for it."""
        self.stopping.set()
        self._new_decision.set()
        super().stop(timeout_s)

    def finish(self) -> None:
        """Send what is left, and close the sink."""
        try:
            send_unsent(self._database, self._sink.send, self._now)
        except (SwarmlightError, SQLAlchemyError, OSError):
            log.warning("some decisions could not be sent before the end; the next start sends them")
        self._sink.close()


class FeedbackFile:
    """Appends decisions to a file, one JSON object a line, on disk before `send` returns.

    Args:
        path: of the file; a new one is readable by its owner alone, as decisions name accounts.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        except OSError as error:
            raise UsageError(
                f"--feedback {str(path)!a} cannot be written: {error.strerror}; name a file in a folder that exists "
                "and that this user may write to"
            ) from None
        # A crash in the middle of a line must not spoil the next one.
        if self._file.tell() and not _ends_with_newline(path):
            self._file.write(b"\n")

    def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Append records, and wait until they are on disk.

        Raises:
            FeedError: `conflict`: the file cannot be written any more.
        """
        try:
            self._file.write(b"".join(record.body + b"\n" for record in records))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FeedError(
                "conflict",
                f"decisions cannot be written to the file of --feedback: {error.strerror}; make room for it, they "
                "are kept until then",
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FeedbackTopic:
    """Sends decisions to topic `feedback`, keyed by alert. It connects when there is something to send.

    Args:
        kafka: how to reach the brokers.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self._topic = Topics(kafka.topic_prefix).feedback
        self._producer: KafkaProducer | None = None

    def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Send records, and wait until the broker has all of them.

        Raises:
            BrokerError: it did not take all of them.
        """
        with self._clients.explained("sending decisions"):
            if self._producer is None:
                self._producer = self._clients.producer()
            waiting = [
                self._producer.send(self._topic, record.body, key=record.alert_id.encode()) for record in records
            ]
            self._producer.flush(DELIVERY_MS / 1000)
            for each in waiting:
                each.get(timeout=DELIVERY_MS / 1000)

    def close(self) -> None:
        """Close the connection."""
        close(self._producer)
        self._producer = None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
