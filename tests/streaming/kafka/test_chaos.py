"""Kills, pauses and crashes on Apache Kafka: nothing lost, nothing twice, whatever dies (`make chaos`).

CHAOS_EVENTS, CHAOS_KILLS and CHAOS_SEED in the environment make it smaller, larger or another one.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.streaming.kafka.bench import Deployment, Worker, last_revisions
from tests.streaming.kafka.brokers import ApacheKafka, Broker
from tests.streaming.kafka.streams import shuffled, society, stream
from tests.streaming.kafka.test_equality import TOP, check_equal, run
from tests.streaming.kafka.tiny import expected

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(1800)]

EVENTS: Final = int(os.environ.get("CHAOS_EVENTS", "50000"))
KILLS: Final = int(os.environ.get("CHAOS_KILLS", "20"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "0"))

SESSION_S: Final = 6
"""Seconds until the broker takes a silent process for dead: most of a takeover."""

PARTITIONS: Final = 4

STOP_S: Final = 30.0
"""What supervisors grant between SIGTERM and SIGKILL."""

AWAY_S: Final = 45.0
"""How long the broker stays away: longer than a transaction's calls wait for an answer."""


@dataclass
class Slot:
    """A process that is started again whenever it dies, as a supervisor does."""

    name: str
    start: Callable[[], Worker]
    worker: Worker
    deaths: int = 0

    def kill(self) -> None:
        self.worker.kill()
        self.deaths += 1

    def restart(self) -> None:
        self.worker = self.start()


@dataclass
class Takeovers:
    """Seconds from the death of the active process until a standby was active, and until it first committed."""

    seconds: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"cold": [], "warm": []})

    def time(self, standby: Worker, kill: Callable[[], None]) -> None:
        """Kill the active process and wait until `standby` has taken over."""
        start, died_at = len(standby.wrote()), time.monotonic()
        kill()
        active_s = standby.wait_for("took over", 90, start) - died_at
        commit_s = standby.wait_for("first commit", 90, start) - died_at
        how = re.findall(r"took over (cold|warm) in", standby.wrote(start))[0]
        self.seconds[how].append((active_s, commit_s))


def active(slots: list[Slot]) -> Slot | None:
    """The slot that holds the lease, as the logs say."""
    logs = {slot.name: slot.worker.wrote() for slot in slots}
    return next(
        (slot for slot in slots if logs[slot.name].rfind("took over") > logs[slot.name].rfind("standing by")), None
    )


