"""Events reach the topic at the rate asked for, each account's in order."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from detector.errors import SwarmlightError
from simulation.output import Pace
from streaming.cli import invoke
from tests.streaming.kafka.brokers import Broker, make_broker


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("rate", [50.0, 1000.0])
def test_a_pace_is_kept_on_average(rate: float) -> None:
    clock = Clock()
    pace = Pace(rate, clock.time, clock.sleep)
    for _ in range(101):
        pace.sending(10)
    assert clock.now - 100.0 == pytest.approx(1000 / rate)
    assert pace.sent == 1010


def test_who_has_fallen_behind_catches_up_without_sleeping() -> None:
    clock = Clock()
    pace = Pace(100.0, clock.time, clock.sleep)
    pace.sending(10)
    clock.now += 5
    before = clock.now
    for _ in range(40):
        pace.sending(10)
    assert clock.now == before
    assert pace.reached() == pytest.approx(410 / 5)


def test_no_rate_is_as_fast_as_can_be() -> None:
    clock = Clock()
    pace = Pace(0.0, clock.time, clock.sleep)
    for _ in range(9):
        pace.sending(1000)
    assert clock.now == 100.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = make_broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


SMALL = "accounts = 100\ndays = 0.25\nmachines = 0.0\nburn_in_hours = 2.0\n"


@pytest.mark.kafka
def test_what_is_sent_is_what_is_written(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environ: None
) -> None:
    prefix = f"s{uuid.uuid4().hex[:8]}-"
    monkeypatch.setenv("SWARMLIGHT_KAFKA__TOPIC_PREFIX", prefix)
    config, events = tmp_path / "society.toml", tmp_path / "events.jsonl"
    config.write_text(SMALL, encoding="utf-8")
    assert invoke(["simulate", "--config", str(config), "--to-kafka", broker.address, "--events", str(events)]) == 0
    consumer = KafkaConsumer(
        bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=20_000, group_id=None
    )
    topic = f"{prefix}posts"
    consumer.assign([TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)])
    written = events.read_bytes().splitlines()
    assert len(written) > 50
    received = []
    for record in consumer:
        assert json.loads(record.value)["account"].encode() == record.key
        received.append(record.value)
        if len(received) == len(written):
            break
    consumer.close()
    assert sorted(received) == sorted(written)
    for account in {json.loads(line)["account"] for line in written[:50]}:
        mine = [line for line in written if json.loads(line)["account"] == account]
        assert [line for line in received if json.loads(line)["account"] == account] == mine


@pytest.mark.kafka
def test_a_preset_is_sent_at_a_rate(broker: Broker, monkeypatch: pytest.MonkeyPatch, clean_environ: None) -> None:
    monkeypatch.setenv("SWARMLIGHT_KAFKA__TOPIC_PREFIX", f"s{uuid.uuid4().hex[:8]}-")
    small = ["--accounts", "40", "--days", "0.05"]
    given = ["simulate", "--preset", "null", "--to-kafka", broker.address, "--rate", "5000", *small]
    assert invoke(given) == 0
    consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id=None)
    topic = f"{os.environ['SWARMLIGHT_KAFKA__TOPIC_PREFIX']}posts"
    parts = [TopicPartition(topic, part) for part in consumer.partitions_for_topic(topic)]
    assert sum(consumer.end_offsets(parts).values()) > 0
    consumer.close()


@pytest.mark.slow
def test_a_broker_that_is_away_is_reported(tmp_path: Path, clean_environ: None) -> None:
    config = tmp_path / "society.toml"
    config.write_text(SMALL, encoding="utf-8")
    with pytest.raises(SwarmlightError, match=r"127\.0\.0\.1:9"):
        invoke(["simulate", "--config", str(config), "--to-kafka", "127.0.0.1:9"])
    assert "SWARMLIGHT_KAFKA__TOPIC_PREFIX" not in os.environ
