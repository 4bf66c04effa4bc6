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


class KafkaAlerts:
    """A producer of alerts.

    Raises:
        UsageError: a topic cannot be made, or has a shape that cannot work.
        BrokerError: the broker is away, or refuses.
    """

    def __init__(self, config: Config) -> None:
        self._clients, topics = Clients(config.kafka), Topics(config.kafka.topic_prefix)
        ensure_topics(self._clients, topics, config.kafka, snapshots=False)
        self._topic = topics.alerts
        self._producer = self._clients.producer()
        self._failed: list[BaseException] = []

    def write(self, alert_id: str, body: bytes) -> None:
        """Send a revision.

        Raises:
            BrokerError: an earlier one was not taken.
        """
        self._check()
        with self._clients.explained("sending alerts"):
            self._producer.send(self._topic, body, key=alert_id.encode()).add_errback(self._failed.append)

    flush_s = 1.0
    """The broker takes batches; nobody waits for a second."""

    def flush(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BrokerError: something was not.
        """
        with self._clients.explained("waiting for alerts to be taken"):
            self._producer.flush(timeout=FLUSH_S)
        self._check()

    def close(self) -> None:
        """Wait until everything is acknowledged.

        Raises:
            BrokerError: something was not.
        """
        try:
            self.flush()
        finally:
            close(self._producer)

    def _check(self) -> None:
        if self._failed:
            raise BrokerError(f"alerts were not taken by topic {self._topic}: {self._failed[0]}")


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
