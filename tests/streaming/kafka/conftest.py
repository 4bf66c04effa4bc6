"""One broker for the whole session; every test has topics of its own under a prefix of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streaming.config import KafkaConfig
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.brokers import ApacheKafka, Broker, kafka_home, make_broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Apache Kafka where `KAFKA_HOME` names one, else `noida-db`."""
    broker = make_broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def apache(broker: Broker) -> Broker:
    """The session's broker, where it is Apache Kafka."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("needs Apache Kafka: set KAFKA_HOME to its folder, and have Java 17")
    return broker


@pytest.fixture(scope="session")
def home() -> Path:
    """The folder of an Apache Kafka, for tests that need a broker of their own."""
    found = kafka_home()
    if found is None:
        pytest.skip("needs Apache Kafka: set KAFKA_HOME to its folder, and have Java 17")
    return found


@pytest.fixture
def deployment(broker: Broker, tmp_path: Path) -> Iterator[Deployment]:
    """A deployment on the session's broker with nothing in it yet."""
    deployment = Deployment(broker.address, f"t{uuid.uuid4().hex[:8]}-", tmp_path)
    yield deployment
    deployment.stop_all()


@pytest.fixture
def kafka(deployment: Deployment) -> KafkaConfig:
    """How to reach it."""
    return deployment.kafka()


@pytest.fixture(autouse=True)
def no_outside_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SWARMLIGHT_") and name != "SWARMLIGHT_DATA":
            monkeypatch.delenv(name)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints what a test measured, also where it passes."""

    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="", flush=True)

    return say
