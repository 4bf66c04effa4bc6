"""Topics at the start of a worker: made where they are missing, checked where they are there."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAuthorizationFailedError

from detector.errors import LogError, UsageError
from streaming.kafka.clients import Clients
from streaming.kafka.topics import ensure
from tests.streaming.kafka.bench import Deployment

pytestmark = pytest.mark.kafka


def start(deployment: Deployment, **kafka: Any) -> int:
    config = deployment.kafka(**kafka)
    return ensure(Clients(config), deployment.topics, config, snapshots=True)


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


def test_another_number_of_partitions_is_refused(deployment: Deployment) -> None:
    deployment.create(deployment.topics.posts, 2)
    deployment.create(deployment.topics.observations, 1)
    with pytest.raises(LogError, match=r"has 2 partitions and .*observations has 1"):
        start(deployment)


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
