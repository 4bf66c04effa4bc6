"""What stages share that follow the live deployment and its shadow: a reader of topics, transactions, and the loop.

Each stage is one process's at a time, by a lease, and writes transactions under an id of its own, so that one that was
replaced while it stood still writes nothing more. After any error it begins again from what it has written. The live
deployment knows nothing of either.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError

from detector.errors import BrokerError, FencedError, UsageError
from streaming.kafka import client
from streaming.kafka.client import CALL_MS, Clients, Topics, close
from streaming.kafka.journal import CALL_S, JournalReader, bounded
from streaming.kafka.leader import Lease
from streaming.worker_metrics import Metrics

log = logging.getLogger(__name__)

TURN_S: Final = 0.5
"""Pause between two looks: alerts come once a tick."""

LAST_TURNS: Final = 3
"""Turns after the last that either side wrote: what it wrote shows within one, and is compared in the next."""

POLL_MS: Final = 100
"""Longest wait for records that are known to be there."""

READ_S: Final = 60.0
"""Longest time to read topics to their end as it was."""

RECORDS: Final = 2000
"""Records a poll returns at most."""

SOURCE: Final = "source"
"""Header of an alert that was put out under `canary_prefix`: whose revision it is, as `live/7`."""


class TopicReader:
    """All records of some topics that are committed, from the beginning or from given offsets on.

    Args:
        clients: makes the consumer.
        topics: their names.
        group: in which offsets may be committed; empty: none.
    """

    def __init__(self, clients: Clients, topics: Iterable[str], group: str = "") -> None:
        self._clients = clients
        with clients.explained("reading alerts"):
            self.consumer: KafkaConsumer = clients.reader(group=group or None, records=RECORDS, committed=True)
            self.places = [
                TopicPartition(topic, number)
                for topic in topics
                for number in sorted(self.consumer.partitions_for_topic(topic) or {0})
            ]
            self.consumer.assign(self.places)
            self.seek(self.consumer.beginning_offsets(self.places, CALL_MS))

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on from these offsets."""
        for place, offset in offsets.items():
            self.consumer.seek(place, offset)

    def read(self) -> Iterator[Any]:
        """Every record up to the end as it is now.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("reading alerts"):
            ends = self.consumer.end_offsets(self.places, CALL_MS)
        deadline = time.monotonic() + READ_S
        while any((self.consumer.position(place, CALL_MS) or 0) < end for place, end in ends.items()):
            with self._clients.explained("reading alerts"):
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError("the end was not reached")
                polled = self.consumer.poll(POLL_MS)
            for records in polled.values():
                yield from records

    def positions(self) -> dict[TopicPartition, int]:
        """Next offset of every partition."""
        return {place: self.consumer.position(place, CALL_MS) or 0 for place in self.places}

    def close(self) -> None:
        close(self.consumer)


class ShadowOutput(NamedTuple):
    """One record to write; `value` None removes what the key had."""

    topic: str
    key: str
    value: bytes | None
    source: str = ""


class Transactions:
    """Writes records in transactions under an id that fences whoever had it before.

    Args:
        clients: makes the producer.
        transactional_id: of the stage.

    Raises:
        BrokerError: the broker is away.
    """

    def __init__(self, clients: Clients, transactional_id: str) -> None:
        self._clients = clients
        self._producer = clients.transactional(transactional_id)
        with clients.explained("initialising transactions"):
            bounded(self._producer.init_transactions)

    def write(self, records: Iterable[ShadowOutput], reader: TopicReader | None = None, metadata: str = "") -> None:
        """Commit these records, and how far they are put together from what was read.

        Args:
            records: in order.
            reader: whose positions are committed with them.
            metadata: said beside each position.

        Raises:
            FencedError: another process writes now.
            BrokerError: it is not known what was written.
        """
        producer, since = self._producer, time.monotonic()
        try:
            bounded(producer.begin_transaction)
            sent = [
                producer.send(
                    each.topic,
                    each.value,
                    key=each.key.encode(),
                    headers=[(SOURCE, each.source.encode())] if each.source else [],
                )
                for each in records
            ]
            if reader is not None:
                offsets = {
                    place: OffsetAndMetadata(position, metadata, -1) for place, position in reader.positions().items()
                }
                bounded(lambda: producer.send_offsets_to_transaction(offsets, reader.consumer.group_metadata()))
            producer.flush(CALL_S)
            for future in sent:
                future.get(timeout=CALL_S)
            bounded(producer.commit_transaction)
        except KafkaError as error:
            if client.is_fencing(error):
                raise FencedError("the broker fenced this process: another one writes now") from error
            raise client.broker_error("writing", self._clients.servers, error, since) from error

    def close(self) -> None:
        close(self._producer, 1.0)


class PairStage(ABC):
    """A stage that follows the live deployment and the shadow, in one process at a time.

    Args:
        clients: makes the Kafka clients.
        topics: of the shadow, with those of the live deployment.
        metrics: told what is found.
        name: of the stage.
        over: whether nothing more can come, so that the loop ends once all was taken; None: never.
    """

    def __init__(
        self, clients: Clients, topics: Topics, metrics: Metrics, name: str, over: Callable[[], bool] | None
    ) -> None:
        if topics.live is None:
            raise UsageError(f"--stage {name} is of a shadow: set [shadow] log to live or own")
        self._clients, self._topics, self._metrics, self._name = clients, topics, metrics, name
        self._pair = (topics.live, topics)
        self._id = f"{topics.prefix}swarmlight-{name}"
        self._lease = Lease(clients, topics, group=f"{self._id}-lease")
        self._open: list[Callable[[], None]] = []
        self._begun = False
        self._over, self._last_turns = over, LAST_TURNS
        self.done = False
        """Nothing more can come, and all was taken."""

    def turn(self) -> None:
        """Run one turn of the loop.

        Raises:
            BrokerError: the broker is away or refuses; the next turn begins again.
        """
        over = self._over is not None and self._over()
        if not self._lease.holds(0.0 if self._begun else TURN_S):
            self._drop()
            return
        try:
            with self._dropped_on_errors():
                self._begun = self._begun or self._begin()
                if self._begun:
                    self._step()
                    self._last_turns -= over
                    self.done = not self._last_turns
        except FencedError as error:
            log.warning("%s: no longer active, standing by: %s", self._name, error)
            self._lease.rejoin()
        self._pause()

    def _pause(self) -> None:
        """Wait a turn."""
        time.sleep(TURN_S)

    @contextmanager
    def _dropped_on_errors(self) -> Iterator[None]:
        try:
            yield
        except (BrokerError, FencedError, KafkaError):
            self._drop()
            raise

    def _drop(self) -> None:
        self._begun = False
        while self._open:
            self._open.pop()()

    def _reader(self, topics: Iterable[str], group: str = "") -> TopicReader:
        reader = TopicReader(self._clients, topics, group)
        self._open.append(reader.close)
        return reader

    def _writer(self) -> Transactions:
        writer = Transactions(self._clients, self._id)
        self._open.append(writer.close)
        return writer

    def _journals(self) -> tuple[JournalReader, ...]:
        readers = tuple(JournalReader(self._clients, each) for each in self._pair)
        for reader in readers:
            self._open.append(reader.close)
            reader.read_end()
        return readers

    @abstractmethod
    def _begin(self) -> bool:
        """Make what the stage needs; False where it is not yet time to."""

    @abstractmethod
    def _step(self) -> None:
        """Take what is new."""

    def close(self) -> None:
        """Leave it to another process."""
        self._drop()
        self._lease.close()


def ticks(journals: Iterable[JournalReader]) -> list[int | None]:
    """The last committed tick of each, ms; None where there is none."""
    found: list[int | None] = []
    for each in journals:
        journal = each.catch_up()
        found.append(journal.tick_ms)
        if journal.tick_ms is not None:
            journal.forget(journal.tick_ms)
    return found
