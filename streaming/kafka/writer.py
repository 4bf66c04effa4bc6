"""Writes the observation log and the dead letters, and survives what happens to a producer.

After any error an idempotent producer is of no use any more: it is closed, another is made, and the caller reads again
from what was acknowledged. What was written twice says the same, and `assess` drops it.
"""

from __future__ import annotations

import logging

from kafka import KafkaProducer, TopicPartition
from kafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from kafka.producer.future import FutureRecordMetadata

from detector.errors import BrokerError
from streaming import deadletters
from streaming.deadletters import DeadLetter
from streaming.kafka.clients import Clients, close
from streaming.kafka.pending import MOST_BYTES, Pending, Sent
from streaming.kafka.topics import Topics
from streaming.observations import Entry, encode
from streaming.watermarks import Watermark

log = logging.getLogger(__name__)

HOPELESS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
"""Errors that trying again does not mend."""


class Writer:
    """One producer at a time and what it has in flight."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._topics = topics
        self._producer: KafkaProducer | None = None
        self._pending = Pending()

    def ready(self) -> bool:
        """Make a producer where there is none; False while the broker is away."""
        if self._producer is None:
            try:
                self._producer = self._clients.producer()
            except BrokerError as error:
                log.warning("%s", error)
                return False
        return True

    def write(
        self,
        place: TopicPartition,
        end: int,
        clock: Watermark | None,
        entries: list[tuple[int, Entry]],
        letters: list[DeadLetter],
    ) -> bool:
        """Send what was seen in the source up to `end` of `place`; False where the producer failed (see `settle`).

        Args:
            entries: (partition of the log, entry), in order.
            clock: the writer's watermark after them.

        Raises:
            BrokerError: the broker will never take it.
        """
        producer = self._producer
        if producer is None:
            return False
        futures: list[FutureRecordMetadata] = []
        size = 0
        try:
            for letter in letters:
                key, value = letter.source.encode("utf-8", "replace"), deadletters.encode(letter)
                futures.append(producer.send(self._topics.dead_letters, value, key=key))
                size += len(value)
            for partition, entry in entries:
                value = encode(entry)
                futures.append(producer.send(self._topics.observations, value, partition=partition))
                size += len(value)
        except KafkaError as error:
            self._give_up(error)
            return False
        self._pending.add(Sent(place, end, size, None if clock is None else clock.state(), futures))
        return True

    def settle(self, *, all_of_it: bool, timeout_s: float) -> list[Sent]:
        """What is newly acknowledged, after waiting until little enough (or nothing) is in flight.

        Where a send failed, `failed` is true afterwards, and all that was not acknowledged has to be read again.

        Raises:
            BrokerError: the broker will never take it.
        """
        if self._producer is None:
            return []
        done, failure = self._pending.settle(0 if all_of_it else MOST_BYTES, timeout_s)
        if failure is not None:
            self._give_up(failure)
        return done

    @property
    def failed(self) -> bool:
        """Whether the last producer failed and `ready` has to make another."""
        return self._producer is None

    def ahead(self, place: TopicPartition) -> bool:
        """Whether anything of `place` is in flight."""
        return self._pending.ahead(place)

    def _give_up(self, error: BaseException) -> None:
        if isinstance(error, HOPELESS):
            raise BrokerError(
                f"the broker refuses what is written to {self._topics.observations} or {self._topics.dead_letters}: "
                f"{type(error).__name__}; check max.message.bytes and the ACLs of these topics (docs/kafka.md)"
            ) from error
        log.warning("a send failed (%s): writing again from what was acknowledged", type(error).__name__)
        close(self._producer, 1.0)
        self._producer = None
        self._pending.clear()

    def close(self) -> None:
        close(self._producer)
        self._producer = None
