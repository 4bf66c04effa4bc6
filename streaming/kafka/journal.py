"""The journal of `assess`, and the transactions that write it together with the outputs.

A `JournalEntry` holds what a replay could compute differently (what was read in texts, the digest of the settings) and
how far outputs are committed. Every transaction writes one (or several alike, where one record cannot hold its
answers), so the newest entry that a `read_committed` reader sees is the committed state (`JournalReader`, `Journal`).
The offsets of the consumer group, written in the same transactions, say the same to Kafka's own tools; they expire a
week after the last one, the journal does not.

`Outbox` writes outputs, journal entry, positions and tick together or not at all. Several ticks share a transaction,
since one costs a wait of the client whatever is in it. After any error inside a transaction nobody knows whether it was
committed: the producer is closed, and the journal is asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec
import numpy as np
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from detector.errors import FencedError, LogError
from detector.text.meaning import MEANING_DIM
from streaming.assess.outputs import Answer, RerankRequest, TickOutput
from streaming.kafka import client
from streaming.kafka.client import CALL_MS, Clients, Topics, close

READ_S: Final = 60.0
"""Longest wait for the journal's next records while there are some."""

NEAR_END: Final = 20
"""Offsets from the end within which there usually is an entry: each takes two, the second for the transaction's mark,
and a transaction that was aborted leaves two more."""

FULL_BYTES: Final = 4 << 20
"""Waiting outputs that are written without waiting for more."""

FULL_TICKS: Final = 500
"""The same in ticks: what a crash in a long replay makes a successor run again."""

WAIT_S: Final = 0.2
"""Longest time an output waits for others to share its transaction, which costs 12 ms: so its share stays below a
tenth."""

_LLR_BYTES: Final = 2

CALL_S: Final = 70.0
"""A transactional call has no time limit of its own; by now the broker has aborted the transaction itself (60 s)."""


VERSION: Final = 2
"""Of a journal entry."""

FULL_RECORD_BYTES: Final = 512 << 10
"""Answers in one record of the journal: half of what a broker takes as it is installed. The rest go into further
records of the same transaction; one tick's alone are below 420 kB with the default budgets."""


class RerankResults(msgspec.Struct, array_like=True, frozen=True):
    """What was read in texts at one tick.

    Args:
        tick_ms: the tick.
        llr: of the second-stage model, little-endian int16, millinats.
        vectors: of meaning, `MEANING_DIM` bytes each.
    """

    tick_ms: int
    llr: bytes
    vectors: bytes

    @classmethod
    def of(cls, tick_ms: int, answer: Answer) -> Self:
        """An answer as the journal keeps it."""
        return cls(tick_ms, answer.llrs.astype("<i2").tobytes(), answer.vectors.tobytes())


class JournalEntry(msgspec.Struct, frozen=True):
    """One transaction of `assess`.

    Args:
        run: names this history of outputs; a snapshot of another one is of no use.
        tick_ms: last tick whose outputs are committed.
        positions: next offset of every partition of the observation log when this was written.
        settings: digest of configuration and models with which the ticks ran.
        ended: every partition has ended and the last tick has run.
        reranked: results of those ticks at which texts were read.
        v: of this record: 2 has vectors of meaning.
    """

    run: str
    tick_ms: int
    positions: list[int]
    settings: str
    ended: bool
    reranked: list[RerankResults] = msgspec.field(name="experts")
    v: int = VERSION


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(JournalEntry)


def encode(entry: JournalEntry) -> bytes:
    """The journal record of `entry` (MessagePack)."""
    return _encoder.encode(entry)


def decode(record: bytes, place: str) -> JournalEntry:
    """The entry in a record.

    Raises:
        LogError: it is none of this version; `place` says where it lies.
    """
    try:
        entry = _decoder.decode(record)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LogError(
            f"{place} is no journal entry of this version: another program writes to the topic, or it is of another "
            "release; choose another [kafka] topic_prefix"
        ) from error
    if entry.v != VERSION:
        raise LogError(
            f"{place} is a journal entry of version {entry.v}, and this release reads version {VERSION}: go on with "
            "the release that wrote it, or start this one under a [kafka] topic_prefix of its own"
        )
    return entry


