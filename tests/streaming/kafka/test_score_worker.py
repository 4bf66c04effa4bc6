"""The loop of `score` on a broker, turned by hand: exact source ranges, marks, and sends that fail."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError
from prometheus_client import generate_latest

from detector.errors import LogError, UsageError
from streaming.config import Config
from streaming.config_keys import KafkaConfig
from streaming.health import Health
from streaming.kafka import decompression
from streaming.kafka.client import Clients, Topics, ensure_topics
from streaming.kafka.log import LogTail
from streaming.kafka.score_worker import ScoreStage
from streaming.kafka.worker import converter
from streaming.schema.observation import Batch, End, Entry, Feedback, Idle, decode
from streaming.worker_metrics import Metrics
from tests.streaming.builders import event as post_event
from tests.streaming.builders import lines
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.brokers import Broker
from tests.streaming.kafka.streams import START_MS, stream
from tests.streaming.kafka.tiny import tiny
from tests.streaming.sources import test_bluesky as bluesky

pytestmark = pytest.mark.kafka


class Bench:
    """One score stage on a deployment."""

    def __init__(
        self, deployment: Deployment, exit_s: float | None = None, posts_format: str = "events", **top: Any
    ) -> None:
        self.deployment = deployment
        config = Config(kafka=deployment.kafka(session_timeout_s=6, poll_records=top.pop("poll_records", 2000)), **top)
        self.clients = Clients(config.kafka)
        self.partitions = ensure_topics(self.clients, deployment.topics, config.kafka, snapshots=True)
        self.metrics = Metrics()
        self.stage = ScoreStage(
            self.clients,
            deployment.topics,
            config,
            tiny().scorer,
            self.partitions,
            exit_s=exit_s,
            patient=False,
            metrics=self.metrics,
            health=Health(0.0),
            convert=converter(posts_format),
        )

    def entries(self) -> list[Entry]:
        return [decode(record.value) for record in self.deployment.read(self.deployment.topics.observations)]

    def turn_until(self, what: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, f"the stage never got there; the log has {self.entries()}"
            self.stage.turn()

    def covered(self, partition: int = 0) -> int:
        return max(
            (each.end for each in self.entries() if isinstance(each, Batch) and each.partition == partition), default=0
        )


@pytest.fixture
def begin(deployment: Deployment) -> Any:
    """Starts a score stage; all are closed at the end."""
    started: list[Bench] = []

    def begin(exit_s: float | None = None, posts_format: str = "events", **top: Any) -> Bench:
        started.append(Bench(deployment, exit_s, posts_format, **top))
        return started[-1]

    yield begin
    for bench in started:
        bench.stage.close()


def check_ranges(entries: list[Entry], partition: int = 0) -> None:
    """Batches leave no gap, though they may repeat, and hold nothing outside their range."""
    covered = None
    for entry in entries:
        if isinstance(entry, Batch) and entry.partition == partition:
            assert covered is None or entry.start <= covered
            assert all(entry.start <= each.offset < entry.end for each in entry.observations)
            covered = max(entry.end, covered or 0)


def test_offsets_without_records_are_covered(apache: Broker, deployment: Deployment, begin: Any) -> None:
    """Posts written in transactions leave marks between, and aborted records nobody may see."""
    deployment.create(deployment.topics.posts, 1)
    producer = KafkaProducer(bootstrap_servers=deployment.address, transactional_id=deployment.topics.posts)
    producer.init_transactions()
    for number, commit in enumerate([True, False, True]):
        producer.begin_transaction()
        for event in stream(5, seed=number):
            producer.send(deployment.topics.posts, msgspec.json.encode(event | {"id": f"{number}-{event['id']}"}))
        producer.flush()
        producer.commit_transaction() if commit else producer.abort_transaction()
    producer.close()
    bench = begin(exit_s=0.5)
    bench.turn_until(lambda: bench.stage.done)
    entries = bench.entries()
    check_ranges(entries)
    batches = [each for each in entries if isinstance(each, Batch)]
    written = {each.id[0] for batch in batches for each in batch.observations}
    assert written == {"0", "2"}
    (end,) = [each for each in entries if isinstance(each, End)]
    assert end.offset == batches[-1].end
    assert batches[0].start == 0


def test_a_topic_of_a_platforms_own_records_is_read_as_post_events(deployment: Deployment, begin: Any) -> None:
    """What is no post event is in no batch, though its offset is covered; post events among them stay as they are."""
    deployment.create(deployment.topics.posts, 1)
    records = [
        lines([bluesky.jetstream(bluesky.post(text="Good morning"))]),
        lines([bluesky.jetstream({"x": 1}, collection="app.bsky.graph.block")]),
        b"junk",
        lines([post_event("ann", at=0, text="as it is")]),
        lines([bluesky.jetstream({"x": 1}, collection="app.bsky.graph.list")]),
    ]
    producer = KafkaProducer(bootstrap_servers=deployment.address)
    for record in records:
        producer.send(deployment.topics.posts, record)
    producer.close()
    bench = begin(exit_s=0.5, posts_format="bluesky")
    bench.turn_until(lambda: bench.stage.done)
    batches = [each for each in bench.entries() if isinstance(each, Batch)]
    check_ranges(bench.entries())
    seen = [(each.offset, each.dead, each.text) for batch in batches for each in batch.observations]
    assert seen == [(0, False, "Good morning"), (2, True, ""), (3, False, "as it is")]
    assert batches[-1].end == 5
    said = generate_latest(bench.metrics.registry).decode()
    assert "swarmlight_records_skipped_total 2.0" in said
    assert "swarmlight_records_read_total 3.0" in said
    (letter,) = deployment.read(deployment.topics.dead_letters)
    assert msgspec.json.decode(letter.value)["reason"] == "is not JSON"


def test_a_format_without_single_records_is_refused_and_so_is_one_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="this format is of files"):
        converter("qut")
    with pytest.raises(UsageError, match="did you mean bluesky"):
        converter("blueskie")
    assert converter("events") is None


def test_a_topic_of_ones_own_has_no_prefix() -> None:
    topics = Topics.of(KafkaConfig(topic_prefix="mine-", posts_topic="theirs"))
    assert (topics.posts, topics.alerts) == ("theirs", "mine-alerts")
    assert Topics.of(KafkaConfig(topic_prefix="mine-")).posts == "mine-posts"


def test_records_that_retention_removed_are_an_offset_gap(apache: Broker, deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(20), partitions=1)
    deployment.delete_before(deployment.topics.posts, 0, 8)
    bench = begin()
    bench.turn_until(lambda: bench.covered() >= 20)
    first = next(each for each in bench.entries() if isinstance(each, Batch))
    assert (first.start, first.offset_gap) == (8, 8)


def test_records_that_retention_removes_while_nobody_reads_are_an_offset_gap(
    apache: Broker, deployment: Deployment, begin: Any
) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(10), partitions=1)
    first = begin()
    first.turn_until(lambda: first.covered() == 10)
    first.stage.close()
    deployment.write(stream(30, seed=1), partitions=1)
    deployment.delete_before(deployment.topics.posts, 0, 25)
    second = begin()
    second.turn_until(lambda: second.covered() >= 40)
    gaps = [(each.start, each.offset_gap) for each in second.entries() if isinstance(each, Batch) and each.offset_gap]
    assert gaps == [(25, 15)]


def test_a_recreated_topic_is_refused(apache: Broker, deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(20), partitions=1)
    bench = begin()
    bench.turn_until(lambda: bench.covered() >= 20)
    bench.stage.close()
    deployment.delete(deployment.topics.observations)
    again = begin()
    with pytest.raises(LogError, match="observations are gone"):
        again.turn_until(lambda: False)


def test_after_a_failed_send_everything_unacknowledged_is_written_again(
    deployment: Deployment, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = stream(200)
    deployment.create(deployment.topics.posts, 1)
    deployment.write(events, partitions=1)
    bench = begin(poll_records=20)
    real = KafkaProducer.send
    calls = 0

    def failing(self: KafkaProducer, topic: str, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls in (3, 4, 9):
            raise KafkaTimeoutError("made to fail")
        return real(self, topic, *args, **options)

    monkeypatch.setattr(KafkaProducer, "send", failing)
    bench.turn_until(lambda: bench.covered() >= len(events))
    check_ranges(bench.entries())
    seen = [each.offset for batch in bench.entries() if isinstance(batch, Batch) for each in batch.observations]
    assert sorted(set(seen)) == list(range(len(events)))
    assert calls > len(events) / 20


def test_dead_letters_are_written_before_their_offsets_are_committed(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write_raw(deployment.topics.posts, 0, b"{", b"[]", b'{"id": ""}', key=b"k")
    deployment.write(stream(3), partitions=1)
    bench = begin()
    bench.turn_until(lambda: bench.covered() >= 6)
    bench.stage.close()
    letters = [msgspec.json.decode(record.value) for record in deployment.read(deployment.topics.dead_letters)]
    assert [letter["source"] for letter in letters] == [f"{deployment.topics.posts}-0@{n}" for n in range(3)]
    assert [each.dead for batch in bench.entries() if isinstance(batch, Batch) for each in batch.observations] == [
        *([True] * 3),
        *([False] * 3),
    ]


def test_decisions_go_into_the_log_and_what_is_none_becomes_a_dead_letter(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 2)
    decision = (
        b'{"v": 1, "alert": "a", "decision": "not_a_campaign", "id": "1", "at": "2026-01-01T00:00:00Z", "by": "m"}'
    )
    bench = begin()
    deployment.write_raw(deployment.topics.feedback, 0, decision, b"{}", key=b"a")
    bench.turn_until(lambda: any(isinstance(each, Feedback) for each in bench.entries()))
    assert [each for each in bench.entries() if isinstance(each, Feedback)] == [Feedback(0, 2, decision)]
    bench.turn_until(lambda: bool(deployment.read(deployment.topics.dead_letters)))


def test_idle_partitions_follow_the_one_that_is_ahead(deployment: Deployment, begin: Any) -> None:
    """The one that is ahead is the last that is not idle: it follows nobody."""
    deployment.create(deployment.topics.posts, 3)
    bench = begin(idle_partition_s=1.0)
    for partition, seconds in ((0, 600), (1, 900)):
        event = {"id": str(partition), "account": "a", "at": START_MS + seconds * 1000, "kind": "post"}
        deployment.write_raw(deployment.topics.posts, partition, msgspec.json.encode(event))

    def marks(partition: int) -> list[Idle]:
        return [each for each in bench.entries() if isinstance(each, Idle) and each.partition == partition]

    ahead = START_MS + 840_000
    bench.turn_until(lambda: all(marks(number)[-1:] and marks(number)[-1].time == ahead for number in (0, 2)))
    assert marks(2)[-1] == Idle(2, 3, 0, ahead)
    assert all(mark.time <= ahead for mark in marks(1))


def test_where_all_are_idle_no_mark_is_written_after_the_last(deployment: Deployment, begin: Any) -> None:
    """The last partition that is left has nobody to follow, so the last events wait."""
    deployment.create(deployment.topics.posts, 2)
    event = {"id": "1", "account": "a", "at": START_MS, "kind": "post"}
    deployment.write_raw(deployment.topics.posts, 0, msgspec.json.encode(event))
    bench = begin(idle_partition_s=0.5)
    bench.turn_until(lambda: any(isinstance(each, Idle) for each in bench.entries()))
    until = time.monotonic() + 2.5
    bench.turn_until(lambda: time.monotonic() > until)
    marks = [each for each in bench.entries() if isinstance(each, Idle)]
    assert [mark.partition for mark in marks] == [1]


def test_what_comes_after_an_end_mark_is_in_the_log_where_it_counts_as_late(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 2)
    bench = begin(exit_s=2.0)
    bench.turn_until(lambda: bench.stage._ended != set())
    deployment.write(stream(10), partitions=2, keyed=False)
    bench.turn_until(lambda: bench.covered(0) == 5 and bench.covered(1) == 5)
    ended = {each.partition for each in bench.entries() if isinstance(each, End)}
    assert ended


def test_a_worker_goes_on_from_the_watermark_its_predecessor_left(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(10), partitions=1)
    first = begin()
    first.turn_until(lambda: first.covered() >= 10)
    first.stage.close()
    late = {"id": "late", "account": "a", "at": START_MS - 3_600_000, "kind": "post"}
    deployment.write_raw(deployment.topics.posts, 0, msgspec.json.encode(late))
    second = begin()
    second.turn_until(lambda: second.covered() >= 11)
    batches = [each for each in second.entries() if isinstance(each, Batch)]
    assert batches[-1].watermark == batches[-2].watermark


def test_the_tail_of_the_log_is_read_without_its_body(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(60), partitions=1)
    bench = begin(exit_s=0.5, poll_records=1)
    bench.turn_until(lambda: bench.stage.done)
    tail = LogTail(bench.clients, deployment.topics, 1)
    (read,) = tail.refresh()
    tail.close()
    last = [each for each in bench.entries() if isinstance(each, Batch)][-1]
    assert (read.watermark, read.covered, read.ended) == (last.watermark, last.end, last.end)


def test_positions_survive_in_the_group(deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 1)
    deployment.write(stream(10), partitions=1)
    bench = begin()
    bench.turn_until(lambda: bench.covered() >= 10)
    bench.stage.close()
    reader = bench.clients.reader(group=deployment.topics.score_group)
    assert reader.committed(TopicPartition(deployment.topics.posts, 0)) == 10
    reader.close()


@pytest.mark.parametrize(("kind", "broker_stamp"), [("LogAppendTime", True), ("CreateTime", False)])
def test_observations_say_whether_the_broker_stamped_the_record(
    apache: Broker, deployment: Deployment, begin: Any, kind: str, broker_stamp: bool
) -> None:
    deployment.create(deployment.topics.posts, 1, **{"message.timestamp.type": kind})
    bench = begin()
    deployment.write(stream(3), partitions=1)
    bench.turn_until(lambda: bench.covered() >= 3)
    seen = [each for entry in bench.entries() if isinstance(entry, Batch) for each in entry.observations]
    assert seen
    assert [each.broker_stamp for each in seen] == [broker_stamp] * len(seen)


def test_partitions_taken_away_are_no_longer_counted(apache: Broker, deployment: Deployment, begin: Any) -> None:
    deployment.create(deployment.topics.posts, 2)
    first = begin()

    def owned(bench: Bench) -> str:
        shown = generate_latest(bench.metrics.registry).decode()
        return str(re.findall(r"swarmlight_partitions_owned ([0-9.]+)", shown)[0])

    first.turn_until(lambda: owned(first) == "2.0")
    second = begin()
    deadline = time.monotonic() + 30
    while [owned(first), owned(second)] != ["1.0", "1.0"] and time.monotonic() < deadline:
        for bench in (first, second):
            bench.stage.turn()
    assert [owned(first), owned(second)] == ["1.0", "1.0"]


def test_partitions_added_to_posts_are_told_and_the_first_ones_go_on(
    apache: Broker, deployment: Deployment, begin: Any
) -> None:
    deployment.create(deployment.topics.posts, 1)
    first = begin()
    deployment.write(stream(10), partitions=1)
    first.turn_until(lambda: first.covered() >= 10)
    first.stage.close()
    admin = KafkaAdminClient(bootstrap_servers=deployment.address)
    admin.create_partitions({deployment.topics.posts: 2})
    admin.close()
    second = begin(exit_s=1.0)
    assert second.partitions == 1
    deployment.write_raw(deployment.topics.posts, 0, *(msgspec.json.encode(each) for each in stream(5, seed=1)))
    deployment.write_raw(deployment.topics.posts, 1, *(msgspec.json.encode(each) for each in stream(5, seed=2)))
    second.turn_until(lambda: bool(second.stage.done))
    shown = generate_latest(second.metrics.registry).decode()
    assert "swarmlight_partitions_unread 1.0" in shown
    assert 'swarmlight_alarms_total{kind="partitions"} 1.0' in shown
    assert second.covered() >= 15
    assert {each.partition for each in second.entries()} == {0}


def test_score_goes_on_behind_a_batch_that_expands_too_far(
    deployment: Deployment, begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decompression, "LARGEST_BATCH_BYTES", 1 << 20)
    deployment.create(deployment.topics.posts, 1)
    bench = begin()
    producer = KafkaProducer(
        bootstrap_servers=deployment.address, compression_type="gzip", max_request_size=1 << 26, batch_size=1 << 26
    )
    producer.send(deployment.topics.posts, b"0" * (4 << 20), partition=0).get(20)
    producer.close(5)
    deployment.write(stream(5), partitions=1)
    bench.turn_until(lambda: bench.covered() >= 6)
    seen = [each for entry in bench.entries() if isinstance(entry, Batch) for each in entry.observations]
    assert [each.dead for each in seen] == [True] + [False] * 5
    bench.stage.turn()
    (letter,) = [msgspec.json.decode(record.value) for record in deployment.read(deployment.topics.dead_letters)]
    assert letter["source"].endswith("posts-0@0")
