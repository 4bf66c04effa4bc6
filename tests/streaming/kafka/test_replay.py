"""Dead letters are read from their topic up to its end, and whole ones go to `posts` again."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import TopicPartition

from detector.errors import EventError, UsageError
from streaming import deadletters
from streaming.commands.dlq import command
from streaming.kafka.clients import Clients, close
from streaming.kafka.replay import dead_letters
from streaming.kafka.topics import Topics, ensure
from streaming.records import SourceRecord
from streaming.settings import KafkaConfig

RECORDS = (b'{"id": "1"}', b"\x1b[2J", b"x" * 5000)


def write_letters(kafka: KafkaConfig) -> Topics:
    """Three dead letters, the last of a record that was not kept whole."""
    clients, topics = Clients(kafka), Topics(kafka.topic_prefix)
    ensure(clients, topics, kafka, snapshots=False)
    producer = clients.producer()
    for offset, record in enumerate(RECORDS):
        letter = deadletters.dead_letter(SourceRecord(offset, -1, record, "posts-0@"), EventError("at", "none"), 0)
        producer.send(topics.dead_letters, deadletters.encode(letter)).get(timeout=30)
    close(producer)
    return topics


def posted(kafka: KafkaConfig, topics: Topics, count: int) -> list[bytes]:
    consumer = Clients(kafka).reader()
    places = [TopicPartition(topics.posts, number) for number in consumer.partitions_for_topic(topics.posts)]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
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
    assert command(["--config", str(config), "--replay"]) == 0
    out, err = capsys.readouterr()
    assert f"2 records sent to {topics.posts} again, 1 not kept whole" in out
    assert err.startswith("3 dead letters\n")
    assert posted(kafka, topics, 2) == sorted(RECORDS[:2])


def test_a_missing_topic_is_said(kafka: KafkaConfig) -> None:
    with pytest.raises(UsageError, match="there is no topic"):
        list(dead_letters(kafka))
