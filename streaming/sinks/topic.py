"""A Kafka topic as the end of a sink: records are sent in batches, and one that is not taken fails what follows."""

from __future__ import annotations

from typing import Final

from detector.errors import BrokerError
from streaming.kafka.client import Clients, close

FLUSH_S: Final = 30.0
"""Seconds that the broker has at the end to acknowledge what was sent."""


class TopicSink:
    """What the sinks have in common that write to a topic.

    Args:
        clients: of the broker.
        topic: that is written to; it has to be there.
        records: what is written, as messages name it.
        waiting: what is done in a flush, as messages name it.

    Raises:
        BrokerError: the broker is away, or refuses.
    """

    flush_s = 1.0
    """The broker takes batches; nobody waits for a second."""

    def __init__(self, clients: Clients, topic: str, records: str, waiting: str) -> None:
        self._clients = clients
        self._topic = topic
        self._records = records
        self._waiting = waiting
        self._producer = clients.producer()
        self._failed: list[BaseException] = []

    def send(self, key: bytes, value: bytes) -> None:
        """Hand a record to the producer, within `Clients.explained`."""
        self._producer.send(self._topic, value, key=key).add_errback(self._failed.append)

    def flush(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BrokerError: something was not.
        """
        with self._clients.explained(self._waiting):
            self._producer.flush(timeout=FLUSH_S)
        self.check()

    def close(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BrokerError: something was not.
        """
        try:
            self.flush()
        finally:
            close(self._producer)

    def check(self) -> None:
        """Tell of a record that was not taken.

        Raises:
            BrokerError: there is one.
        """
        if self._failed:
            raise BrokerError(f"{self._records} were not taken by topic {self._topic}: {self._failed[0]}")
