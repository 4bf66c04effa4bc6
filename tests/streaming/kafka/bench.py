"""A deployment for tests: topics under one prefix, worker processes, events written, alerts read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from streaming.config import KafkaConfig
from streaming.kafka.client import Topics

ROOT: Final = Path(__file__).resolve().parents[3]

EXIT_S: Final = 60.0
"""Longest wait for a worker to finish a small bounded topic."""


class Worker:
    """One worker process."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        environment = {"OMP_NUM_THREADS": "1"} | dict(environment or {})
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, cwd=ROOT, env=os.environ | environment)

    def kill(self) -> None:
        """SIGKILL: no farewell."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = EXIT_S) -> int:
        """Exit status.

        Raises:
            AssertionError: it does not end in time; the message has its log.
        """
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"a worker did not end within {timeout_s:.0f} s:\n{self.said()}") from None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def wrote(self, start: int = 0) -> str:
        """Its log from character `start` on."""
        return self.log.read_text(errors="replace")[start:]

    def wait_for(self, words: str, timeout_s: float = EXIT_S, start: int = 0) -> float:
        """When the log first has `words` in it (`time.monotonic`), from character `start` on.

        Raises:
            AssertionError: it does not in time.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if words in self.wrote(start):
                return time.monotonic()
            assert self.alive, f"a worker ended before saying {words!r}:\n{self.said()}"
            time.sleep(0.02)
        raise AssertionError(f"a worker did not say {words!r}:\n{self.said()}")


class Deployment:
    """Topics under `prefix` on the broker at `address`; files in `folder`."""

    def __init__(self, address: str, prefix: str, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.topics = Topics(prefix)
        self.workers: list[Worker] = []
        self.environment: dict[str, str] = {}
        """What all workers have in theirs."""
        self.settings: dict[str, dict[str, object]] = {
            "": {},
            "kafka": {"bootstrap_servers": address, "topic_prefix": prefix, "session_timeout_s": 6},
            "state": {"dir": str(folder / "state")},
            "metrics": {"port": 0},
        }

    def kafka(self, **more: Any) -> KafkaConfig:
        return KafkaConfig(bootstrap_servers=self.address, topic_prefix=self.topics.prefix, **more)

    def config(self, **changes: dict[str, object]) -> Path:
        """A configuration file; `changes` by section, `top` for the top level."""
        tables = {name: dict(values) for name, values in self.settings.items()}
        for section, values in changes.items():
            tables.setdefault("" if section == "top" else section, {}).update(values)
        lines = []
        for section, values in tables.items():
            lines += [f"[{section}]"] if section else []
            lines += [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
        path = self.folder / f"config-{len(list(self.folder.glob('config-*')))}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    # Workers

    def tiny(
        self,
        stage: str = "all",
        exit_s: float | None = 1.0,
        *,
        reranker: str = "steady",
        settings: str = "tiny",
        **changes: dict[str, object],
    ) -> Worker:
        """Start a worker with the tiny core (`tests.streaming.kafka.tiny`)."""
        idle = "-" if exit_s is None else str(exit_s)
        module = [sys.executable, "-m", "tests.streaming.kafka.tiny"]
        return self._start([*module, str(self.config(**changes)), stage, idle, reranker, settings])

    def worker(self, stage: str = "all", exit_s: float | None = 1.0, **changes: dict[str, object]) -> Worker:
        """Start the real `swarmlight worker`."""
        idle = [] if exit_s is None else ["--exit-when-idle", str(exit_s)]
        module = [sys.executable, "-m", "streaming", "worker", "--config", str(self.config(**changes))]
        return self._start([*module, "--stage", stage, *idle])

    def _start(self, command: list[str]) -> Worker:
        worker = Worker(command, self.folder / f"worker-{len(self.workers)}.log", self.environment)
        self.workers.append(worker)
        return worker

    def stop_all(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.kill()

    # Topics

    def create(self, topic: str, partitions: int, **configs: str) -> None:
        """Create a topic by hand, as an operator would."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        try:
            admin.create_topics({topic: {"num_partitions": partitions, "configs": configs}}, wait_for_metadata=True)
        finally:
            admin.close()

    def delete(self, topic: str) -> None:
        """Remove a topic."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        try:
            admin.delete_topics([topic])
            deadline = time.monotonic() + 10
            while topic in admin.list_topics():
                assert time.monotonic() < deadline, f"{topic} is still there"
                time.sleep(0.1)
        finally:
            admin.close()

    def delete_before(self, topic: str, partition: int, offset: int) -> None:
        """Do what retention does."""
        admin = KafkaAdminClient(bootstrap_servers=self.address)
        try:
            admin.delete_records({TopicPartition(topic, partition): offset})
        finally:
            admin.close()

    def write(
        self,
        events: Iterable[dict[str, Any]],
        *,
        partitions: int,
        keyed: bool = True,
        pause_s: float = 0.0,
    ) -> None:
        """Write events to `posts` in this order: keyed by account, or to each partition in turn."""
        producer = KafkaProducer(bootstrap_servers=self.address, linger_ms=0 if pause_s else 5)
        try:
            for number, event in enumerate(events):
                value = msgspec.json.encode(event)
                if keyed:
                    producer.send(self.topics.posts, value, key=str(event.get("account", "")).encode())
                else:
                    producer.send(self.topics.posts, value, partition=number % partitions)
                if pause_s:
                    time.sleep(pause_s)
            producer.flush(30)
        finally:
            producer.close(5)

    def write_raw(self, topic: str, partition: int, *values: bytes, key: bytes | None = None) -> None:
        """Write records as they are."""
        producer = KafkaProducer(bootstrap_servers=self.address)
        try:
            for value in values:
                producer.send(topic, value, key=key, partition=partition)
            producer.flush(10)
        finally:
            producer.close(5)

    def read(self, topic: str, *, committed: bool = True) -> list[Any]:
        """All records of a topic as they are now, partition by partition."""
        consumer = KafkaConsumer(
            bootstrap_servers=self.address,
            isolation_level="read_committed" if committed else "read_uncommitted",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            deadline = time.monotonic() + 20
            while not (numbers := consumer.partitions_for_topic(topic)):  # A new topic is not known at once.
                assert time.monotonic() < deadline, f"{topic} is not there"
                time.sleep(0.05)
            places = [TopicPartition(topic, number) for number in numbers]
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            consumer.seek_to_beginning(*places)
            records: list[Any] = []
            while any(consumer.position(place) < ends[place] for place in places):
                assert time.monotonic() < deadline, f"{topic} could not be read to its end"
                for batch in consumer.poll(200).values():
                    records += batch
            return records
        finally:
            consumer.close()

    def alerts(self) -> dict[str, list[dict[str, Any]]]:
        """Every committed revision of every alert, in order, by id."""
        found: dict[str, list[dict[str, Any]]] = {}
        for record in self.read(self.topics.alerts):
            found.setdefault(record.key.decode(), []).append(msgspec.json.decode(record.value))
        return found


def last_revisions(alerts: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The last revision of each alert.

    Raises:
        AssertionError: the revisions of one do not count 1, 2, 3.
    """
    for revisions in alerts.values():
        numbers = [revision["revision"] for revision in revisions]
        assert numbers == list(range(1, len(numbers) + 1)), f"revisions repeat or have gaps: {numbers}"
    return {name: revisions[-1] for name, revisions in alerts.items()}
