"""Where alerts come from: files that grow (`files`) or Kafka (`kafka`). Both give batches, and remember their place.

A place is written in the transaction of the batch it follows, so that a crash loses and repeats nothing; and if it did,
`ingest` takes the same revision once.

Files of one JSON object a line that another program may still be writing: read to the end, then looked at again.

Topics `alerts` and `alert-details`, read committed; the positions lie in the feed's own database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from kafka import KafkaConsumer, TopicPartition

from detector.errors import FeedError, UsageError
from moderation.records import AlertRecord, PageRecord, read_alert, read_page
from streaming.config import KafkaConfig
from streaming.kafka.client import CALL_MS, Clients, Topics, close


@dataclass
class Batch:
    """What was read at once, and the places reached: key of `meta` -> value."""

    alerts: list[AlertRecord] = field(default_factory=list)
    pages: list[PageRecord] = field(default_factory=list)
    gone_pages: list[tuple[str, int]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0

    def __bool__(self) -> bool:
        return bool(self.places)


class Source(Protocol):
    """Gives batches until there is nothing more for now."""

    def start(self, places: Mapping[str, str]) -> None:
        """Go on from the places of the last batch that was taken in, from the beginning where there is none."""

    def read(self) -> Batch:
        """What there is now; empty after a short wait where there is nothing."""

    def close(self) -> None:
        """Give everything back."""


CHUNK_BYTES: Final = 1 << 20
"""Read at once: some hundred alerts, a transaction of a fraction of a second."""

LONGEST_LINE: Final = 4 << 20
"""No record of the contract is over 900 kB; a longer line is skipped."""

WAIT_S: Final = 0.3
"""Between two looks at a file that has not grown."""


class Follower:
    """One file, from a byte position on. Lines come whole: one that is still being written waits for its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._inode = -1
        self.position = 0

    @property
    def place(self) -> str:
        """Position and file, so that another file of the same name is read from its beginning."""
        return f"{self._inode}:{self.position}"

    def start(self, place: str | None) -> None:
        inode, _, position = (place or "").partition(":")
        self._open()
        if self._file is not None and inode == str(self._inode) and position.isdecimal():
            self.position = int(position)

    def lines(self) -> list[bytes]:
        """Whole lines that were not read yet; empty where there are none now."""
        if self._file is None or self._replaced():
            self._open()
        if self._file is None:
            return []
        self._file.seek(self.position)
        data = self._file.read(CHUNK_BYTES)
        end = data.rfind(b"\n") + 1
        while not end and len(data) == CHUNK_BYTES and len(data) < LONGEST_LINE:
            more = self._file.read(LONGEST_LINE - len(data))
            data += more
            end = data.rfind(b"\n") + 1
            if not more:
                break
        if not end and len(data) >= LONGEST_LINE:
            # Nobody's record: go past it, and past its rest until a line ends.
            self.position += len(data)
            return [b"too long"]
        self.position += end
        return data[:end].split(b"\n")[:-1]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _replaced(self) -> bool:
        """Whether the name now stands for another file, or this one was cut."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return now.st_ino != self._inode or now.st_size < self.position

    def _open(self) -> None:
        self.close()
        try:
            self._file = self.path.open("rb")
            self._inode = self.path.stat().st_ino
        except OSError:
            return
        self.position = 0


class FileSource:
    """Alerts from one file, their details from another.

    Raises:
        UsageError: the file of alerts is there and cannot be read. One that is not there yet is waited for.
    """

    def __init__(self, alerts: Path, details: Path | None, sleep: Callable[[float], None] = time.sleep) -> None:
        for path in (alerts, details):
            if path is not None and path.exists() and not path.is_file():
                raise UsageError(f"{str(path)!a} is no file")
            try:
                if path is not None and path.exists():
                    path.open("rb").close()
            except OSError as error:
                raise UsageError(f"{str(path)!a} cannot be read: {error.strerror}") from None
        self._alerts = Follower(alerts)
        self._details = Follower(details) if details is not None else None
        self._sleep = sleep

    def start(self, places: Mapping[str, str]) -> None:
        for follower in self._followers():
            follower.start(places.get(_file_key(follower)))

    def read(self) -> Batch:
        batch = Batch()
        if self._details is not None:
            for line in self._details.lines():
                try:
                    batch.pages.append(read_page(line))
                except FeedError:
                    batch.unreadable += bool(line.strip())
        for line in self._alerts.lines():
            try:
                batch.alerts.append(read_alert(line))
            except FeedError:
                batch.unreadable += bool(line.strip())
        if batch.pages or batch.alerts or batch.unreadable:
            batch.places = {_file_key(each): each.place for each in self._followers()}
        else:
            self._sleep(WAIT_S)
        return batch

    def close(self) -> None:
        for follower in self._followers():
            follower.close()

    def _followers(self) -> list[Follower]:
        return [self._alerts] if self._details is None else [self._alerts, self._details]


def _file_key(follower: Follower) -> str:
    return f"file:{str(follower.path.resolve())[-240:]}"


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
                kept = places.get(_topic_key(place), "")
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
                batch.places[_topic_key(place)] = str(records[-1].offset + 1)
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


def _topic_key(place: TopicPartition) -> str:
    return f"kafka:{place.topic}:{place.partition}"
