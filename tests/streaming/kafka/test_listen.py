"""`swarmlight listen --to kafka`: statuses of a local Mastodon in the topic `posts`, each once, keyed by account."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from streaming.cli import main
from tests.streaming.kafka.bench import Deployment
from tests.streaming.live.platforms import MastodonServer
from tests.streaming.live.test_cli import ended_when


@pytest.mark.kafka
def test_statuses_go_to_posts_and_rubbish_to_dead_letters(deployment: Deployment, tmp_path: Path) -> None:
    kafka = deployment.kafka()
    config = tmp_path / "swarmlight.toml"
    config.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\ntopic_prefix = "{kafka.topic_prefix}"\n'
        "partitions = 1\n"
    )
    with MastodonServer() as server:

        def write() -> None:
            while not server.streams:
                time.sleep(0.01)
            for number in range(50):
                server.post(number)
            server.send("update", "{")
            server.cut()
            while len(server.streams) < 2:
                time.sleep(0.01)
            for number in range(50, 60):
                server.post(number)

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        done = ended_when(lambda: len(server.frames) == 61 and bool(server.pages) and _committed(tmp_path))
        words = ["--to", "kafka", "--config", str(config), "--cursor", str(tmp_path / "cursor.json")]
        assert main(["listen", "mastodon", "--host", server.url, *words]) == 0
        done.join()
    posts = _records(kafka.bootstrap_servers, f"{kafka.topic_prefix}posts")
    assert [json.loads(value)["id"].rpartition("/")[2] for _, value in posts] == [str(number) for number in range(60)]
    assert {key for key, _ in posts} == {b"ann@m.example"}
    (letter,) = _records(kafka.bootstrap_servers, f"{kafka.topic_prefix}dead-letters")
    assert json.loads(letter[1])["source"].startswith("mastodon@")


def _committed(folder: Path) -> bool:
    """Whether a commit came after everything: the marks of all statuses are in the checkpoint."""
    path = folder / "cursor.json"
    return path.exists() and len(json.loads(path.read_text())["recent"]) >= 61


def _records(servers: str, topic: str) -> list[tuple[bytes | None, bytes]]:
    consumer = KafkaConsumer(bootstrap_servers=servers, group_id=None)
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    end, found = consumer.end_offsets([place])[place], []
    while consumer.position(place) < end:
        for records in consumer.poll(1000).values():
            found += [(record.key, record.value) for record in records]
    consumer.close()
    return found