def test_twenty_kills_change_nothing(apache: Broker, deployment: Deployment, say: Callable[[str], None]) -> None:
    """Score workers, the active assess and the standby die by SIGKILL at seeded moments."""
    rng = random.Random(SEED)
    events = society(EVENTS, seed=SEED, people=200, crew=8)
    wanted = run(deployment, events)
    assert wanted
    deployment.create(deployment.topics.posts, PARTITIONS)
    common: dict[str, Any] = {"top": TOP, "state": {"dir": str(deployment.folder / "state"), "snapshot_every_s": 5}}

    def starter(stage: str, standby: str) -> Callable[[], Worker]:
        kafka: dict[str, object] = {"session_timeout_s": SESSION_S, "standby": standby}
        return lambda: deployment.worker(stage, 20.0, kafka=kafka, **common)

    makers = {
        "score 1": starter("score", "cold"),
        "score 2": starter("score", "cold"),
        "assess 1": starter("assess", "cold"),
        "assess 2": starter("assess", "warm"),
    }
    slots = {name: Slot(name, make, make()) for name, make in makers.items()}
    scores, assesses = [slots["score 1"], slots["score 2"]], [slots["assess 1"], slots["assess 2"]]
    takeovers = Takeovers()
    between_s = 8.0
    arriving = shuffled(events, within_ms=59_000, seed=SEED)
    # Written as long as the kills last, and not much longer.
    pause_s = KILLS * between_s * 0.7 / len(arriving)
    writer = threading.Thread(
        target=lambda: deployment.write(arriving, partitions=PARTITIONS, keyed=False, pause_s=pause_s)
    )
    writer.start()
    victims = (["score"] * (KILLS - 2 * (KILLS // 3)) + ["active"] * (KILLS // 3) + ["standby"] * (KILLS // 3))[:KILLS]
    rng.shuffle(victims)
    for number, victim in enumerate(victims):
        time.sleep(rng.uniform(0.2, 1.0) * between_s)
        holder = active(assesses)
        if victim == "score" or holder is None:
            slot = rng.choice(scores)
        else:
            slot = next(each for each in assesses if (each is holder) == (victim == "active"))
        standby = next(each for each in assesses if each is not slot)
        if slot is holder:
            # A standby that is itself only starting would be timed for that.
            standby.worker.wait_for("standing by")
            takeovers.time(standby.worker, slot.kill)
        else:
            slot.kill()
        slot.restart()
        say(f"kill {number + 1:2d}: {slot.name}{' (active)' if slot is holder else ''}")
    writer.join()
    for slot in slots.values():
        assert slot.worker.wait(600) == 0, f"{slot.name}:\n{slot.worker.said()}"
    for how, seconds in takeovers.seconds.items():
        for active_s, commit_s in seconds:
            say(f"takeover by a {how} standby: active after {active_s:.1f} s, first commit after {commit_s:.1f} s")
    say(f"of these, {SESSION_S} s are the session timeout")
    revisions = deployment.alerts()
    say(f"{len(events)} events, {sum(slot.deaths for slot in slots.values())} kills, {len(revisions)} alerts")
    check_equal(deployment, wanted)


@pytest.mark.parametrize(("events_within", "texts_per_s"), [(EVENTS, 0.001), (min(EVENTS, 12_000), 20.0)])
def test_asked_to_stop_within_a_backlog_it_ends_in_seconds_and_goes_on_from_there(
    apache: Broker, deployment: Deployment, say: Callable[[str], None], events_within: int, texts_per_s: float
) -> None:
    """Texts of the second stage are read inside ticks, and one tick is what a request to stop has to wait for."""
    top = TOP | {"second_stage_texts_per_s": texts_per_s}
    events = society(events_within, seed=SEED, people=200, crew=8)
    wanted = run(deployment, events, top)
    assert wanted
    deployment.create(deployment.topics.posts, PARTITIONS)
    deployment.write(events, partitions=PARTITIONS, keyed=False)
    common: dict[str, Any] = {"top": top, "state": {"dir": str(deployment.folder / "state"), "snapshot_every_s": 300}}
    score = deployment.worker("score", 5.0, **common)
    assert score.wait(300) == 0, score.said()
    for turn in range(3):
        assess = deployment.worker("assess", 5.0, **common)
        assess.wait_for("took over", 90)
        time.sleep(0.4 * (turn + 1))
        if "the log has ended" in assess.wrote():
            break
        asked_at = time.monotonic()
        status = assess.end(60)
        took_s = time.monotonic() - asked_at
        say(f"SIGTERM in a backlog of {len(events)} events, {texts_per_s} texts/s: ended after {took_s:.1f} s")
        assert status == 0, assess.said()
        assert took_s < STOP_S
    last = deployment.worker("assess", 5.0, **common)
    assert last.wait(300) == 0, last.said()
    assert deployment.alerts()
    check_equal(deployment, wanted)


def test_a_paused_active_process_is_fenced_and_stands_by(apache: Broker, deployment: Deployment) -> None:
    """It wakes up after its lease went to another: nothing that it writes then is ever seen."""
    events = stream(3000, seed=5)
    deployment.create(deployment.topics.posts, 2)
    fast: dict[str, object] = {"session_timeout_s": 2}
    score = deployment.tiny("score", 15.0)
    first = deployment.tiny("assess", kafka=fast)
    first.wait_for("took over")
    second = deployment.tiny("assess", kafka=fast)
    second.wait_for("worker begins")
    deployment.write(events[:1000], partitions=2)
    first.process.send_signal(signal.SIGSTOP)
    second.wait_for("took over")
    deployment.write(events[1000:2000], partitions=2)
    time.sleep(1.0)
    first.process.send_signal(signal.SIGCONT)
    first.wait_for("standing by")
    deployment.write(events[2000:], partitions=2)
    for worker in (score, first, second):
        assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)


def test_a_paused_score_worker_repeats_what_another_has_done(apache: Broker, deployment: Deployment) -> None:
    events = stream(3000, seed=6)
    deployment.create(deployment.topics.posts, 2)
    fast: dict[str, object] = {"session_timeout_s": 2, "poll_records": 50}
    assess = deployment.tiny("assess", 12.0)
    first, second = (deployment.tiny("score", 12.0, kafka=fast) for _ in range(2))
    for worker in (first, second):
        worker.wait_for("owns")
    writer = threading.Thread(target=lambda: deployment.write(events, partitions=2, pause_s=0.002))
    writer.start()
    time.sleep(1.5)
    first.process.send_signal(signal.SIGSTOP)
    time.sleep(5.0)
    first.process.send_signal(signal.SIGCONT)
    writer.join()
    for worker in (first, second, assess):
        assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)


def test_a_broker_that_crashes_and_comes_back_loses_nothing(home: Path, tmp_path: Path) -> None:
    broker = ApacheKafka(_folder(tmp_path, "broker"), home)
    broker.start()
    deployment = Deployment(broker.address, "crash-", _folder(tmp_path, "work"))
    try:
        events = stream(6000, seed=7)
        deployment.create(deployment.topics.posts, 2)
        worker = deployment.tiny("all", 12.0, kafka={"poll_records": 100})
        worker.wait_for("took over")
        deployment.write(events[:3000], partitions=2)
        time.sleep(0.5)
        broker.crash()
        time.sleep(3.0)
        broker.start()
        deployment.write(events[3000:], partitions=2)
        assert worker.wait(120) == 0, worker.said()
        assert last_revisions(deployment.alerts()) == expected(events)
    finally:
        deployment.stop_all()
        broker.stop()


@pytest.mark.parametrize("again", range(3))
def test_a_broker_that_is_away_for_long_under_a_backlog_loses_nothing(home: Path, tmp_path: Path, again: int) -> None:
    """A transaction fails in the middle of what one poll gave; what was polled behind it must still be decided on.

    In streams of these seeds no copy of an event comes so late that one partition would refuse it and two would not.
    """
    broker = ApacheKafka(_folder(tmp_path, "broker"), home)
    broker.start()
    deployment = Deployment(broker.address, "away-", _folder(tmp_path, "work"))
    try:
        events = stream(60_000, seed=10 + again % 2)
        deployment.create(deployment.topics.posts, 2)
        score = deployment.tiny("score", 5.0)
        deployment.write(events, partitions=2)
        assert score.wait(240) == 0, score.said()
        assess = deployment.tiny("assess")
        assess.wait_for("took over")
        time.sleep(0.3 * (again + 1))
        broker.crash()
        time.sleep(AWAY_S)
        broker.start()
        assert assess.wait(300) == 0, assess.said()
        assert "waiting for a worker that writes what lies between" not in assess.said()
        assert last_revisions(deployment.alerts()) == expected(events), assess.said()
    finally:
        deployment.stop_all()
        broker.stop()


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
