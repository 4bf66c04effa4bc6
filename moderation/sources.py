"""Where alerts come from: files that grow (`AlertFiles`), or the topics `alerts`, `alert-details` and `blind-sample`
(`AlertTopics`).

Both give batches of records together with the positions reached. `ingest` stores a position in the transaction of its
batch and hands it back at the next start, so that a crash loses and repeats nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from kafka import KafkaConsumer, TopicPartition

from detector.errors import FeedError, UsageError
from moderation.topic_records import read_alert, read_page, read_sample
from streaming.config import KafkaConfig
from streaming.kafka.client import CALL_MS, Clients, Topics, close
from streaming.schema.alert import AlertRecord, PageRecord
from streaming.schema.sample import SampleRecord


@dataclass
class AlertBatch:
    """What was read at once.

    Args:
        alerts: revisions of alerts.
        pages: pages of their details.
        deleted_pages: (id of the alert, number) of pages that were deleted at their source.
        samples: accounts of the blind sample.
        unsampled: accounts that were deleted: what waits of them in the sample goes.
        positions: the positions reached: key in table `meta` -> value.
        unreadable: records that were none.
    """

    alerts: list[AlertRecord] = field(default_factory=list)
    pages: list[PageRecord] = field(default_factory=list)
    deleted_pages: list[tuple[str, int]] = field(default_factory=list)
    samples: list[SampleRecord] = field(default_factory=list)
    unsampled: list[str] = field(default_factory=list)
    positions: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0

    def __bool__(self) -> bool:
        return bool(self.positions)


class AlertSource(Protocol):
    """Gives batches until there is nothing more for now."""

    def start(self, positions: Mapping[str, str]) -> None:
        """Go on from the positions of the last stored batch; from the beginning where there are none."""

    def read(self) -> AlertBatch:
        """What there is now; an empty batch, after a short wait, where there is nothing."""

    def close(self) -> None:
        """Close files or connections."""


CHUNK_BYTES: Final = 1 << 20
"""Bytes read at once: some hundred alerts, a transaction of a fraction of a second."""

MAX_LINE_BYTES: Final = 4 << 20
"""No record is over 900 kB; a longer line is none and is skipped."""

POLL_RECORDS: Final = 500
"""Records taken at once: a transaction of a fraction of a second."""

POLL_MS: Final = 300
"""How long a poll of the topics waits for records."""

POLL_S: Final = 0.3
"""Seconds between two reads of a file that has not grown: nobody notices them."""


class TailedFile:
    """A file read from a byte position on, like `tail -F`: a line that is still being written waits for its end.

    Args:
        path: of the file, which may appear later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._inode = -1
        self._offset = 0

    @property
    def position(self) -> str:
        """`INODE:OFFSET`, so that another file of the same name is read from its beginning."""
        return f"{self._inode}:{self._offset}"

    @property
    def missing(self) -> bool:
        """Whether there has been no such file so far."""
        return self._file is None

    def start(self, position: str | None) -> None:
        """Open the file, and go on from a position if it is one in this file."""
        inode, _, offset = (position or "").partition(":")
        self._open()
        if self._file is not None and inode == str(self._inode) and offset.isdecimal():
            self._offset = int(offset)

    def lines(self) -> list[bytes]:
        """Complete lines that were not read yet; empty where there are none now."""
        if self._file is None or self._replaced():
            self._open()
        if self._file is None:
            return []
        self._file.seek(self._offset)
        data = self._file.read(CHUNK_BYTES)
        end = data.rfind(b"\n") + 1
        while not end and len(data) == CHUNK_BYTES and len(data) < MAX_LINE_BYTES:
            more = self._file.read(MAX_LINE_BYTES - len(data))
            data += more
            end = data.rfind(b"\n") + 1
            if not more:
                break
        if not end and len(data) >= MAX_LINE_BYTES:
            # Too long for a record: skip this piece, and the rest until the line ends.
            self._offset += len(data)
            return [b"too long"]
        self._offset += end
        return data[:end].split(b"\n")[:-1]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _replaced(self) -> bool:
        """Whether the path now leads to another file, or this one was truncated."""
        try:
            now = self.path.stat()
        except OSError:
            return False
        return now.st_ino != self._inode or now.st_size < self._offset

    def _open(self) -> None:
        self.close()
        try:
            self._file = self.path.open("rb")
            self._inode = self.path.stat().st_ino
        except OSError:
            return
        self._offset = 0


