"""Writes what `assess` says in transactions: outputs, journal entry, positions and tick together or not at all.

Several ticks share a transaction, since one costs a wait of the client whatever is in it. After any error inside a
transaction nobody knows whether it was committed: the producer is closed, and what is committed is read from the
journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from detector.errors import FencedError
from streaming.assess.records import TickOutput
from streaming.kafka import trouble
from streaming.kafka.clients import Clients, close
from streaming.kafka.journal import ExpertResults, JournalEntry, encode, results
from streaming.kafka.topics import Topics

log = logging.getLogger(__name__)

FULL_BYTES: Final = 4 << 20
"""Waiting outputs that are written without waiting for more."""

FULL_TICKS: Final = 500
"""The same in ticks: what a crash in a long replay makes a successor run again."""

WAIT_S: Final = 0.2
"""Longest time an output waits for company. A transaction costs 12 ms, so this keeps its share below a tenth."""

CALL_S: Final = 70.0
"""A transactional call has no time limit of its own; by now the broker has aborted the transaction itself (60 s)."""


class Outbox:
    """The transactional producer and the outputs that wait for their transaction.

    Args:
        group: a consumer with partitions assigned by hand, in whose group positions are kept.
    """

    def __init__(self, clients: Clients, topics: Topics, group: KafkaConsumer, settings: str) -> None:
        self._clients, self._topics, self._group, self._settings = clients, topics, group, settings
        self._producer: KafkaProducer | None = None
        self._waiting: list[TickOutput] = []
        self._bytes = 0
        self._since: float | None = None
        self._tried: tuple[int, list[int], bool] | None = None
        self.run = ""
        """Names this history of outputs."""

    def open(self) -> None:
        """Fence every other producer of this deployment; its open transaction is aborted.

        Raises:
            BrokerError: the broker is away.
        """
        close(self._producer, 1.0)
        self._producer = None
        producer = self._clients.transactional(self._topics.transactional_id)
        with self._clients.explained("initialising transactions"):
            try:
                _bounded(producer.init_transactions)
            except BaseException:
                close(producer, 1.0)
                raise
        self._producer = producer

    def add(self, output: TickOutput, now: float) -> None:
        """Let the outputs of the next tick wait for a transaction."""
        self._waiting.append(output)
        self._bytes += sum(len(alert.body) for alert in output.alerts)
        self._bytes += sum(len(page or b"") for _, page in output.details)
        self._bytes += sum(len(row or b"") for _, row in output.accounts)
        if self._since is None:
            self._since = now

    def due(self, now: float) -> bool:
        """Whether what waits should be written now."""
        if self._since is None:
            return False
        return self._bytes >= FULL_BYTES or len(self._waiting) >= FULL_TICKS or now - self._since >= WAIT_S

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    @property
    def waiting(self) -> list[TickOutput]:
        """What waits, tick by tick."""
        return list(self._waiting)

    @property
    def tried(self) -> tuple[int, list[int], bool] | None:
        """Arguments of the last `write` where it is not known whether it was committed."""
        return self._tried

    def write(self, tick_ms: int, positions: list[int], ended: bool) -> int:
        """Commit everything that waits, and that ticks up to `tick_ms` have run; the offset of the journal entry.

        Raises:
            FencedError: another process has taken over; nothing was written.
            BrokerError: it is not known whether it was written.
        """
        entry = JournalEntry(self.run, tick_ms, positions, self._settings, ended, self._expert_results())
        producer, self._producer = self._producer, None
        if producer is None:
            raise FencedError("outputs have no producer: another process has taken over")
        since = time.monotonic()
        self._tried = (tick_ms, list(positions), ended)
        try:
            offset = self._transaction(producer, entry)
        except KafkaError as error:
            close(producer, 1.0)
            if trouble.is_fencing(error):
                raise FencedError("another process has taken over the outputs; this one stops writing") from error
            raise trouble.broker_error("writing outputs", self._clients.servers, error, since) from error
        self._producer = producer
        self.drop()
        return offset

    def _transaction(self, producer: KafkaProducer, entry: JournalEntry) -> int:
        producer.begin_transaction()
        sent: list[FutureRecordMetadata] = []
        for output in self._waiting:
            for alert in output.alerts:
                sent.append(producer.send(self._topics.alerts, alert.body, key=alert.id.encode()))
            for page, body in output.details:
                sent.append(producer.send(self._topics.details, body, key=page.encode()))
            for account, body in output.accounts:
                sent.append(producer.send(self._topics.accounts, body, key=account.encode()))
        journal = producer.send(self._topics.journal, encode(entry), key=b"journal")
        offsets = {
            TopicPartition(self._topics.observations, number): OffsetAndMetadata(
                position, f'{{"tick": {entry.tick_ms}, "run": "{entry.run}"}}', -1
            )
            for number, position in enumerate(entry.positions)
        }
        _bounded(lambda: producer.send_offsets_to_transaction(offsets, self._group.group_metadata()))
        producer.flush(CALL_S)
        for future in [*sent, journal]:
            future.get(timeout=CALL_S)
        _bounded(producer.commit_transaction)
        return int(journal.value.offset)

    def _expert_results(self) -> list[ExpertResults]:
        return [ExpertResults(each.tick_ms, results(each.experts)) for each in self._waiting if len(each.experts)]

    def drop(self) -> None:
        """Forget what waits: it is committed, or somebody else's business."""
        self._tried = None
        self._waiting.clear()
        self._bytes, self._since = 0, None

    def close(self) -> None:
        """Give up the producer; what waits is not written."""
        self.drop()
        close(self._producer)
        self._producer = None


def _bounded(call: Callable[[], None]) -> None:
    """`call` in a thread of its own, given up after `CALL_S`; the caller then closes the producer for good.

    Raises:
        KafkaTimeoutError: it did not end in time.
    """
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="transaction", daemon=True)
    thread.start()
    thread.join(CALL_S)
    if thread.is_alive():
        raise KafkaTimeoutError(f"a transaction was not finished within {CALL_S:.0f} s")
    if failures:
        error = failures[0]
        if isinstance(error, KafkaError):
            raise error
        raise IllegalStateError(str(error)) from error
