"""Makes the Kafka clients of this program, all with one connection and the settings that docs/kafka.md explains."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError, KafkaTimeoutError

from streaming.kafka import trouble
from streaming.settings import KafkaConfig

log = logging.getLogger(__name__)

BOOTSTRAP_MS: Final = 10_000
"""A broker that does not answer for this long at start is away."""

REQUEST_MS: Final = 10_000
"""One request; a broker under load answers in well under a second."""

CALL_MS: Final = 10_000
"""A blocking call of the consumer (offsets, positions, commit)."""

DELIVERY_MS: Final = 30_000
"""A record is given up after this long, which rides out a broker's restart (4 s to 12 s)."""

LARGEST_REQUEST_BYTES: Final = 8 << 20
"""As large as a record of `observations` may be (`topics.LARGEST_RECORD_BYTES`)."""

FETCH_BYTES: Final = 4 << 20
"""Compressed bytes per fetch of our own topics: about eight of the largest batches. A larger record still comes."""

TRANSACTION_MS: Final = 60_000
"""The broker aborts a transaction left open for this long; a successor ends it at once anyway."""

MAX_POLL_MS: Final = 300_000
"""A member that has not polled for this long is taken for dead. The longest tick has to fit."""

SEND_BUFFER_BLOCK_MS: Final = 30_000
"""Waiting for metadata before a send."""


class Clients:
    """Makes consumers, producers and admin clients for one configuration."""

    def __init__(self, kafka: KafkaConfig) -> None:
        trouble.listen()
        self.servers = kafka.bootstrap_servers
        self.session_ms = round(kafka.session_timeout_s * 1000)
        self._connection: dict[str, Any] = {
            "bootstrap_servers": [server.strip() for server in kafka.bootstrap_servers.split(",")],
            "security_protocol": kafka.security_protocol,
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "request_timeout_ms": REQUEST_MS,
            "reconnect_backoff_max_ms": 1000,
            "metadata_max_age_ms": 30_000,
            "metrics_enabled": False,
        }
        if kafka.ssl_cafile:
            self._connection["ssl_cafile"] = kafka.ssl_cafile
        password = kafka.password()
        if kafka.sasl_mechanism:
            self._connection |= {
                "sasl_mechanism": kafka.sasl_mechanism,
                "sasl_plain_username": kafka.sasl_username,
                "sasl_plain_password": password.reveal() if password is not None else "",
            }

    def explained(self, doing: str) -> AbstractContextManager[None]:
        """Inside, what the client raises becomes a `BrokerError` with its reason (`trouble.explained`)."""
        return trouble.explained(doing, self.servers)

    def member(self, group: str, records: int, *, name: str = "swarmlight") -> KafkaConsumer:
        """A member of `group`, to be subscribed: offsets by hand and no position of its own making.

        Partitions are dealt by range: the same number of two topics comes to the same member, in the order of the
        members' ids, which begin with `name`.
        """
        return self._consumer(
            client_id=name,
            group_id=group,
            max_poll_records=records,
            session_timeout_ms=self.session_ms,
            heartbeat_interval_ms=min(3000, self.session_ms // 3),
            max_poll_interval_ms=MAX_POLL_MS,
            isolation_level="read_committed",
            partition_assignment_strategy=[RangePartitionAssignor],
        )

    def subscribe(self, consumer: KafkaConsumer, topics: list[str], listener: ConsumerRebalanceListener) -> None:
        """Let a member take its share of `topics`, which exist.

        A member that deals out partitions before it has heard of a topic deals none of it, and nothing would make the
        group deal again: hence the wait for the metadata of topics that were made a moment ago.

        Raises:
            BrokerError: the broker does not know the topics.
        """
        consumer.subscribe(topics, listener=listener)
        deadline = time.monotonic() + CALL_MS / 1000
        with self.explained("waiting for the topics"):
            while not all(consumer.partitions_for_topic(topic) for topic in topics):
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError(f"no metadata of {', '.join(topics)}")
                time.sleep(0.05)

    def reader(self, *, group: str | None = None, records: int = 100, committed: bool = False) -> KafkaConsumer:
        """A consumer for partitions assigned by hand; with `group` it can read and commit that group's offsets."""
        return self._consumer(
            group_id=group,
            max_poll_records=records,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
            isolation_level="read_committed" if committed else "read_uncommitted",
        )

    def _consumer(self, **settings: Any) -> KafkaConsumer:
        with self.explained("connecting"):
            return KafkaConsumer(
                **self._connection,
                enable_auto_commit=False,
                # A missing position is an error for us to look at: never let the client pick one.
                auto_offset_reset="none",
                allow_auto_create_topics=False,
                fetch_max_wait_ms=200,
                **settings,
            )

    def producer(self) -> KafkaProducer:
        """An idempotent producer of whole batches."""
        return self._producer(linger_ms=5)

    def transactional(self, transactional_id: str) -> KafkaProducer:
        """A transactional producer, not yet initialised. One transaction costs about one `retry_backoff_ms`."""
        return self._producer(
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_MS,
            retry_backoff_ms=5,
            linger_ms=20,
        )

    def _producer(self, **settings: Any) -> KafkaProducer:
        with self.explained("connecting"):
            return KafkaProducer(
                **self._connection,
                acks="all",
                compression_type="lz4",
                batch_size=1 << 18,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=SEND_BUFFER_BLOCK_MS,
                max_request_size=LARGEST_REQUEST_BYTES,
                allow_auto_create_topics=False,
                **settings,
            )

    @contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """An admin client, closed at the end."""
        with self.explained("connecting"):
            settings = {key: value for key, value in self._connection.items() if key != "metrics_enabled"}
            admin = KafkaAdminClient(**settings)
        try:
            yield admin
        finally:
            close(admin)


def close(client: KafkaConsumer | KafkaProducer | KafkaAdminClient | None, timeout_s: float = 5.0) -> None:
    """Close any client within about `timeout_s`. They raise when the broker is away, which changes nothing here."""
    if client is None:
        return
    started = time.monotonic()
    try:
        if isinstance(client, KafkaConsumer):
            client.close(autocommit=False, timeout_ms=timeout_s * 1000)
        elif isinstance(client, KafkaProducer):
            client.close(timeout=timeout_s)
        else:
            client.close()
    except (KafkaError, OSError, RuntimeError) as error:
        log.info("a Kafka client did not close in order (%s)", type(error).__name__)
        # A producer whose flush timed out leaves its sender running, which would go on sending what was given up.
        sender = getattr(client, "_sender", None)
        if sender is not None:
            sender.force_close()
    if time.monotonic() - started > 2 * timeout_s:
        log.warning("closing a Kafka client took %.0f s", time.monotonic() - started)
