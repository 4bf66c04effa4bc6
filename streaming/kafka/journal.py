"""The journal: what a replay could compute differently, and how far outputs are committed.

Every transaction of `assess` writes one entry, so the newest entry that a `read_committed` reader sees is the committed
state. The offsets of the consumer group, written in the same transactions, say the same to Kafka's own tools; they
expire a week after the last one, the journal does not.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError
from numpy.typing import NDArray

from detector.errors import LogError
from streaming.assess.records import ExpertRequest
from streaming.kafka.clients import CALL_MS, Clients, close
from streaming.kafka.topics import Topics

READ_S: Final = 60.0
"""Longest wait for the journal's next records while there are some."""

NEAR_END: Final = 20
"""Offsets from the end within which there usually is an entry: each takes two, the second for the transaction's mark,
and a transaction that was aborted leaves two more."""


class ExpertResults(msgspec.Struct, array_like=True, frozen=True):
    """What the expert answered at one tick: little-endian int16, millinats."""

    tick_ms: int
    llr: bytes


class JournalEntry(msgspec.Struct, frozen=True):
    """One transaction of `assess`.

    Args:
        run: names this history of outputs; a snapshot of another one is of no use.
        tick_ms: last tick whose outputs are committed.
        positions: next offset of every partition of the observation log when this was written.
        settings: digest of configuration and models with which the ticks ran.
        ended: every partition is over and the last tick has run.
        experts: results of those ticks at which an expert was asked.
    """

    run: str
    tick_ms: int
    positions: list[int]
    settings: str
    ended: bool
    experts: list[ExpertResults]
    v: int = 1


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
    if entry.v != 1:
        raise LogError(f"{place} is a journal entry of version {entry.v}, and this release reads version 1")
    return entry


def results(llr: NDArray[np.int16]) -> bytes:
    """Expert results as the journal keeps them."""
    return llr.astype("<i2").tobytes()


@dataclass
class Journal:
    """What was read of the journal so far."""

    last: JournalEntry | None = None
    last_offset: int = -1
    first: int = 0
    """The topic's first offset: above 0 once retention has removed something."""
    experts: dict[int, bytes] = field(default_factory=dict)
    """Expert results by tick, until they are used."""
    settings: list[tuple[int, str]] = field(default_factory=list)
    """(last tick, digest of the settings) wherever the settings change."""

    def add(self, entry: JournalEntry, offset: int) -> None:
        """Take note of the next entry."""
        self.last, self.last_offset = entry, offset
        self.experts.update((each.tick_ms, each.llr) for each in entry.experts)
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

    def answer(self, request: ExpertRequest) -> NDArray[np.int16]:
        """What the expert said at that tick the first time.

        Raises:
            LogError: the journal has no such answer.
        """
        answer = np.frombuffer(self.experts.get(request.tick_ms, b""), dtype="<i2").astype(np.int16)
        if len(answer) != len(request.texts):
            raise LogError(
                f"the journal has {len(answer)} expert results for tick {request.tick_ms}, the replay asks for "
                f"{len(request.texts)}: journal and observations do not belong together; start from a newer snapshot, "
                "or over under another [kafka] topic_prefix"
            )
        return answer

    def forget(self, up_to_tick_ms: int) -> None:
        """Drop results that no replay from here on needs."""
        for tick in [tick for tick in self.experts if tick <= up_to_tick_ms]:
            del self.experts[tick]


class JournalReader:
    """Reads committed entries of the journal, from one offset on, as they come."""

    def __init__(self, clients: Clients, topics: Topics) -> None:
        self._clients = clients
        self._place = TopicPartition(topics.journal, 0)
        self._consumer: KafkaConsumer = clients.reader(records=2000, committed=True)
        self._consumer.assign([self._place])
        self._placed = False
        self.journal = Journal()

    def start(self, offset: int | None) -> None:
        """Read from `offset` on (None: from the first there is), forgetting what was read before.

        Raises:
            BrokerError: the broker is away.
        """
        with self._clients.explained("reading the journal"):
            first = self._consumer.beginning_offsets([self._place], CALL_MS)[self._place]
            self._go(first, first if offset is None else max(first, offset))

    def read_end(self) -> Journal:
        """Read the last entries only, from which no replay is possible.

        Raises:
            BrokerError: the broker is away.
            LogError: an entry that is none.
        """
        depth = NEAR_END
        while True:
            with self._clients.explained("reading the journal"):
                first = self._consumer.beginning_offsets([self._place], CALL_MS)[self._place]
                end = self._consumer.end_offsets([self._place], CALL_MS)[self._place]
                self._go(first, max(first, end - depth))
            journal = self.catch_up()
            if journal.last is not None or end - depth <= first:
                return journal
            depth *= 10

    def _go(self, first: int, offset: int) -> None:
        self.journal = Journal(first=first)
        self._consumer.seek(self._place, offset)
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
            end = self._consumer.end_offsets([self._place], CALL_MS)[self._place]
            deadline = time.monotonic() + READ_S
            while (position := self._consumer.position(self._place, CALL_MS)) is None or position < end:
                if time.monotonic() > deadline:
                    raise KafkaTimeoutError(f"{self._place.topic} could not be read up to {end}")
                for record in self._consumer.poll(200).get(self._place, []):
                    place = f"{self._place.topic}-0@{record.offset}"
                    self.journal.add(decode(record.value or b"", place), record.offset)
        return self.journal

    def close(self) -> None:
        close(self._consumer)
