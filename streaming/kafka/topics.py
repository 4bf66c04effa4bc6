"""Names of topics, groups and ids of one deployment, and the check at start that the topics are as they have to be."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from detector.errors import LogError, UsageError
from streaming.kafka.clients import Clients
from streaming.settings import KafkaConfig

log = logging.getLogger(__name__)

LARGEST_RECORD_BYTES: Final = 8 << 20
"""Of `observations`: one observation may be larger than a batch is cut at, never than its record of `posts`."""

SEGMENT_MS: Final = "3600000"
"""Of compacted topics: only closed segments are compacted, and Kafka's default closes them after a week."""

DECISIONS_MS: Final = str(90 * 86_400_000)
"""Of `feedback`: as long as an account that falls silent is remembered. Decisions name accounts, so not for ever."""

VISIBLE_S: Final = 10.0
"""Longest wait until topics that were just made, perhaps by another worker, show in the metadata."""


class Topics:
    """All names under one `topic_prefix`."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.posts = f"{prefix}posts"
        self.feedback = f"{prefix}feedback"
        self.observations = f"{prefix}observations"
        self.journal = f"{prefix}journal"
        self.alerts = f"{prefix}alerts"
        self.details = f"{prefix}alert-details"
        self.accounts = f"{prefix}accounts"
        self.dead_letters = f"{prefix}dead-letters"
        self.lease = f"{prefix}assess-lease"
        self.score_group = f"{prefix}swarmlight-score"
        self.lease_group = f"{prefix}swarmlight-assess-lease"
        self.assess_group = f"{prefix}swarmlight-assess"
        self.transactional_id = f"{prefix}swarmlight-assess"

    def all(self) -> list[str]:
        """Every topic."""
        ours = (self.observations, self.journal, self.alerts, self.details, self.accounts, self.dead_letters)
        return [self.posts, self.feedback, self.lease, *ours]

    def written_by_us(self, kafka: KafkaConfig, *, snapshots: bool) -> dict[str, tuple[int, dict[str, str]]]:
        """Partitions and settings of every topic but `posts` and `observations`, by name.

        `observations` has as many partitions as `posts` and the settings of `log_settings`.
        """
        kept = log_retention(kafka, snapshots=snapshots)
        compacted = {"cleanup.policy": "compact", "segment.ms": SEGMENT_MS}
        return {
            self.feedback: (1, {"retention.ms": DECISIONS_MS}),
            self.journal: (1, kept),
            self.alerts: (1, compacted),
            self.details: (1, compacted),
            self.accounts: (1, compacted),
            self.dead_letters: (1, {"retention.ms": str(kafka.retention_s * 1000)}),
            self.lease: (1, {}),
        }


def log_retention(kafka: KafkaConfig, *, snapshots: bool) -> dict[str, str]:
    """How long the observation log and the journal are kept: without snapshots a start needs them from offset 0."""
    return {"retention.ms": str(kafka.retention_s * 1000) if snapshots else "-1", "cleanup.policy": "delete"}


def ensure(clients: Clients, topics: Topics, kafka: KafkaConfig, *, snapshots: bool) -> int:
    """Create the topics that are missing, check those that are there, and return the partitions of `posts`.

    Raises:
        UsageError: a topic has a number of partitions that cannot work, or is missing and may not be created.
        BrokerError: the broker is away or refuses us.
    """
    with clients.admin() as admin, clients.explained("checking the topics"):
        found = _partitions(admin, topics)
        if topics.posts not in found:
            _create(admin, {topics.posts: (kafka.partitions, {})}, kafka)
            found = _partitions(admin, topics)
        posts = found.get(topics.posts, kafka.partitions)
        log_settings = log_retention(kafka, snapshots=snapshots) | {"max.message.bytes": str(LARGEST_RECORD_BYTES)}
        wanted = {topics.observations: (posts, log_settings)} | topics.written_by_us(kafka, snapshots=snapshots)
        missing = {name: settings for name, settings in wanted.items() if name not in found}
        if missing:
            _create(admin, missing, kafka)
        deadline = time.monotonic() + VISIBLE_S
        while not wanted.keys() <= (found := _partitions(admin, topics)).keys() and time.monotonic() < deadline:
            time.sleep(0.1)
    _check(found, {name: partitions for name, (partitions, _) in wanted.items()}, topics)
    return posts


def _partitions(admin: KafkaAdminClient, topics: Topics) -> dict[str, int]:
    described = admin.describe_topics(topics.all())
    return {each["name"]: len(each["partitions"]) for each in described if each["partitions"]}


def _create(admin: KafkaAdminClient, wanted: Mapping[str, tuple[int, dict[str, str]]], kafka: KafkaConfig) -> None:
    request: dict[str, dict[str, Any]] = {
        name: {"num_partitions": count, "replication_factor": kafka.replication_factor, "configs": configs}
        for name, (count, configs) in wanted.items()
    }
    try:
        # The result holds every setting of every topic, secrets of the cluster included: it is never looked at.
        admin.create_topics(request, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        log.info("another worker created the topics at the same time")
    except KafkaError as error:
        raise UsageError(
            f"the topics {', '.join(sorted(wanted))} are missing and could not be created ({type(error).__name__}); "
            "create them yourself as docs/kafka.md lists them, or let the worker's user create topics"
        ) from error


def _check(found: Mapping[str, int], wanted: Mapping[str, int], topics: Topics) -> None:
    for name, partitions in wanted.items():
        if name not in found:
            raise UsageError(f"topic {name} is missing: create it with {partitions} partition(s) (docs/kafka.md)")
        if name == topics.observations and found[name] != partitions:
            raise LogError(
                f"topic {topics.posts} has {partitions} partitions and {name} has {found[name]}: partition p of one "
                "belongs to partition p of the other; start over under another [kafka] topic_prefix, or recreate both"
            )
        if name in (topics.lease, topics.journal) and found[name] != 1:
            raise UsageError(f"topic {name} has {found[name]} partitions and needs exactly one: recreate it")
