"""The stage `deliver`: the topic `alerts` goes on to sinks, nothing lost, in order, each sink at its own pace."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from pydantic import SecretStr

from detector.errors import UsageError
from streaming.config import Config, SinksConfig
from streaming.kafka.client import Clients, Topics, close, ensure_topics
from streaming.kafka.deliver import DeliverStage, name_of, sinks_of
from streaming.signing import ID_HEADER, Signer
from streaming.worker_metrics import Metrics
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.streams import stream
from tests.streaming.receivers import OK, Answer, Receiver, Request
from tests.streaming.sinks.alerts import alert

SECRET = "a secret of more than twenty-four bytes"


def configured(deployment: Deployment, *sinks: str) -> Config:
    section = SinksConfig(deliver=" ".join(sinks), internal_addresses="allow", webhook_secret=SecretStr(SECRET))
    return Config(kafka=deployment.kafka(), sinks=section)


def produced(config: Config, bodies: list[tuple[str, bytes]]) -> None:
    clients, topics = Clients(config.kafka), Topics.of(config.kafka)
    ensure_topics(clients, topics, config.kafka, snapshots=True)
    producer = clients.producer()
    for name, body in bodies:
        producer.send(topics.alerts, body, key=name.encode())
    producer.flush(timeout=30)
    close(producer)


def stage(config: Config, spec: str, **more: Any) -> DeliverStage:
    return DeliverStage(Clients(config.kafka), Topics.of(config.kafka), config, spec, metrics=Metrics(), **more)


def turned(running: DeliverStage, timeout_s: float = 60.0) -> None:
    """Turn it until it is done."""
    deadline = time.monotonic() + timeout_s
    while not running.done:
        assert time.monotonic() < deadline
        running.turn()


@pytest.mark.kafka
def test_every_revision_reaches_a_webhook_that_fails_now_and_then_and_a_restart_goes_on(deployment: Deployment) -> None:
    bodies = [(f"a{number % 3}", alert(f"a{number % 3}", number // 3 + 1)) for number in range(12)]
    taken: dict[str, bytes] = {}

    def take(request: Request) -> Answer:
        if len(receiver.requests) in (3, 4):
            return 503, {}, b""
        assert Signer(SECRET).verify(request.headers, request.body, int(time.time()))
        taken[request.headers[ID_HEADER]] = request.body
        return OK

    with Receiver(take) as receiver:
        spec = f"webhook:{receiver.url}/hook"
        config = configured(deployment, spec)
        produced(config, bodies[:6])
        running = stage(config, spec, over=lambda: True)
        turned(running)
        running.close()
        produced(config, bodies[6:])
        again = stage(config, spec, over=lambda: True)
        turned(again)
        again.close()
    assert list(taken.values()) == [body for _, body in bodies]
    assert len(receiver.requests) == 12 + 2


@pytest.mark.kafka
def test_what_a_sink_has_not_flushed_is_written_again_after_an_error(deployment: Deployment, tmp_path: Path) -> None:
    bodies = [("a", alert("a", number)) for number in range(1, 6)]
    folder = tmp_path / "rows"
    spec = f"parquet:{folder}/"
    config = configured(deployment, spec)
    produced(config, bodies)
    running = stage(config, spec, over=lambda: True)
    deadline = time.monotonic() + 60
    while not running._written and time.monotonic() < deadline:
        running.turn()
    folder.rmdir()  # the disk is gone before the first flush
    running._flushed_at = float("-inf")
    running.turn()
    assert running._sink is None
    running._again_at = 0.0
    turned(running)
    running.close()
    import duckdb

    with duckdb.connect() as database:
        (count,) = database.execute(f"SELECT count(*) FROM '{folder}/*.parquet'").fetchone() or (0,)
    assert count == 5


@pytest.mark.kafka
def test_osprey_s_topic_gets_an_action_for_each_account(deployment: Deployment) -> None:
    config = configured(deployment)
    topic = f"{config.kafka.topic_prefix}feedback"  # any topic that is there
    spec = f"osprey:{config.kafka.bootstrap_servers}/{topic}"
    produced(config, [("c", alert("c", 1, members=["ann", "bob"])), ("c", alert("c", 2, members=["bob"]))])
    running = stage(config, spec, over=lambda: True)
    turned(running)
    running.close()
    consumer = KafkaConsumer(bootstrap_servers=config.kafka.bootstrap_servers, group_id=None)
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    found: list[tuple[bytes, str]] = []
    deadline = time.monotonic() + 30
    while len(found) < 4 and time.monotonic() < deadline:
        for records in consumer.poll(1000).values():
            found += [(each.key, json.loads(each.value)["data"]["data"]["status"]) for each in records]
    consumer.close()
    assert found == [(b"ann", "open"), (b"bob", "open"), (b"bob", "open"), (b"ann", "left")]


@pytest.mark.kafka
def test_a_sink_that_has_an_end_is_refused_at_the_start(deployment: Deployment, tmp_path: Path) -> None:
    spec = f"jsonl:{tmp_path / 'alerts.jsonl'}"
    config = configured(deployment, spec)
    with pytest.raises(UsageError, match="only at the end of a run"):
        stage(config, spec)


def test_sinks_are_named_without_their_targets() -> None:
    deliver = "webhook:https://h.example/secret  kafka: webhook:https://h.example/secret"
    config = Config(sinks=SinksConfig(deliver=deliver))
    assert sinks_of(config) == ["webhook:https://h.example/secret", "kafka:"]
    assert "secret" not in name_of("webhook:https://h.example/secret")
    assert name_of("webhook:a") != name_of("webhook:b")


@pytest.mark.kafka
def test_a_worker_with_a_sink_delivers_all_before_it_ends_with_its_input(
    deployment: Deployment, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    with Receiver() as receiver:
        deployment.settings["sinks"] = {
            "deliver": f"webhook:{receiver.url}",
            "internal_addresses": "allow",
            "webhook_secret_file": str(tmp_path / "secret"),
        }
        deployment.create(deployment.topics.posts, 1)
        deployment.write(stream(200), partitions=1)
        worker = deployment.tiny()
        assert worker.wait() == 0, worker.said()
        written: dict[str, list[dict[str, Any]]] = {}
        for each in receiver.requests:
            body = json.loads(each.body)
            written.setdefault(body["id"], []).append(body)
    assert len(receiver.requests) > 5
    assert written == deployment.alerts()
