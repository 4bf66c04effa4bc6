"""The sink `kafka`: every revision of every alert to the topic `alerts`, keyed by the alert's id.

`swarmlight run --sink kafka:` sends to the configuration's broker, `--sink kafka:HOST:PORT` to another; topics that are
missing are created. It makes the alerts of a recording known to whoever follows the topic, the moderators' feed for
one. The worker does not use it: its alerts are written in the transaction of the stage `assess`.
"""

from __future__ import annotations

from typing import Final

from detector.errors import BrokerError
from streaming.config import Config
from streaming.kafka.client import Clients, Topics, close, ensure_topics

FLUSH_S: Final = 30.0
"""Seconds that the broker has at the end to acknowledge what was sent."""


class TopicSink:
    """What the sinks have in common that write to a topic: records are sent in batches, and one that is not taken fails
    what follows.

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


class KafkaAlerts(TopicSink):
    """A producer of alerts.

    Raises:
        UsageError: a topic cannot be made, or has a shape that cannot work.
        BrokerError: the broker is away, or refuses.
    """

    def __init__(self, config: Config) -> None:
        clients, topics = Clients(config.kafka), Topics(config.kafka.topic_prefix)
        ensure_topics(clients, topics, config.kafka, snapshots=False)
        super().__init__(clients, topics.alerts, "alerts", "waiting for alerts to be taken")

    def write(self, alert_id: str, body: bytes) -> None:
        """Send a revision.

        Raises:
            BrokerError: an earlier one was not taken.
        """
        self.check()
        with self._clients.explained("sending alerts"):
            self.send(alert_id.encode(), body)


def open_sink(target: str, config: Config) -> KafkaAlerts:
    """The broker at `target`, `HOST:PORT`; the configuration's where it is empty.

    Raises:
        UsageError: a topic cannot be made, or has a shape that cannot work.
        BrokerError: the broker is away, or refuses.
    """
    if not target:
        return KafkaAlerts(config)
    kafka = config.kafka.model_copy(update={"bootstrap_servers": target})
    return KafkaAlerts(config.model_copy(update={"kafka": kafka}))
