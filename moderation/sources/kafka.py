"""Topics `alerts` and `alert-details`, read committed; the positions lie in the feed's own database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from detector.errors import FeedError
from moderation.records import read_alert, read_page
from moderation.sources import Batch
from streaming.kafka.clients import CALL_MS, Clients, close
from streaming.kafka.topics import Topics
from streaming.settings import KafkaConfig

RECORDS = 500
"""Taken at once: a transaction of a fraction of a second."""


class KafkaSource:
    """All partitions of the two topics."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self._topics = Topics(kafka.topic_prefix)
        self._consumer: KafkaConsumer | None = None

    def start(self, places: Mapping[str, str]) -> None:
        """Connect, and go on from `places`; from the beginning where there is none or retention has passed it.

        Raises:
            BrokerError: the broker is away, or does not have the topics.
        """
        self.close()
        with self._clients.explained("reading alerts"):
            consumer = self._clients.reader(records=RECORDS, committed=True)
            self._consumer = consumer
            partitions = []
            for topic in (self._topics.details, self._topics.alerts):
                found = consumer.partitions_for_topic(topic) or {0}
                partitions += [TopicPartition(topic, number) for number in sorted(found)]
            consumer.assign(partitions)
            firsts = consumer.beginning_offsets(partitions, CALL_MS)
            ends = consumer.end_offsets(partitions, CALL_MS)
            for place in partitions:
                kept = places.get(_key(place), "")
                wanted = int(kept) if kept.isdecimal() else firsts[place]
                # A topic that was made anew is shorter than where we were.
                consumer.seek(place, wanted if firsts[place] <= wanted <= ends[place] else firsts[place])

    def read(self) -> Batch:
        consumer = self._consumer
        batch = Batch()
        if consumer is None:
            return batch
        with self._clients.explained("reading alerts"):
            taken: dict[TopicPartition, list[Any]] = consumer.poll(300)
            for place, records in taken.items():
                for record in records:
                    self._sort(batch, place.topic, record.key, record.value)
                batch.places[_key(place)] = str(records[-1].offset + 1)
        return batch

    def close(self) -> None:
        close(self._consumer)
        self._consumer = None

    def _sort(self, batch: Batch, topic: str, key: bytes | None, value: bytes | None) -> None:
        try:
            if topic == self._topics.alerts:
                if value is not None:
                    batch.alerts.append(read_alert(value))
            elif value is not None:
                batch.pages.append(read_page(value))
            else:
                name, _, page = (key or b"").decode("utf-8", "replace").rpartition("/")
                if name and page.isascii() and page.isdecimal() and len(page) < 7:
                    # A page that was read in the same batch was there before it was deleted.
                    gone = (name, int(page))
                    batch.pages = [each for each in batch.pages if (each.id, each.page) != gone]
                    batch.gone_pages.append(gone)
        except FeedError:
            batch.unreadable += 1


def _key(place: TopicPartition) -> str:
    return f"kafka:{place.topic}:{place.partition}"
