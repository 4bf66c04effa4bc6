"""The sink `kafka`: every revision of every alert to the topic `alerts`, keyed by the alert's id.

`swarmlight run --sink kafka:` sends to the configuration's broker, `--sink kafka:HOST:PORT` to another; topics that are
missing are created. It makes the alerts of a recording known to whoever follows the topic, the moderators' feed for
one. The worker does not use it: its alerts are written in the transaction of the stage `assess`.
"""

from __future__ import annotations

from streaming.config import Config
from streaming.kafka.client import Clients, Topics, ensure_topics
from streaming.sinks.topic import TopicSink


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
