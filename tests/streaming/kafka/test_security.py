"""SASL on a broker of its own: the right password works, a wrong one says that it is wrong (`make chaos`)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from detector.errors import BrokerError
from streaming.config import KafkaConfig
from streaming.kafka.client import Clients, Topics, ensure_topics
from tests.streaming.kafka.brokers import ApacheKafka

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SASL = {
    "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.client.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
}


@pytest.fixture(scope="module")
def secured(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    user = ("--add-scram", "SCRAM-SHA-512=[name=worker,password=secret]")
    broker = ApacheKafka(tmp_path_factory.mktemp("secured"), home, SASL, user)
    broker.start()
    yield broker
    broker.stop()


def config(broker: ApacheKafka, folder: Path, password: str) -> KafkaConfig:
    (folder / "password").write_text(f"{password}\n")
    return KafkaConfig(
        bootstrap_servers=broker.address,
        topic_prefix="s-",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="worker",
        sasl_password_file=str(folder / "password"),
    )


def test_the_right_password_gets_in(secured: ApacheKafka, tmp_path: Path) -> None:
    kafka = config(secured, tmp_path, "secret")
    deadline = time.monotonic() + 30
    partitions = 0
    while not partitions:
        try:
            partitions = ensure_topics(Clients(kafka), Topics("s-"), kafka, snapshots=True)
        except BrokerError:
            # The port opens before the broker has read its users.
            assert time.monotonic() < deadline
    assert partitions == 4


def test_a_wrong_password_is_called_that(secured: ApacheKafka, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"invalid credentials.*check \[kafka\] sasl_mechanism") as caught:
        Clients(config(secured, tmp_path, "guess")).reader()
    assert "guess" not in str(caught.value)


def test_a_plaintext_client_is_told_to_look_at_the_protocol(secured: ApacheKafka, tmp_path: Path) -> None:
    kafka = config(secured, tmp_path, "secret")
    plain = kafka.model_copy(update={"security_protocol": "PLAINTEXT", "sasl_mechanism": ""})
    with pytest.raises(BrokerError, match="security_protocol"):
        Clients(plain).reader()
