"""Seeded faults of every kind: final alerts and final state are those of a run that nothing disturbed.

CHAOS_FAULTS, CHAOS_STREAM, CHAOS_PAUSE_S and CHAOS_SEED in the environment change the long one (`make chaos`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.streaming.kafka import stepped_clock
from tests.streaming.kafka.bench import Deployment, Worker, last_revisions
from tests.streaming.kafka.brokers import ApacheKafka, Broker, Cluster
from tests.streaming.kafka.faults import (
    PARTITIONS,
    SESSION_S,
    SINGLE_BROKER,
    Fault,
    Kind,
    Site,
    plan,
    write_through,
)
from tests.streaming.kafka.streams import stream
from tests.streaming.kafka.tiny import expected

pytestmark = pytest.mark.kafka

FAULTS: Final = int(os.environ.get("CHAOS_FAULTS", "300"))
STREAM: Final = int(os.environ.get("CHAOS_STREAM", "300000"))
PAUSE_S: Final = float(os.environ.get("CHAOS_PAUSE_S", "2"))
CLUSTER_FAULTS: Final = max(3, FAULTS // 15)
CLUSTER_STREAM: Final = max(1000, STREAM // 15)
"""A cluster takes three times the memory and the CPU of one broker."""

SEED: Final = int(os.environ.get("CHAOS_SEED", "0"))

SHARED_BROKER: Final[tuple[Kind, ...]] = ("kill", "leave", "reader_kill", "no_folder", "disk_full", "clock_step")
"""Faults that other tests on the same broker do not notice."""


def site(broker: Broker, deployment: Deployment, processes: dict[str, str], idle_s: float) -> Site:
    """Processes of these stages, by name, that end once nothing came for `idle_s`."""
    state = deployment.folder / "state"
    clocks = deployment.folder / "clocks"
    clocks.mkdir()
    deployment.environment[stepped_clock.FOLDER] = str(clocks)

    def start(stage: str, standby: str, folder: Path = state) -> Worker:
        kafka: dict[str, object] = {"session_timeout_s": SESSION_S, "standby": standby}
        where: dict[str, object] = {"dir": str(folder), "snapshot_every_s": 1}
        return deployment.tiny(stage, idle_s, reranker="process", kafka=kafka, state=where)

    makers: dict[str, Callable[[], Worker]] = {
        name: partial(start, stage, "warm" if name.endswith("2") else "cold") for name, stage in processes.items()
    }
    guest = partial(start, "all", "cold", deployment.folder / "guest")
    return Site(broker, deployment, makers, guest, state)


def disturbed(
    site: Site, events: list[dict[str, Any]], faults: list[Fault], pause_s: float, timeout_s: float
) -> dict[str, dict[str, Any]]:
    """Last revisions of all alerts of a run with these faults, with the events written meanwhile."""
    deployment = site.deployment
    errors: list[Exception] = []

    def write() -> None:
        try:
            write_through(deployment, events, pause_s)
        except Exception as error:
            errors.append(error)

    def check_writer() -> None:
        """Without events faults are no trouble to anybody."""
        if errors:
            raise errors[0]

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        site.run(faults, check_writer)
        writer.join(timeout_s)
        assert not writer.is_alive()
        check_writer()
        site.finish(timeout_s)
    finally:
        site.close()
    return last_revisions(deployment.alerts())


def newest_state(folder: Path) -> dict[str, Any]:
    """What the newest snapshot holds."""
    (*_, newest) = sorted(folder.glob("*/snapshot-*"))
    state: dict[str, Any] = msgspec.msgpack.decode((newest / "state" / "tiny").read_bytes())
    return {name: state[name] for name in ("counts", "said", "digest", "closed")}


def check(site: Site, found: dict[str, dict[str, Any]], events: list[dict[str, Any]]) -> None:
    """Alerts, and the state at the end, are those of the same events without a broker.

    Events that were written again because the broker died over them are in the topic twice, and count twice.
    """
    posts = [msgspec.json.decode(record.value) for record in site.deployment.read(site.deployment.topics.posts)]
    assert {each["id"] for each in posts} == {each["id"] for each in events}, "every event was written"
    state: dict[str, Any] = {}
    assert found == expected(sorted(posts, key=itemgetter("at")), state)
    assert newest_state(site.state) == state


@pytest.mark.slow
def test_a_few_faults_of_every_kind_that_spares_the_broker_change_nothing(
    apache: Broker, deployment: Deployment
) -> None:
    events = stream(300, seed=SEED)
    deployment.create(deployment.topics.posts, PARTITIONS)
    here = site(apache, deployment, {"score 1": "score", "assess 1": "assess"}, 3.0)
    faults = [fault._replace(lasts_s=0.5) for fault in plan(SEED, len(SHARED_BROKER), 0.3, SHARED_BROKER)]
    found = disturbed(here, events, faults, 0.01, 90)
    check(here, found, events)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_hundreds_of_faults_of_all_kinds_change_nothing(home: Path, tmp_path: Path, say: Callable[[str], None]) -> None:
    for name in ("broker", "work"):
        (tmp_path / name).mkdir()
    broker = ApacheKafka(tmp_path / "broker", home)
    broker.start()
    deployment = Deployment(broker.address, "faults-", tmp_path / "work")
    try:
        events = stream(STREAM, seed=SEED)
        faults = plan(SEED, FAULTS, PAUSE_S)
        lasts_s = sum(fault.pause_s + fault.lasts_s for fault in faults)
        deployment.create(deployment.topics.posts, PARTITIONS)
        processes = {"score 1": "score", "score 2": "score", "assess 1": "assess", "assess 2": "assess"}
        here = site(broker, deployment, processes, 25.0)
        began = time.monotonic()
        found = disturbed(here, events, faults, 0.7 * lasts_s / len(events), 1200)
        restarts = sum(process.restarts for process in here.processes)
        say(f"{len(events)} events, {dict(here.done)} faults, {restarts} restarts, {time.monotonic() - began:.0f} s")
        check(here, found, events)
    finally:
        deployment.stop_all()
        broker.stop()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_brokers_of_a_cluster_that_die_in_turn_change_nothing(
    home: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Leaders of partitions, of the group and of the transactions move to other brokers, and back."""
    for name in ("brokers", "work"):
        (tmp_path / name).mkdir()
    cluster = Cluster(tmp_path / "brokers", home)
    deployment = Deployment(cluster.address, "moves-", tmp_path / "work")
    try:
        cluster.start()
        events = stream(CLUSTER_STREAM, seed=SEED)
        faults = plan(SEED, CLUSTER_FAULTS, 2 * PAUSE_S, ("leader_move", "kill", "clock_step"))
        lasts_s = sum(fault.pause_s + fault.lasts_s for fault in faults)
        deployment.create(deployment.topics.posts, PARTITIONS)
        here = site(cluster, deployment, {"score 1": "score", "assess 1": "assess", "assess 2": "assess"}, 25.0)
        began = time.monotonic()
        found = disturbed(here, events, faults, 0.7 * lasts_s / len(events), 600)
        say(f"{len(events)} events, {dict(here.done)} faults of a cluster, {time.monotonic() - began:.0f} s")
        check(here, found, events)
    finally:
        deployment.stop_all()
        cluster.stop()


def test_a_plan_follows_from_its_seed_and_has_every_kind() -> None:
    faults = plan(3, 300, 2.0)
    assert faults == plan(3, 300, 2.0) != plan(4, 300, 2.0)
    assert {fault.kind for fault in faults} == {fault.kind for fault in plan(0, 12, 2.0)} == set(SINGLE_BROKER)
    assert sum(fault.kind == "more_partitions" for fault in faults) == 1