def entries(whole: JournalEntry) -> Iterator[JournalEntry]:
    """`whole` in entries of which each fits a record: all alike but for the results, which they share out in order."""
    part: list[RerankResults] = []
    held = 0
    for each in whole.reranked:
        size = len(each.llr) + len(each.vectors)
        if part and held + size > FULL_RECORD_BYTES:
            yield msgspec.structs.replace(whole, reranked=part)
            part, held = [], 0
        part.append(each)
        held += size
    yield msgspec.structs.replace(whole, reranked=part)


@dataclass
class Journal:
    """What was read of the journal so far."""

    last: JournalEntry | None = None
    last_offset: int = -1
    first: int = 0
    """The topic's first offset: above 0 once retention has removed something."""
    reranked: dict[int, RerankResults] = field(default_factory=dict)
    """What was read in texts, by tick, until it is used."""
    settings: list[tuple[int, str]] = field(default_factory=list)
    """(last tick, digest of the settings) wherever the settings change."""

    def add(self, entry: JournalEntry, offset: int) -> None:
        """Take note of the next entry."""
        self.last, self.last_offset = entry, offset
        self.reranked.update((each.tick_ms, each) for each in entry.reranked)
        if self.settings and self.settings[-1][1] == entry.settings:
            self.settings.pop()
        self.settings.append((entry.tick_ms, entry.settings))

    @property
    def tick_ms(self) -> int | None:
        """The last committed tick, None where nothing was ever committed."""
        return None if self.last is None else self.last.tick_ms

    def other_settings(self, after_tick_ms: int | None, settings: str) -> bool:
        """Whether a committed tick after `after_tick_ms` ran with other settings than `settings`."""
        return any(
            digest != settings for tick, digest in self.settings if after_tick_ms is None or tick > after_tick_ms
        )

    def answer(self, request: RerankRequest) -> Answer:
        """What was answered at that tick the first time.

        Raises:
            LogError: the journal has no such answer.
        """
        kept = self.reranked.get(request.tick_ms, RerankResults(request.tick_ms, b"", b""))
        sizes = len(kept.llr) / _LLR_BYTES, len(kept.vectors) / MEANING_DIM
        if sizes != (len(request.texts), len(request.meanings)):
            raise LogError(
                f"the journal has {sizes[0]:g} answers of the second-stage model and {sizes[1]:g} vectors for tick "
                f"{request.tick_ms}, the replay asks for {len(request.texts)} and {len(request.meanings)}: journal and "
                "observations do not belong together; start from a newer snapshot, or over under another [kafka] "
                "topic_prefix"
            )
        return Answer(
            np.frombuffer(kept.llr, "<i2").astype(np.int16),
            np.frombuffer(kept.vectors, np.int8).reshape(-1, MEANING_DIM),
        )

    def forget(self, up_to_tick_ms: int) -> None:
        """Drop results that no replay from here on needs."""
        for tick in [tick for tick in self.reranked if tick <= up_to_tick_ms]:
            del self.reranked[tick]


class JournalReader:
    """Reads committed entries of the journal, from one offset on, as they come."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._tp = TopicPartition(topics.journal, 0)
        self._consumer: KafkaConsumer = clients.reader(records=2000, committed=True)
        self._consumer.assign([self._tp])
        self._placed = False
        self.journal = Journal()

    def start(self, offset: int | None) -> None:
        """Read from `offset` on (None: from the first there is), forgetting what was read before.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("asking where the journal begins"):
            first = self._consumer.beginning_offsets([self._tp], CALL_MS)[self._tp]
            self._go(first, first if offset is None else max(first, offset))

    def read_end(self) -> Journal:
        """Read the last entries only, from which no replay is possible.

        Raises:
            BrokerError: the broker is away.
            LogError: an entry that is none.
        """
        depth = NEAR_END
        while True:
            with self._clients.explained("asking where the journal ends"):
                first = self._consumer.beginning_offsets([self._tp], CALL_MS)[self._tp]
                end = self._consumer.end_offsets([self._tp], CALL_MS)[self._tp]
                self._go(first, max(first, end - depth))
            journal = self.catch_up()
            if journal.last is not None or end - depth <= first:
                return journal
            depth *= 10

    def _go(self, first: int, offset: int) -> None:
        self.journal = Journal(first=first)
        self._consumer.seek(self._tp, offset)
        self._placed = True

    def catch_up(self) -> Journal:
        """Read every entry that is committed by now.

        Raises:
            BrokerError: the broker is away.
            LogError: an entry that is none.
        """
        if not self._placed:
            self.start(None)
        with self._clients.explained("reading the journal"):
            end = self._consumer.end_offsets([self._tp], CALL_MS)[self._tp]
            deadline = time.monotonic() + READ_S
            while (position := self._consumer.position(self._tp, CALL_MS)) is None or position < end:
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError(f"{self._tp.topic} could not be read up to {end}")
                for record in self._consumer.poll(200).get(self._tp, []):
                    place = f"{self._tp.topic}-0@{record.offset}"
                    self.journal.add(decode(record.value or b"", place), record.offset)
        return self.journal

    def close(self) -> None:
        close(self._consumer)


