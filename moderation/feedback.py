"""Where decisions go: topic `feedback`, a file, or nowhere yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from kafka import KafkaProducer

from detector.errors import FeedError, UsageError
from moderation.outbox import Record
from streaming.kafka.clients import DELIVERY_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.settings import KafkaConfig


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
