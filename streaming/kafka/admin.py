"""What operators do to the topics: have an account forgotten (`swarmlight forget`), and replay dead letters (`dlq`).

`forget` writes a `delete_account` event to `posts`, which every replay obeys, and says what only retention removes and
by when. `dead_letters` reads the topic of dead letters to its end; `RecordReplay` sends their records to `posts` again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

from detector.errors import BrokerError, UsageError
from streaming.config import Config, KafkaConfig
from streaming.kafka.client import DELIVERY_MS, Clients, Topics, close

HOLDING: Final = "posts", "observations", "dead_letters", "feedback"
"""Topics (attributes of `Topics`) that hold what was written of an account until retention removes it."""

COMPACTED: Final = "alerts", "details", "accounts"
"""Topics in which newer records replace what they said of it."""

IN_FLIGHT: Final = 1000
"""Records sent and not yet acknowledged; the client itself has no bound."""

POLL_MS: Final = 1000

EMPTY_POLLS: Final = 20
"""Empty polls before the end after which the broker counts as away: the client raises nothing by itself."""


def request_deletion(clients: Clients, topics: Topics, account: str, now_ms: int) -> str:
    """Write the event that removes everything that is kept of an account.

    Args:
        clients: makes the producer.
        topics: names.
        account: its name, as events have it.
        now_ms: time of the event, milliseconds since 1970.

    Returns:
        The event's id.

    Raises:
        UsageError: a name that no account can have, or there is no topic `posts`.
        BrokerError: the broker is away or refuses.
    """
    try:
        key = account.encode()
    except UnicodeEncodeError:
        key = b""
    if not key:
        raise UsageError("forget needs the name of an account as events have it: not empty, and valid UTF-8")
    name = f"forget-{uuid.uuid4()}"
    event = {"v": 1, "id": name, "account": account, "at": now_ms, "kind": "delete_account"}
    producer = clients.producer()
    try:
        with clients.explained(f"writing the delete_account event to {topics.posts}"):
            producer.send(topics.posts, msgspec.json.encode(event), key=key, timestamp_ms=now_ms).get(
                timeout=DELIVERY_MS / 1000
            )
    finally:
        close(producer)
    return name


def retention_notes(clients: Clients, topics: Topics, config: Config, now: datetime) -> Iterator[str]:
    """Where something of an account stays for a while, and until when: one sentence each.

    Args:
        clients: makes an admin client.
        topics: names.
        config: where snapshots lie and how often they are written.
        now: the present.

    Raises:
        BrokerError: the broker is away or refuses to describe its topics.
    """
    with clients.admin() as admin, clients.explained("asking how long topics are kept"):
        names = [getattr(topics, each) for each in HOLDING + COMPACTED]
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        settings = admin.describe_configs(resources, config_filter="all").get("topic", {})
    for each in HOLDING:
        yield f"{getattr(topics, each)}: {_until(settings.get(getattr(topics, each), {}), now)}"
    for each in COMPACTED:
        yield f"{getattr(topics, each)}: what was said before stays until the broker compacts the topic"
    days = timedelta(seconds=2 * config.state.snapshot_every_s)
    yield f"snapshots in {config.state.dir}: until two more have been written, {days} of a running assess"


def _until(settings: dict[str, Any], now: datetime) -> str:
    kept = settings.get("retention.ms", {}).get("value")
    if kept is None:
        return "the broker does not say how long it is kept"
    if int(kept) < 0:
        return "kept for ever: shorten its retention.ms, or delete the topic"
    try:
        until = now + timedelta(milliseconds=int(kept))
    except OverflowError:
        return "kept for ever: shorten its retention.ms, or delete the topic"
    return f"records written until now are removed by {until:%Y-%m-%d %H:%M} UTC (retention.ms={kept})"


def forget(config: Config, account: str) -> Iterator[str]:
    """Write the event, and say in lines what it does and what it cannot do.

    Raises:
        UsageError, BrokerError: as `request`.
    """
    clients, topics = Clients(config.kafka), Topics.of(config.kafka)
    now_ms = time.time_ns() // 1_000_000
    name = request_deletion(clients, topics, account, now_ms)
    delay_s = config.allowed_lateness_s + config.tick_s
    yield (
        f"written to {topics.posts} as event {name}: assess removes the account from its state, its alerts and the "
        f"topic {topics.accounts} in about {delay_s} s of event time, as soon as the stream has come that far"
    )
    yield "Only retention removes the rest:"
    for line in retention_notes(clients, topics, config, datetime.now(UTC)):
        yield f"  {line}"


def dead_letters(kafka: KafkaConfig) -> Iterator[tuple[str, bytes]]:
    """Every record of the topic up to its end as it is now, each with its place (`dead-letters-0@5`).

    Raises:
        UsageError: there is no such topic.
        BrokerError: the broker is away or refuses us.
    """
    clients, topic = Clients(kafka), Topics(kafka.topic_prefix).dead_letters
    consumer = clients.reader(records=1000)
    try:
        with clients.explained(f"reading {topic}"):
            numbers = consumer.partitions_for_topic(topic)
            if not numbers:
                raise UsageError(f"there is no topic {topic}; check [kafka] topic_prefix, or give a file with --input")
            tps = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(tps)
            begins, ends = consumer.beginning_offsets(tps), consumer.end_offsets(tps)
            for tp in tps:
                consumer.seek(tp, begins[tp])
            empty = 0
            while any(consumer.position(tp) < ends[tp] for tp in tps):
                taken = consumer.poll(POLL_MS)
                empty = 0 if taken else empty + 1
                if empty > EMPTY_POLLS:
                    raise BrokerError(f"reading {topic} stopped before its end: the broker does not answer any more")
                for tp, records in taken.items():
                    for record in records:
                        if record.value is not None and record.offset < ends[tp]:
                            yield f"{tp.topic}-{tp.partition}@{record.offset}", record.value
    finally:
        close(consumer)


class RecordReplay:
    """Sends records to `posts` again. Use it as a context, and call `finish` before leaving it."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self.topic = Topics.of(kafka).posts
        self.sent = 0
        self.incomplete = 0
        self._waiting: list[FutureRecordMetadata] = []
        self._producer = self._clients.producer()

    def send(self, record: bytes | None) -> None:
        """Send a record; None counts as incomplete."""
        if record is None:
            self.incomplete += 1
            return
        with self._clients.explained(f"replaying a record to {self.topic}"):
            self._waiting.append(self._producer.send(self.topic, record))
        if len(self._waiting) >= IN_FLIGHT:
            self.finish()

    def finish(self) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            BrokerError: something was not; `sent` says how many were.
        """
        with self._clients.explained(f"waiting for replayed records at {self.topic} (after {self.sent})"):
            for future in self._waiting:
                try:
                    future.get(timeout=DELIVERY_MS / 1000)
                except KafkaError:
                    self._waiting.clear()
                    raise
                self.sent += 1
        self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close(self._producer)
