"""Files are followed while they are written, from where one stopped; Kafka's records once each, deletions included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from detector.errors import UsageError
from moderation.database_tables import AlertRow, Meta, Page
from moderation.feed_metrics import FeedMetrics
from moderation.ingest import IngestLoop
from moderation.sources import AlertBatch, AlertFiles, TailedFile
from tests.moderation.builders import alert, line, pages
from tests.moderation.conftest import Feed


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    tailed = TailedFile(path)
    tailed.start(None)
    assert tailed.lines() == []
    path.write_bytes(b'{"a": 1}\n{"b"')
    assert tailed.lines() == [b'{"a": 1}']
    with path.open("ab") as file:
        file.write(b": 2}\n")
    assert tailed.lines() == [b'{"b": 2}']
    assert tailed.lines() == []


def test_another_file_of_the_same_name_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"1\n2\n")
    tailed = TailedFile(path)
    tailed.start(None)
    assert tailed.lines() == [b"1", b"2"]
    position = tailed.position
    again = TailedFile(path)
    again.start(position)
    assert again.lines() == []
    path.rename(tmp_path / "old")
    path.write_bytes(b"3\n")
    assert tailed.lines() == [b"3"]
    again = TailedFile(path)
    again.start(position)
    assert again.lines() == [b"3"]
    path.write_bytes(b"")
    assert tailed.lines() == []


def test_a_line_longer_than_any_record_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moderation.sources.CHUNK_BYTES", 8)
    monkeypatch.setattr("moderation.sources.MAX_LINE_BYTES", 32)
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b"x" * 100 + b"\nshort\n" + b"y" * 20 + b"\n")
    tailed = TailedFile(path)
    tailed.start(None)
    got = [each for _ in range(12) for each in tailed.lines()]
    assert got[-2:] == [b"short", b"y" * 20]


def ingest(feed: Feed, source: AlertFiles) -> IngestLoop:
    return IngestLoop(feed.database, source, FeedMetrics(), feed.clock)


def test_a_restart_goes_on_where_the_last_transaction_ended(feed: Feed, tmp_path: Path) -> None:
    alerts, details = tmp_path / "alerts.jsonl", tmp_path / "details.jsonl"
    alerts.write_bytes(line(alert()) + b"not json\n" + line(alert("c2")))
    details.write_bytes(b"".join(line(page) for page in pages("c1", size=100)))
    first = ingest(feed, AlertFiles(alerts, details, sleep=lambda _: None))
    first.step()
    with feed.database.read() as connection:
        assert set(connection.scalars(select(AlertRow.id))) == {"c1", "c2"}
        assert len(list(connection.scalars(select(Page.page)))) == 2
        positions = [key for key in connection.scalars(select(Meta.key)) if key.startswith("file:")]
    assert len(positions) == 2
    with alerts.open("ab") as file:
        file.write(line(alert(revision=2)))
    source = AlertFiles(alerts, details, sleep=lambda _: None)
    second = ingest(feed, source)
    second.step()
    assert second.metrics._alerts.labels("campaign", "open")._value.get() == 1
    second.finish()


def test_unusable_files_are_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no file"):
        AlertFiles(tmp_path, None)


def test_a_feed_whose_alerts_are_not_there_is_not_ready_and_reads_them_once_they_are(
    feed: Feed, tmp_path: Path
) -> None:
    loop = ingest(feed, AlertFiles(tmp_path / "alert.jsonl", None, sleep=lambda _: None))
    with pytest.raises(UsageError, match=r"alert\.jsonl' does not exist yet: it is read once it is there"):
        loop.step()
    loop.after_failure()
    (tmp_path / "alert.jsonl").write_bytes(line(alert()))
    loop.step()
    with feed.database.read() as connection:
        assert set(connection.scalars(select(AlertRow.id))) == {"c1"}
    loop.finish()


def test_a_feed_of_the_wrong_file_is_not_ready_and_says_so(feed: Feed, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_bytes(b'{"account":"ada","score":1}\n' * 3)
    loop = ingest(feed, AlertFiles(path, None, sleep=lambda _: None))
    with pytest.raises(UsageError, match=r"none of 3 lines in '.*scores\.jsonl' is an alert"):
        loop.step()
    loop.after_failure()
    with path.open("ab") as file:
        file.write(line(alert()))
    loop.step()  # a torn beginning is no wrong file
    with path.open("ab") as file:
        file.write(b"torn\n")
    loop.step()  # nor is a torn line later
    with feed.database.read() as connection:
        assert set(connection.scalars(select(AlertRow.id))) == {"c1"}
    loop.finish()


@pytest.mark.kafka
def test_kafka_gives_each_record_once_and_goes_on_where_it_was(feed: Feed, tmp_path: Path) -> None:
    from moderation import decisions, outbox
    from moderation.outbox import FeedbackTopic
    from moderation.sources import AlertTopics
    from streaming.config import KafkaConfig
    from streaming.kafka.client import Clients, Topics, close, ensure_topics
    from tests.streaming.kafka.brokers import make_broker

    broker = make_broker(tmp_path)
    try:
        kafka = KafkaConfig(bootstrap_servers=broker.address, partitions=1)
        clients, topics = Clients(kafka), Topics("")
        ensure_topics(clients, topics, kafka, snapshots=True)
        producer = clients.producer()
        producer.send(topics.alerts, line(alert()), key=b"c1")
        for page in pages("c1", size=100):
            producer.send(topics.details, line(page), key=f"c1/{page.page}".encode())
        producer.send(topics.details, None, key=b"c1/2")
        producer.send(topics.alerts, b"not json", key=b"x")
        producer.flush()

        def read() -> AlertBatch:
            source = AlertTopics(kafka)
            loop = IngestLoop(feed.database, source, FeedMetrics(), feed.clock)
            for _ in range(10):
                loop.step()
            loop.finish()
            with feed.database.read() as connection:
                rows = connection.execute(select(Meta.key, Meta.value).where(Meta.key.startswith("kafka:")))
                return AlertBatch(positions={row.key: row.value for row in rows})

        positions = read().positions
        assert positions == {"kafka:alerts:0": "2", "kafka:alert-details:0": "3"}
        with feed.database.read() as connection:
            assert list(connection.scalars(select(Page.page))) == [1]
        producer.send(topics.alerts, line(alert(revision=2)), key=b"c1")
        producer.flush()
        assert read().positions["kafka:alerts:0"] == "3"
        close(producer)

        number = feed.do(decisions.decide, "moderator", decisions.DecisionRequest("c1", "llm_campaign"))
        sink = FeedbackTopic(kafka)
        assert outbox.send_unsent(feed.database, sink.send, feed.clock) == 1
        sink.close()
        reader = clients.reader(committed=True)
        from kafka import TopicPartition

        place = TopicPartition(topics.feedback, 0)
        reader.assign([place])
        reader.seek(place, 0)
        got = [record for _ in range(10) for records in reader.poll(300).values() for record in records]
        close(reader)
        assert [(record.key, json.loads(record.value)["id"]) for record in got] == [(b"c1", number)]
    finally:
        broker.stop()
