"""The topic of dead letters read to its end, and records sent to `posts` again (`swarmlight dlq`)."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

from detector.errors import BrokerError, UsageError
from streaming.kafka.clients import DELIVERY_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.settings import KafkaConfig

IN_FLIGHT: Final = 1000
"""Records sent and not yet acknowledged; the client itself has no bound."""

POLL_MS: Final = 1000

SILENT_POLLS: Final = 20
"""Empty polls before the end after which the broker counts as away: the client raises nothing by itself."""


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
            places = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(places)
            begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, begins[place])
            silent = 0
            while any(consumer.position(place) < ends[place] for place in places):
                taken = consumer.poll(POLL_MS)
                silent = 0 if taken else silent + 1
                if silent > SILENT_POLLS:
                    raise BrokerError(f"reading {topic} stopped before its end: the broker does not answer any more")
                for place, records in taken.items():
                    for record in records:
                        if record.value is not None and record.offset < ends[place]:
                            yield f"{place.topic}-{place.partition}@{record.offset}", record.value
    finally:
        close(consumer)


class Replay:
    """Sends whole records to `posts`. Use it as a context, and `finish` before leaving it."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self.topic = Topics(kafka.topic_prefix).posts
        self.sent = 0
        self.incomplete = 0
        self._waiting: list[FutureRecordMetadata] = []
        self._producer = self._clients.producer()

    def send(self, record: bytes | None) -> None:
        """Send a record; None counts as incomplete."""
        if record is None:
            self.incomplete += 1
            return
        with self._clients.explained(f"sending to {self.topic}"):
            self._waiting.append(self._producer.send(self.topic, record))
        if len(self._waiting) >= IN_FLIGHT:
            self.finish()

    def finish(self) -> None:
        """Wait until everything sent is acknowledged.

        Raises:
            BrokerError: something was not; `sent` says how many were.
        """
        with self._clients.explained(f"sending to {self.topic} (after {self.sent} records)"):
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
