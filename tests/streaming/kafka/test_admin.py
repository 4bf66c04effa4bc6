"""On a broker: an account is forgotten, and dead letters are read to their end and replayed to `posts`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from kafka import TopicPartition

from detector.errors import EventError, UsageError
from streaming.cli import invoke
from streaming.config import KafkaConfig
from streaming.kafka.admin import dead_letters, request_deletion
from streaming.kafka.client import Clients, Topics, close, ensure_topics
from streaming.schema import dead_letter
from streaming.sources.base import SourceRecord
from tests.streaming.kafka.bench import Deployment

pytestmark = pytest.mark.kafka


def test_it_writes_the_event_and_names_what_only_retention_removes(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.create(deployment.topics.posts, 3, **{"retention.ms": "86400000"})
    ensure_topics(Clients(deployment.kafka()), deployment.topics, deployment.kafka(), snapshots=True)
    assert invoke(["forget", "Ann Ébert", "--config", str(deployment.config())]) == 0
    said = capsys.readouterr().out
    for topic in ("posts", "observations", "dead-letters", "feedback", "alerts", "accounts"):
        assert f"{deployment.topics.prefix}{topic}: " in said
    assert "retention.ms=86400000" in said
    (record,) = deployment.read(deployment.topics.posts)
    event = msgspec.json.decode(record.value)
    assert (event["kind"], event["account"], record.key.decode()) == ("delete_account", "Ann Ébert", "Ann Ébert")
    assert abs(event["at"] - record.timestamp) < 1000


@pytest.mark.parametrize("name", ["", "\udc80"])
def test_a_name_that_no_account_can_have_is_refused(deployment: Deployment, name: str) -> None:
    with pytest.raises(UsageError, match="not empty, and valid UTF-8"):
        request_deletion(Clients(deployment.kafka()), deployment.topics, name, 0)


RECORDS = (b'{"id": "1"}', b"\x1b[2J", b"x" * 5000)


def write_letters(kafka: KafkaConfig) -> Topics:
    """Three dead letters, the last of a record that was not kept whole."""
    clients, topics = Clients(kafka), Topics(kafka.topic_prefix)
    ensure_topics(clients, topics, kafka, snapshots=False)
    producer = clients.producer()
    for offset, record in enumerate(RECORDS):
        letter = dead_letter.dead_letter(SourceRecord(offset, -1, record, "posts-0@"), EventError("at", "none"), 0)
        producer.send(topics.dead_letters, dead_letter.encode(letter)).get(timeout=30)
    close(producer)
    return topics


def posted(kafka: KafkaConfig, topics: Topics, count: int) -> list[bytes]:
    consumer = Clients(kafka).reader()
    tps = [TopicPartition(topics.posts, number) for number in consumer.partitions_for_topic(topics.posts)]
    consumer.assign(tps)
    for tp in tps:
        consumer.seek(tp, 0)
    found: list[bytes] = []
    for _ in range(40):
        found += [record.value for records in consumer.poll(500).values() for record in records]
        if len(found) >= count:
            break
    close(consumer)
    return sorted(found)


def test_letters_are_read_to_the_end_and_whole_records_sent_again(
    kafka: KafkaConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topics = write_letters(kafka)
    config = tmp_path / "c.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\ntopic_prefix = "{kafka.topic_prefix}"\n'
    )
    assert [where for where, _ in dead_letters(kafka)] == [f"{topics.dead_letters}-0@{n}" for n in range(3)]
    assert invoke(["dlq", "--config", str(config), "--replay"]) == 0
    out, err = capsys.readouterr()
    assert f"2 records sent to {topics.posts} again, 1 not kept whole" in out
    assert err.startswith("3 dead letters\n")
    assert posted(kafka, topics, 2) == sorted(RECORDS[:2])


def test_a_missing_topic_is_said(kafka: KafkaConfig) -> None:
    with pytest.raises(UsageError, match="there is no topic"):
        list(dead_letters(kafka))
