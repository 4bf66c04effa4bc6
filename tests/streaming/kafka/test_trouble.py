"""The client's errors become ours with a reason one can act on."""

from __future__ import annotations

import logging
import time

import pytest
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError, TopicAuthorizationFailedError

from detector.errors import BrokerError
from streaming.kafka import trouble
from streaming.kafka.clients import Clients
from streaming.settings import KafkaConfig
from tests.streaming.kafka.brokers import free_ports


@pytest.fixture(autouse=True)
def listening() -> None:
    trouble.listen()


def failing(*logged: str) -> BrokerError:
    try:
        with trouble.explained("connecting", "broker:9092"):
            for message in logged:
                logging.getLogger("kafka.net").error(message)
            raise KafkaTimeoutError("Unable to bootstrap")
    except BrokerError as error:
        return error


def test_a_wrong_password_is_named_even_if_the_broker_hung_up_afterwards() -> None:
    error = failing(
        "Bootstrap connection to x failed: [Error 58] SaslAuthenticationFailedError: invalid credentials",
        "Bootstrap connection to x failed: KafkaConnectionError: socket disconnected (backoff 0.30 secs)",
    )
    assert "invalid credentials" in str(error)
    assert "sasl_username and the password" in str(error)


def test_a_certificate_problem_is_named() -> None:
    error = failing(
        "Connection failed: Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED]", "Bootstrap not ready; waiting"
    )
    assert "ssl_cafile" in str(error)


def test_a_broker_that_hangs_up_points_to_the_protocol() -> None:
    assert "security_protocol" in str(failing("Connection lost: KafkaConnectionError: socket disconnected"))


def test_what_was_logged_before_is_no_reason() -> None:
    logging.getLogger("kafka.net").error("Connection failed: an old story")
    time.sleep(0.001)
    assert "old story" not in str(failing())


def test_a_missing_permission_is_hopeless_and_a_timeout_is_not() -> None:
    with pytest.raises(BrokerError, match="grant") as caught, trouble.explained("reading", "b:1"):
        raise TopicAuthorizationFailedError({"posts"})
    assert trouble.is_hopeless(caught.value)
    assert not trouble.is_hopeless(failing())


def test_fencing_is_recognised_however_it_is_wrapped() -> None:
    fenced = ProducerFencedError("epoch")
    wrapped = KafkaError("cannot execute transactional method because we are in an error state", fenced)
    try:
        raise KafkaError("commit failed") from fenced
    except KafkaError as error:
        caused = error
    named = KafkaError("ProducerFencedError: there is a newer producer")
    assert all(trouble.is_fencing(each) for each in (fenced, wrapped, caused, named))
    assert not trouble.is_fencing(KafkaTimeoutError("late"))


def test_a_broker_that_is_away_at_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.kafka.clients.BOOTSTRAP_MS", 500)
    (port,) = free_ports(1)
    with pytest.raises(BrokerError, match=r"connecting at 127.0.0.1:\d+ failed: .*ECONNREFUSED.*check that the broker"):
        Clients(KafkaConfig(bootstrap_servers=f"127.0.0.1:{port}")).reader()
