"""The loop of `assess` on a broker, turned by hand: what it does when log, journal or snapshots are not right."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaTimeoutError, ProducerFencedError
from prometheus_client import generate_latest

from detector.errors import BrokerError, LogError
from streaming.config import Config, StateConfig
from streaming.health import Health
from streaming.kafka import assess_worker, journal, leader
from streaming.kafka.assess_worker import AssessStage
from streaming.kafka.client import Clients, ensure_topics
from streaming.kafka.log import LogReader
from streaming.kafka.snapshots import SnapshotStore
from streaming.schema.observation import NO_TIME, Batch, End, Entry, Observation, encode
from streaming.worker_metrics import Metrics
from tests.streaming.kafka.bench import Deployment, last_revisions
from tests.streaming.kafka.brokers import Broker
from tests.streaming.kafka.streams import START_MS
from tests.streaming.kafka.tiny import STEP, TinyCore, tiny

pytestmark = pytest.mark.kafka


def batch(start: int, count: int, *, partition: int = 0, partitions: int = 1, account: str = "a") -> Batch:
    """`count` events of one account, twenty seconds apart."""
    observations = [
        Observation(start + i, False, -1, START_MS + (start + i) * 20_000, account, f"{partition}-{start + i}")
        for i in range(count)
    ]
    return Batch(
        partition,
        partitions,
        start,
        start + count,
        observations[-1].at - 60_000 if count else NO_TIME,
        {},
        observations,
    )


class Bench:
    """A deployment whose log the test writes itself."""

    def __init__(self, deployment: Deployment, partitions: int = 1) -> None:
        self.deployment, self.partitions = deployment, partitions
        self.clients = Clients(deployment.kafka(session_timeout_s=6))
        deployment.create(deployment.topics.posts, partitions)
        ensure_topics(self.clients, deployment.topics, deployment.kafka(), snapshots=True)
        self.stages: list[AssessStage] = []

    def log(self, *entries: Entry) -> None:
        for partition in range(self.partitions):
            records = [encode(entry) for entry in entries if entry.partition == partition]
            if records:
                self.deployment.write_raw(self.deployment.topics.observations, partition, *records)

    def stage(
        self,
        *,
        settings: str = "tiny",
        standby: str = "cold",
        closing: bool = True,
        folder: str = "state",
        url: str = "",
        snapshot_every_s: float = 3600,
    ) -> AssessStage:
        config = Config(
            kafka=self.deployment.kafka(session_timeout_s=6, standby=standby),
            state=StateConfig(dir=str(self.deployment.folder / folder), url=url, snapshot_every_s=snapshot_every_s),
        )
        judgement = tiny()
        stage = AssessStage(
            self.clients,
            self.deployment.topics,
            config,
            self.partitions,
            make=lambda folder: TinyCore.make(folder, self.partitions),
            reader=judgement.reader,
            settings=settings,
            closing=closing,
            metrics=Metrics(),
            health=Health(time.monotonic()),
        )
        self.stages.append(stage)
        return stage

    def turn_until(self, stage: AssessStage, what: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline, "the stage never got there"
            stage.turn()

    def revisions(self) -> int:
        return sum(len(each) for each in self.deployment.alerts().values())

    def close(self, stage: AssessStage) -> None:
        self.stages.remove(stage)
        stage.close()


@pytest.fixture
def bench(deployment: Deployment) -> Iterator[Bench]:
    bench = Bench(deployment)
    yield bench
    for stage in list(bench.stages):
        bench.close(stage)


def began(bench: Bench, events: int = 40, *, url: str = "") -> AssessStage:
    """A stage that has committed something."""
    bench.log(batch(0, events))
    stage = bench.stage(url=url)
    bench.turn_until(stage, lambda: bench.revisions() > 0)
    return stage


def snapshots(bench: Bench) -> list[Path]:
    return sorted((bench.deployment.folder / "state").glob("*/snapshot-*"))


def test_a_malformed_entry_stops_it_with_its_place(bench: Bench) -> None:
    bench.log(batch(0, 5))
    bench.deployment.write_raw(bench.deployment.topics.observations, 0, b"\x81\xa4type\xa5other")
    stage = bench.stage()
    with pytest.raises(LogError, match=r"observations-0@1: the observation log holds a record that is no entry"):
        bench.turn_until(stage, lambda: False)


def test_repeated_and_overlapping_batches_count_once_and_gaps_wait(bench: Bench) -> None:
    whole = batch(0, 40)
    bench.log(batch(10, 10), batch(0, 20), batch(0, 20), batch(15, 25), End(0, 1, 40))
    stage = bench.stage()
    bench.turn_until(stage, lambda: stage.done)
    (last,) = last_revisions(bench.deployment.alerts()).values()
    assert last["revision"] == len(whole.observations) // STEP


def test_a_failed_transaction_is_written_again_without_a_replay(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = began(bench)
    before = bench.revisions()
    bench.log(batch(40, 40))
    with monkeypatch.context() as patched:
        patched.setattr(KafkaProducer, "commit_transaction", _fail(KafkaTimeoutError("made to fail")))
        with pytest.raises(BrokerError, match="writing outputs"):
            bench.turn_until(stage, lambda: False)
    assert bench.revisions() == before
    bench.turn_until(stage, lambda: bench.revisions() > before)
    last_revisions(bench.deployment.alerts())


def test_a_transaction_that_was_committed_although_it_failed_is_not_written_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = began(bench)
    before = bench.revisions()
    bench.log(batch(40, 40))
    real = KafkaProducer.commit_transaction

    def late(producer: KafkaProducer) -> None:
        real(producer)
        raise KafkaTimeoutError("made to fail after the fact")

    with monkeypatch.context() as patched:
        patched.setattr(KafkaProducer, "commit_transaction", late)
        with pytest.raises(BrokerError, match="writing outputs"):
            bench.turn_until(stage, lambda: False)
    bench.log(End(0, 1, 80))
    bench.turn_until(stage, lambda: stage.done)
    assert before < bench.revisions() == 80 // STEP
    last_revisions(bench.deployment.alerts())


def test_a_broker_that_fails_within_a_backlog_costs_no_entry(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that fails in the middle of what one poll gave must not lose the entries behind it."""
    stage = began(bench)
    monkeypatch.setattr(journal, "FULL_TICKS", 1)
    bench.log(*(batch(start, 10) for start in range(40, 400, 10)))
    real, failures = KafkaProducer.commit_transaction, iter([True, False, True, True] + [False] * 1000)

    def unreliable(producer: KafkaProducer) -> None:
        if next(failures):
            raise KafkaTimeoutError("made to fail")
        real(producer)

    monkeypatch.setattr(KafkaProducer, "commit_transaction", unreliable)
    bench.log(End(0, 1, 400))
    errors = 0
    deadline = time.monotonic() + 60
    while not stage.done:
        assert time.monotonic() < deadline, "the stage never got to the end"
        try:
            stage.turn()
        except BrokerError:
            errors += 1
    assert errors == 3
    assert stage._replica.core is not None
    assert stage._replica.core.ordering.counts.gaps == 0
    (last,) = last_revisions(bench.deployment.alerts()).values()
    assert last["revision"] == 400 // STEP


