"""The load generator: a society's events into the topic `posts`, at a given rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from kafka.errors import KafkaError

from detector.errors import BrokerError, UsageError
from streaming.kafka.clients import Clients, close
from streaming.kafka.topics import Topics
from streaming.settings import KafkaConfig

SLICE: Final = 200
"""Events between looks at the clock: 2 ms at the fastest rate one process reaches."""

FLUSH_S: Final = 60.0
"""For the last events to be acknowledged."""


class Pace:
    """Keeps to a number of events a second, on average since the first; 0 is as fast as can be."""

    def __init__(
        self, rate: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._begun: float | None = None
        self.sent = 0

    def sending(self, events: int) -> None:
        """Wait until as many events more are due."""
        if self._begun is None:
            self._begun = self._clock()
        if self._rate > 0:
            early = self._begun + self.sent / self._rate - self._clock()
            if early > 0:
                self._sleep(early)
        self.sent += events

    def reached(self) -> float:
        """Events a second so far."""
        elapsed = self._clock() - self._begun if self._begun is not None else 0.0
        return self.sent / elapsed if elapsed > 0 else 0.0


class KafkaSink:
    """Sends events, keyed by account, so that an account's events keep their order.

    Raises:
        BrokerError: the broker is away, or refuses.
        UsageError: the topic is missing and cannot be made.
    """

    def __init__(self, kafka: KafkaConfig, pace: Pace) -> None:
        self._clients = Clients(kafka)
        self.pace = pace
        self.topic = Topics(kafka.topic_prefix).posts
        self._make_topic(kafka)
        self._producer = self._clients.producer()
        self._failed: list[BaseException] = []

    def _make_topic(self, kafka: KafkaConfig) -> None:
        with self._clients.admin() as admin, self._clients.explained("looking for the topic"):
            if self.topic in admin.list_topics():
                return
            wanted = {"num_partitions": kafka.partitions, "replication_factor": kafka.replication_factor}
            try:
                admin.create_topics({self.topic: wanted}, wait_for_metadata=True)
            except KafkaError as error:
                raise UsageError(
                    f"topic {self.topic} is missing and could not be created ({type(error).__name__}): create it"
                ) from error

    def send(self, accounts: Sequence[str], rows: Sequence[str]) -> None:
        """Send events of these accounts, in order, not faster than the pace allows."""
        with self._clients.explained("sending events"):
            for first in range(0, len(rows), SLICE):
                part = slice(first, first + SLICE)
                self.pace.sending(len(rows[part]))
                for account, row in zip(accounts[part], rows[part], strict=True):
                    sent = self._producer.send(self.topic, row.encode(), key=account.encode())
                    sent.add_errback(self._failed.append)
                self._check()

    def close(self) -> None:
        """Wait until everything is acknowledged."""
        try:
            with self._clients.explained("waiting for the last events"):
                self._producer.flush(timeout=FLUSH_S)
            self._check()
        finally:
            close(self._producer)

    def _check(self) -> None:
        if self._failed:
            raise BrokerError(
                f"{len(self._failed)} events were not taken by the broker, the first because of "
                f"{type(self._failed[0]).__name__}; is there room for them, and may this user write to {self.topic}?"
            )
