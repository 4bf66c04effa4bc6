"""Topics are made or checked when a worker starts, and errors of the client become ours with a reason to act on."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    TopicAuthorizationFailedError,
)
from kafka.record import util as record_util

from detector.errors import BrokerError, LogError, UsageError
from streaming.config import KafkaConfig
from streaming.kafka import client
from streaming.kafka.client import Clients, ensure_topics
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.brokers import free_ports

pytestmark = pytest.mark.kafka


def start(deployment: Deployment, **kafka: Any) -> int:
    config = deployment.kafka(**kafka)
    return ensure_topics(Clients(config), deployment.topics, config, snapshots=True)


def test_what_is_missing_is_made_and_a_second_start_changes_nothing(deployment: Deployment) -> None:
    assert start(deployment, partitions=3, retention_s=86_400) == 3
    assert start(deployment, partitions=5) == 3
    admin = KafkaAdminClient(bootstrap_servers=deployment.address)
    described = {each["name"]: len(each["partitions"]) for each in admin.describe_topics(deployment.topics.all())}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in deployment.topics.all()]
    settings = admin.describe_configs(resources, config_filter="all")["topic"]
    admin.close()
    topics = deployment.topics
    assert described == {name: 3 if name in (topics.posts, topics.observations) else 1 for name in topics.all()}
    for name in (topics.alerts, topics.details, topics.accounts):
        assert settings[name]["cleanup.policy"]["value"] == "compact"
    for name in (topics.observations, topics.journal):
        assert settings[name]["retention.ms"]["value"] == "86400000"


def test_observations_follow_the_partitions_that_posts_already_has(deployment: Deployment) -> None:
    deployment.create(deployment.topics.posts, 2)
    assert start(deployment, partitions=7) == 2


def test_observations_with_more_partitions_than_posts_are_refused(deployment: Deployment) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.create(deployment.topics.observations, 2)
    with pytest.raises(LogError, match=r"has 1 partitions and .*observations has 2"):
        start(deployment)


def test_partitions_that_posts_got_later_are_not_counted(deployment: Deployment) -> None:
    deployment.create(deployment.topics.posts, 3)
    deployment.create(deployment.topics.observations, 2)
    assert start(deployment) == 2


@pytest.mark.parametrize("name", ["lease", "journal"])
def test_a_topic_that_needs_one_partition_and_has_two_is_refused(deployment: Deployment, name: str) -> None:
    deployment.create(getattr(deployment.topics, name), 2)
    with pytest.raises(UsageError, match="needs exactly one"):
        start(deployment)


def test_topics_that_may_not_be_made_are_named(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment.create(deployment.topics.posts, 1)

    def refuse(*_: object, **__: object) -> None:
        raise TopicAuthorizationFailedError({"x"})

    monkeypatch.setattr(KafkaAdminClient, "create_topics", refuse)
    with pytest.raises(
        UsageError, match=rf"topics .*{deployment.topics.alerts}.* are missing and could not be created"
    ):
        start(deployment)


@pytest.fixture(autouse=True)
def listening() -> None:
    client.capture_client_log()


def failing(*logged: str) -> BrokerError:
    try:
        with client.explained("connecting", "broker:9092"):
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
    with pytest.raises(BrokerError, match="grant") as caught, client.explained("reading", "b:1"):
        raise TopicAuthorizationFailedError({"posts"})
    assert client.is_permanent(caught.value)
    assert not client.is_permanent(failing())


def test_what_a_broker_will_never_take_is_hopeless() -> None:
    for kind in (MessageSizeTooLargeError, InvalidTopicError):
        with pytest.raises(BrokerError) as raised, client.explained("writing", "b:1"):
            raise kind("no")
        assert client.is_permanent(raised.value)


def test_fencing_is_recognised_however_it_is_wrapped() -> None:
    fenced = ProducerFencedError("epoch")
    wrapped = KafkaError("cannot execute transactional method because we are in an error state", fenced)
    try:
        raise KafkaError("commit failed") from fenced
    except KafkaError as error:
        caused = error
    named = KafkaError("ProducerFencedError: there is a newer producer")
    assert all(client.is_fencing(each) for each in (fenced, wrapped, caused, named))
    assert not client.is_fencing(KafkaTimeoutError("late"))


def test_a_broker_that_is_away_at_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.kafka.client.BOOTSTRAP_MS", 500)
    (port,) = free_ports(1)
    with pytest.raises(
        BrokerError, match=r"connecting a consumer at 127.0.0.1:\d+ failed: .*ECONNREFUSED.*check that the broker"
    ):
        Clients(KafkaConfig(bootstrap_servers=f"127.0.0.1:{port}")).reader()


def test_checksums_are_compiled_and_the_same() -> None:
    Clients(KafkaConfig())
    assert record_util.calc_crc32c.__defaults__ != (record_util.crc32c_py,)
    for part in (b"", b"abc", bytes(range(256)) * 40):
        assert record_util.calc_crc32c(memoryview(bytearray(part))) == record_util.crc32c_py(part)
    assert record_util.calc_crc32c(memoryview(b"123456789")) == 0xE3069283  # RFC 3720, B.4's check value