class AlertFiles:
    """Alerts from one file, their details and the blind sample from others, one JSON object a line, as `swarmlight run`
    writes them.

    Args:
        alerts: file of alerts. One that does not exist yet is waited for.
        details: file of their details, or None.
        samples: file of the blind sample, or None.
        sleep: waits so many seconds.

    Raises:
        UsageError: a file exists and cannot be read.
    """

    def __init__(
        self,
        alerts: Path,
        details: Path | None,
        samples: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        for path in (alerts, details, samples):
            if path is not None and path.exists() and not path.is_file():
                raise UsageError(f"{str(path)!a} is no file: name a file of alerts or details, one JSON object a line")
            try:
                if path is not None and path.exists():
                    path.open("rb").close()
            except OSError as error:
                raise UsageError(
                    f"{str(path)!a} cannot be read: {error.strerror}; may this user read the file?"
                ) from None
        self._alerts = TailedFile(alerts)
        self._details = TailedFile(details) if details is not None else None
        self._samples = TailedFile(samples) if samples is not None else None
        self._sleep = sleep
        self._nothing_yet = True
        """Whether no record of these files has been read, now or by an earlier process."""

    def start(self, positions: Mapping[str, str]) -> None:
        """Go on from the positions; see `AlertSource`."""
        self._nothing_yet = not any(_file_key(each) in positions for each in self._files())
        for tailed in self._files():
            tailed.start(positions.get(_file_key(tailed)))

    def read(self) -> AlertBatch:
        """New lines of all files; details first, so that they are there when their alert is.

        Raises:
            UsageError: the file of alerts does not exist yet, or nothing that any file holds is a record, so that a
                feed which waits for alerts is not ready.
        """
        batch = AlertBatch()
        if self._details is not None:
            for line in self._details.lines():
                try:
                    batch.pages.append(read_page(line))
                except FeedError:
                    batch.unreadable += bool(line.strip())
        for line in self._samples.lines() if self._samples is not None else ():
            try:
                batch.samples.append(read_sample(line))
            except FeedError:
                batch.unreadable += bool(line.strip())
        lines = self._alerts.lines()
        if self._alerts.missing:
            raise UsageError(
                f"the file of alerts {str(self._alerts.path)!a} does not exist yet: it is read once it is there; "
                "is its name right?"
            )
        for line in lines:
            try:
                batch.alerts.append(read_alert(line))
            except FeedError:
                batch.unreadable += bool(line.strip())
        found = bool(batch.pages or batch.alerts or batch.samples)
        if self._nothing_yet and batch.unreadable and not found:
            named = ", ".join(f"{str(each.path)!a}" for each in self._files())
            raise UsageError(
                f"none of {batch.unreadable} lines in {named} is an alert, a page of details or an account of a blind "
                "sample: name the files that swarmlight run --alerts, --details and --blind-sample wrote"
            )
        self._nothing_yet = self._nothing_yet and not found
        if found or batch.unreadable:
            batch.positions = {_file_key(each): each.position for each in self._files()}
        else:
            self._sleep(POLL_S)
        return batch

    def close(self) -> None:
        """Close all files."""
        for tailed in self._files():
            tailed.close()

    def _files(self) -> list[TailedFile]:
        return [each for each in (self._alerts, self._details, self._samples) if each is not None]


def _file_key(tailed: TailedFile) -> str:
    return f"file:{str(tailed.path.resolve())[-240:]}"


class AlertTopics:
    """All partitions of the topics `alerts`, `alert-details` and `blind-sample`, read committed.

    The positions are kept in the feed's own database, not as offsets of a consumer group.

    Args:
        kafka: how to reach the brokers.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._clients = Clients(kafka)
        self._topics = Topics(kafka.alerts_prefix or kafka.topic_prefix)
        self._consumer: KafkaConsumer | None = None

    def start(self, positions: Mapping[str, str]) -> None:
        """Connect, and go on from `positions`; from the beginning where there is none or retention has removed it.

        Raises:
            BrokerError: the broker does not answer, or does not have the topics.
        """
        self.close()
        with self._clients.explained("reading alerts"):
            consumer = self._clients.reader(records=POLL_RECORDS, committed=True)
            self._consumer = consumer
            partitions = []
            for topic in (self._topics.details, self._topics.blind_sample, self._topics.alerts):
                found = consumer.partitions_for_topic(topic) or {0}
                partitions += [TopicPartition(topic, number) for number in sorted(found)]
            consumer.assign(partitions)
            firsts = consumer.beginning_offsets(partitions, CALL_MS)
            ends = consumer.end_offsets(partitions, CALL_MS)
            for partition in partitions:
                kept = positions.get(_topic_key(partition), "")
                wanted = int(kept) if kept.isdecimal() else firsts[partition]
                # A topic that was created anew ends before the position that was kept.
                consumer.seek(
                    partition, wanted if firsts[partition] <= wanted <= ends[partition] else firsts[partition]
                )

    def read(self) -> AlertBatch:
        """New records of all topics, after `POLL_MS` at most.

        Raises:
            BrokerError: the broker does not answer.
        """
        consumer = self._consumer
        batch = AlertBatch()
        if consumer is None:
            return batch
        with self._clients.explained("reading alerts"):
            polled: dict[TopicPartition, list[Any]] = consumer.poll(POLL_MS)
            for partition, records in polled.items():
                for record in records:
                    self._add(batch, partition.topic, record.key, record.value)
                batch.positions[_topic_key(partition)] = str(records[-1].offset + 1)
        return batch

    def close(self) -> None:
        """Close the connection."""
        close(self._consumer)
        self._consumer = None

    def _add(self, batch: AlertBatch, topic: str, key: bytes | None, value: bytes | None) -> None:
        try:
            if topic == self._topics.alerts:
                if value is not None:
                    batch.alerts.append(read_alert(value))
            elif topic == self._topics.blind_sample:
                self._add_sample(batch, key, value)
            elif value is not None:
                batch.pages.append(read_page(value))
            else:
                name, _, page = (key or b"").decode("utf-8", "replace").rpartition("/")
                if name and page.isascii() and page.isdecimal() and len(page) < 7:
                    # A page read earlier in the same batch was written before it was deleted.
                    deleted = (name, int(page))
                    batch.pages = [each for each in batch.pages if (each.id, each.page) != deleted]
                    batch.deleted_pages.append(deleted)
        except FeedError:
            batch.unreadable += 1

    @staticmethod
    def _add_sample(batch: AlertBatch, key: bytes | None, value: bytes | None) -> None:
        if value is not None:
            batch.samples.append(read_sample(value))
            return
        account = (key or b"").decode("utf-8", "replace")
        # What was drawn earlier in the same batch was written before the account was deleted.
        batch.samples = [each for each in batch.samples if each.account != account]
        batch.unsampled.append(account)


def _topic_key(partition: TopicPartition) -> str:
    return f"kafka:{partition.topic}:{partition.partition}"