def test_a_fenced_process_forgets_everything_and_stands_by(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = began(bench)
    before = bench.revisions()
    bench.log(batch(40, 40))
    with monkeypatch.context() as patched:
        patched.setattr(KafkaProducer, "commit_transaction", _fail(ProducerFencedError("made to fail")))
        bench.turn_until(stage, lambda: not stage.active)
    assert bench.revisions() == before
    bench.turn_until(stage, lambda: bench.revisions() > before)
    last_revisions(bench.deployment.alerts())


def test_a_damaged_snapshot_heals_from_the_beginning_of_the_log(bench: Bench) -> None:
    bench.close(began(bench))
    before = bench.revisions()
    (snapshot,) = snapshots(bench)
    (snapshot / "state" / "tiny").unlink()
    bench.log(batch(40, 40))
    stage = bench.stage()
    bench.turn_until(stage, lambda: bench.revisions() > before)
    assert stage.active
    last_revisions(bench.deployment.alerts())


def test_a_full_disk_costs_a_snapshot_and_no_output(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = began(bench)
    before = bench.revisions()
    bench.log(batch(40, 40), End(0, 1, 80))

    def full(*_: object) -> None:
        raise LogError("the disk is full")

    monkeypatch.setattr(SnapshotStore, "write", full)
    bench.turn_until(stage, lambda: stage.done)
    assert bench.revisions() > before
    assert snapshots(bench) == []


def test_a_missing_snapshot_fails_where_the_log_no_longer_begins_at_0(bench: Bench) -> None:
    bench.close(began(bench))
    bench.log(batch(40, 5))
    bench.deployment.delete_before(bench.deployment.topics.observations, 0, 1)
    stage = bench.stage()
    bench.turn_until(stage, lambda: stage.active)
    bench.close(stage)
    for each in snapshots(bench):
        (each / "place.json").unlink()
    again = bench.stage()
    with pytest.raises(LogError, match="retention removed the beginning of partition"):
        bench.turn_until(again, lambda: False)


def test_one_turn_is_bounded_whatever_the_backlog(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to stop, the lease and snapshots are looked at between turns."""
    monkeypatch.setattr(assess_worker, "TURN_S", 0.0)
    stage = began(bench)
    bench.log(*(batch(start, 10) for start in range(40, 440, 10)))
    reader = stage._replica.log
    bench.turn_until(stage, lambda: reader.positions[0] > 1)
    steps = []
    while reader.positions[0] < 41:
        before = reader.positions[0]
        stage.turn()
        steps.append(reader.positions[0] - before)
    assert max(steps) == 1
    stage._snapshots._every_s = 0.0
    bench.turn_until(stage, lambda: bool(snapshots(bench)))  # in the middle of a backlog, aside from the turn
    bench.log(End(0, 1, 440))
    bench.turn_until(stage, lambda: stage.done)
    (last,) = last_revisions(bench.deployment.alerts()).values()
    assert last["revision"] == 440 // STEP


def test_a_warm_standby_has_snapshots_of_its_own_to_start_from(apache: Broker, bench: Bench) -> None:
    """Each process has a disk of its own, the active one's is lost, and retention has removed the log's beginning."""
    active = began(bench)
    standby = bench.stage(standby="warm", folder="other", snapshot_every_s=1.0)
    bench.log(batch(40, 40))

    def written() -> list[Path]:
        active.turn()
        return sorted((bench.deployment.folder / "other").glob("*/snapshot-*"))

    bench.turn_until(standby, lambda: bool(written()) and standby._replica.tick == active._commits.tick_ms)
    assert "swarmlight_broker_up 1.0" in generate_latest(standby._metrics.registry).decode()
    before = bench.revisions()
    for stage in (standby, active):
        bench.close(stage)
    bench.deployment.delete_before(bench.deployment.topics.observations, 0, 1)
    bench.log(batch(80, 40))
    again = bench.stage(standby="warm", folder="other")
    bench.turn_until(again, lambda: bench.revisions() > before)
    assert again._replica.manifest is not None
    last_revisions(bench.deployment.alerts())


def test_a_standby_without_anything_to_start_from_stands_by_and_says_so(
    apache: Broker, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    active = began(bench)
    bench.deployment.delete_before(bench.deployment.topics.observations, 0, 1)
    monkeypatch.setattr(leader, "RETRY_S", 0.1)
    standby = bench.stage(standby="warm", folder="shared")
    deadline = time.monotonic() + 20
    while not any("no snapshot" in problem for problem in standby._health.report(time.monotonic()).problems):
        assert time.monotonic() < deadline
        active.turn()
        standby.turn()
    active._snapshots._every_s = 0.0
    active.turn()
    active._snapshots.finish()
    (snapshot,) = snapshots(bench)
    shutil.copytree(snapshot.parent, bench.deployment.folder / "shared" / snapshot.parent.name)
    bench.turn_until(standby, lambda: standby._replica.manifest is not None)
    assert not any("no snapshot" in problem for problem in standby._health.report(time.monotonic()).problems)


@pytest.mark.parametrize("standby", ["warm", "cold"])
def test_a_process_with_an_empty_disk_starts_from_the_copies_where_the_logs_beginning_is_gone(
    bench: Bench, standby: str
) -> None:
    url = f"memory://{bench.deployment.topics.prefix}"
    bench.close(began(bench, url=url))
    before = bench.revisions()
    bench.deployment.delete_before(bench.deployment.topics.observations, 0, 1)
    bench.log(batch(40, 40))
    blank = bench.stage(folder="blank", url=url, standby=standby)
    bench.turn_until(blank, lambda: bench.revisions() > before)
    assert blank._replica.manifest is not None
    last_revisions(bench.deployment.alerts())


def test_expired_positions_of_the_group_heal_from_the_journal(bench: Bench) -> None:
    bench.close(began(bench))
    before = bench.revisions()
    admin = KafkaAdminClient(bootstrap_servers=bench.deployment.address)
    admin.delete_groups([bench.deployment.topics.assess_group])
    admin.close()
    bench.log(batch(40, 40))
    stage = bench.stage()
    bench.turn_until(stage, lambda: bench.revisions() > before)
    assert stage.active
    last_revisions(bench.deployment.alerts())


def test_a_log_that_was_recreated_is_refused(bench: Bench) -> None:
    bench.close(began(bench))
    bench.deployment.delete(bench.deployment.topics.observations)
    ensure_topics(bench.clients, bench.deployment.topics, bench.deployment.kafka(), snapshots=True)
    stage = bench.stage()
    with pytest.raises(LogError, match="start over under another"):
        bench.turn_until(stage, lambda: False)


def test_another_configuration_needs_a_snapshot_at_the_committed_tick(bench: Bench) -> None:
    bench.close(began(bench))
    before = bench.revisions()
    bench.log(batch(40, 40))
    changed = bench.stage(settings="changed")
    bench.turn_until(changed, lambda: bench.revisions() > before)
    last_revisions(bench.deployment.alerts())
    bench.close(changed)
    for each in snapshots(bench):
        (each / "place.json").unlink()
    back = bench.stage(settings="changed")
    with pytest.raises(LogError, match="another configuration or other models"):
        bench.turn_until(back, lambda: False)


def test_a_gap_in_the_log_is_told_at_once_and_ends_the_stage_without_a_snapshot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody sets the offsets of the scoring group to the newest ones."""
    stage = began(bench)
    for _ in range(20):
        stage.turn()
    monkeypatch.setattr(assess_worker, "GAP_PATIENCE_S", 1.0)
    bench.log(batch(60, 40))
    assert stage._replica.core is not None
    ordering = stage._replica.core.ordering
    bench.turn_until(stage, lambda: bool(ordering.open_gaps))
    stage.turn()
    assert 'swarmlight_alarms_total{kind="gap"} 1.0' in generate_latest(stage._metrics.registry).decode()
    with pytest.raises(LogError, match=r"goes on at offset 60, though 40 comes next.*set the group's offset"):
        bench.turn_until(stage, lambda: False)
    before = snapshots(bench)
    bench.close(stage)
    assert snapshots(bench) == before == []
    bench.log(batch(40, 20), batch(60, 40), End(0, 1, 100))
    again = bench.stage()
    bench.turn_until(again, lambda: again.done)
    (last,) = last_revisions(bench.deployment.alerts()).values()
    assert last["revision"] == 100 // STEP


def test_a_day_of_silence_is_alarmed_and_does_not_stop_decisions(bench: Bench) -> None:
    """Thirty posts a day, more than a day without any, and thirty a day again."""
    step_ms, silent_ms = 86_400_000 // 30, 25 * 3_600_000

    def posts(start: int, count: int) -> Batch:
        times = [
            START_MS + number * step_ms + (silent_ms if number >= 60 else 0) for number in range(start, start + count)
        ]
        seen = [Observation(start + i, False, -1, at, "a", f"{start + i}") for i, at in enumerate(times)]
        return Batch(0, 1, start, start + count, times[-1], {}, seen)

    stage = bench.stage()
    bench.log(posts(0, 60))
    bench.turn_until(stage, lambda: stage.active and bench.revisions() == 59 // STEP)
    bench.log(posts(60, 5))
    ordering = stage._replica.core.ordering  # type: ignore[union-attr]
    bench.turn_until(stage, lambda: bool(ordering.suspect_clocks))
    stage.turn()
    stage._meter.now(ordering, time.time())
    said = generate_latest(stage._metrics.registry).decode()
    assert 'swarmlight_alarms_total{kind="clock_jump"} 1.0' in said
    assert 'swarmlight_state_size{what="unconfirmed"} 5.0' in said
    bench.log(posts(65, 295))
    bench.turn_until(stage, lambda: bench.revisions() >= 359 // STEP)
    assert ordering.suspect_clocks == []


def test_lag_counts_what_was_written_since_the_last_fetch(bench: Bench) -> None:
    bench.log(batch(0, 20))
    reader = LogReader(bench.clients, bench.deployment.topics, 1)
    reader.seek([0])
    deadline = time.monotonic() + 30
    while reader.positions != [1]:
        assert time.monotonic() < deadline
        list(reader.poll(200))
    bench.log(batch(20, 20), batch(40, 20), batch(60, 20))
    behind, age_s = reader.lag(time.time())
    assert behind == {0: 3}
    assert age_s > 0
    reader.close()


def test_a_partition_far_ahead_of_the_slowest_is_not_read_on(deployment: Deployment) -> None:
    bench = Bench(deployment, partitions=2)
    bench.log(*(batch(start, 20, partitions=2, account="fast") for start in range(0, 4000, 20)))
    bench.log(batch(0, 1, partition=1, partitions=2, account="slow"))
    reader = LogReader(bench.clients, deployment.topics, 2)
    reader.seek([0, 0])
    read: list[Entry] = []
    deadline = time.monotonic() + 30
    while reader.paused == 0:
        assert time.monotonic() < deadline
        read += reader.poll(200)
    bench.log(batch(4000, 20, partitions=2, account="fast"), batch(1, 1, partition=1, partitions=2, account="slow"))
    until = time.monotonic() + 1
    while time.monotonic() < until:
        read += reader.poll(200)
    assert reader.positions == [200, 2]
    bench.log(End(1, 2, 2))
    while reader.positions != [201, 3]:
        assert time.monotonic() < deadline
        read += reader.poll(200)
    assert [each.start for each in read if isinstance(each, Batch) and each.partition == 0] == list(range(0, 4020, 20))
    reader.close()


def _fail(error: Exception) -> Callable[[Any], None]:
    def fail(producer: KafkaProducer) -> None:
        raise error

    return fail
