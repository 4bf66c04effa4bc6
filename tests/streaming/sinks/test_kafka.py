"""The sink `kafka` against a broker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer, TopicPartition

from detector.errors import BrokerError
from streaming.config import load_config
from streaming.sinks.base import open_sink
from tests.streaming.kafka.brokers import Broker, make_broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = make_broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.mark.kafka
@pytest.mark.parametrize("by_target", [True, False])
def test_revisions_go_to_the_topic_by_their_id(broker: Broker, by_target: bool) -> None:
    prefix = f"k{uuid.uuid4().hex[:8]}-"
    environ = {"SWARMLIGHT_KAFKA__TOPIC_PREFIX": prefix}
    if not by_target:
        environ["SWARMLIGHT_KAFKA__BOOTSTRAP_SERVERS"] = broker.address
    sink = open_sink(f"kafka:{broker.address}" if by_target else "kafka", load_config(None, environ))
    sent = [("é", b'{"revision":1}'), ("b", b"{}"), ("é", b'{"revision":2}')]
    for alert_id, body in sent:
        sink.write(alert_id, body)
    sink.close()
    consumer = KafkaConsumer(
        bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=10_000, group_id=None
    )
    consumer.assign([TopicPartition(f"{prefix}alerts", 0)])
    received = [(record.key.decode(), record.value) for record, _ in zip(consumer, sent, strict=False)]
    consumer.close()
    assert received == sent


@pytest.mark.slow
def test_a_broker_that_is_away_is_reported_before_anything_is_read() -> None:
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:9"):
        open_sink("kafka:127.0.0.1:9", load_config(None, {}))