class Outbox:
    """The transactional producer and the outputs that wait for their transaction.

    Args:
        clients: makes the producer.
        topics: names.
        group: a consumer with partitions assigned by hand, in whose group positions are kept.
        settings: digest of this process's configuration and models.
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
                bounded(producer.init_transactions)
            except BaseException:
                close(producer, 1.0)
                raise
        self._producer = producer

    def add(self, output: TickOutput, now: float) -> None:
        """Queue the outputs of the next tick for a transaction."""
        self._waiting.append(output)
        self._bytes += sum(len(alert.body) for alert in output.alerts)
        self._bytes += sum(len(page or b"") for _, page in output.details)
        self._bytes += sum(len(row or b"") for _, row in output.accounts)
        self._bytes += sum(len(each.body or b"") for each in output.samples)
        self._bytes += output.rerank_answer.llrs.nbytes + output.rerank_answer.vectors.nbytes
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
        """Commit everything that waits.

        Args:
            tick_ms: last tick that has run.
            positions: next offset of every partition of the observation log.
            ended: whether that was the last tick there will be.

        Returns:
            The offset of the journal entry.

        Raises:
            FencedError: another process has taken over; nothing was written.
            BrokerError: it is not known whether it was written.
        """
        entry = JournalEntry(self.run, tick_ms, positions, self._settings, ended, self._rerank_results())
        producer, self._producer = self._producer, None
        if producer is None:
            raise FencedError(
                "the producer of outputs was given up after an error: another process may have taken over"
            )
        since = time.monotonic()
        self._tried = (tick_ms, list(positions), ended)
        try:
            offset = self._transaction(producer, entry)
        except KafkaError as error:
            close(producer, 1.0)
            if client.is_fencing(error):
                raise FencedError("the broker fenced this process: another one writes the outputs now") from error
            raise client.broker_error("writing outputs", self._clients.servers, error, since) from error
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
            for account, body in output.samples:
                sent.append(producer.send(self._topics.blind_sample, body, key=account.encode()))
        journal = [producer.send(self._topics.journal, encode(each), key=b"journal") for each in entries(entry)]
        offsets = {
            TopicPartition(self._topics.observations, number): OffsetAndMetadata(
                position, f'{{"tick": {entry.tick_ms}, "run": "{entry.run}"}}', -1
            )
            for number, position in enumerate(entry.positions)
        }
        bounded(lambda: producer.send_offsets_to_transaction(offsets, self._group.group_metadata()))
        producer.flush(CALL_S)
        for future in [*sent, *journal]:
            future.get(timeout=CALL_S)
        bounded(producer.commit_transaction)
        return int(journal[-1].value.offset)

    def _rerank_results(self) -> list[RerankResults]:
        return [
            RerankResults.of(each.tick_ms, each.rerank_answer) for each in self._waiting if not each.rerank_answer.empty
        ]

    def drop(self) -> None:
        """Forget what waits: it is committed, or another process writes it."""
        self._tried = None
        self._waiting.clear()
        self._bytes, self._since = 0, None

    def close(self) -> None:
        """Give up the producer; what waits is not written."""
        self.drop()
        close(self._producer)
        self._producer = None


def bounded(call: Callable[[], None]) -> None:
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
