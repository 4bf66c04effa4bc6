"""Decisions on their way out: written in the decision's own transaction, sent at least once with the same id.

Whoever reads topic `feedback` takes the same id once, so sending again after a crash changes nothing.

Where decisions go: topic `feedback`, a file, or nowhere yet.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec
from kafka import KafkaProducer
from sqlalchemy import Connection, func, insert, select, update

from detector.errors import FeedError, UsageError
from moderation.db import Database, Decision, Outgoing
from moderation.records import rfc3339
from streaming.config import KafkaConfig
from streaming.kafka.client import DELIVERY_MS, Clients, Topics, close

BATCH: Final = 200
"""Records sent between two marks in the database: what a crash sends again at most."""


class Record(NamedTuple):
    """One record of topic `feedback`: key and JSON."""

    seq: int
    alert_id: str
    body: bytes


Send = Callable[[Sequence[Record]], None]
"""Sends records and returns when they are safe; raises where they are not."""


def put(connection: Connection, decision: Decision, by: str) -> None:
    """Queue a decision's record within its transaction. Notes and policies stay here; the reason goes with it."""
    body = {
        "v": 1,
        "alert": decision.alert_id,
        "account": decision.account,
        "decision": decision.verdict,
        "undoes": decision.undoes,
        "id": decision.id,
        "at": f"{rfc3339(decision.at)[:-1]}.{decision.at % 1000:03d}Z",
        "by": by,
        "reason": decision.reason,
        "sampled_with": None if decision.verdict == "missed" else 1.0,
    }
    connection.execute(
        insert(Outgoing).values(
            decision_id=decision.id, alert_id=decision.alert_id, body=msgspec.json.encode(body).decode()
        )
    )


def pending(connection: Connection) -> int:
    """How many records wait to be sent."""
    return int(connection.scalar(select(func.count()).select_from(Outgoing).where(Outgoing.sent == 0)) or 0)


def flush(database: Database, send: Send, now: Callable[[], int]) -> int:
    """Send what waits, the oldest first, and mark it; how many records were sent.

    A crash between the two leaves the mark out, and the records are sent again.
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
        send([Record(row.seq, row.alert_id, row.body.encode()) for row in rows])
        with database.write() as connection:
            connection.execute(
                update(Outgoing).where(Outgoing.seq.in_([row.seq for row in rows])).values(sent=now(), body="")
            )
        total += len(rows)


class Sink(Protocol):
    """Sends records; returns when they are safe."""

    def send(self, records: Sequence[Record]) -> None:
        """Send, or raise `SwarmlightError`."""

    def close(self) -> None:
        """Give everything back."""


class FileSink:
    """One JSON object a line, on disk before `send` returns.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            # Decisions name accounts: a new file is its owner's alone.
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
        except OSError as error:
            raise UsageError(f"--feedback {str(path)!a} cannot be written: {error.strerror}") from None
        # A crash in the middle of a line must not spoil the next one.
        if self._file.tell() and not _ends_with_newline(path):
            self._file.write(b"\n")

    def send(self, records: Sequence[Record]) -> None:
        try:
            self._file.write(b"".join(record.body + b"\n" for record in records))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FeedError("conflict", f"the file of feedback cannot be written: {error.strerror}") from None

    def close(self) -> None:
        self._file.close()


class KafkaSink:
    """Topic `feedback`, keyed by alert. The producer is made when there is something to send."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self._topic = Topics(kafka.topic_prefix).feedback
        self._producer: KafkaProducer | None = None

    def send(self, records: Sequence[Record]) -> None:
        """Raises `BrokerError` where the broker did not take all of them."""
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
        close(self._producer)
        self._producer = None


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
