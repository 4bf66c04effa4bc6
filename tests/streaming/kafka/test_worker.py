"""The threads of a worker, and whole workers on a broker with the tiny core: nothing lost, nothing twice."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from kafka.errors import TopicAuthorizationFailedError
from numpy.typing import NDArray

from detector.errors import BrokerError, LogError
from detector.models import load_models
from detector.text import second_stage
from detector.text.encoder import DIM, Encoder
from streaming.cli import main
from streaming.health import Health, HealthLimits
from streaming.kafka import worker as worker_module
from streaming.kafka.worker import Stage, StageThreads
from streaming.playback import live_reranker
from streaming.worker_metrics import Metrics
from tests.streaming.kafka.bench import Deployment, last_revisions
from tests.streaming.kafka.brokers import Broker
from tests.streaming.kafka.streams import shuffled, stream
from tests.streaming.kafka.tiny import expected


class Scripted:
    """A stage that does one thing after the other, then is done."""

    def __init__(self, *turns: Callable[[], None]) -> None:
        self.turns = list(turns)
        self.done = False
        self.closed = False

    def turn(self) -> None:
        if not self.turns:
            self.done = True
            return
        self.turns.pop(0)()

    def close(self) -> None:
        self.closed = True


class Endless(Scripted):
    """A stage with nothing to do that never ends by itself."""

    def turn(self) -> None:
        time.sleep(0.01)


def fail(error: BaseException) -> Callable[[], None]:
    def turn() -> None:
        raise error

    return turn


def make(**stages: Stage) -> StageThreads:
    makers: dict[str, Callable[[], Stage]] = {name: partial(_same, stage) for name, stage in stages.items()}
    return StageThreads(makers, Metrics(), Health(0.0))


def _same(stage: Stage) -> Stage:
    return stage


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(worker_module, "CLOSE_S", 2.0)


def test_it_ends_when_all_are_done() -> None:
    score, assess = Scripted(), Scripted()
    make(score=score, assess=assess).run()
    assert score.closed
    assert assess.closed


def test_a_broker_that_is_away_is_asked_again() -> None:
    stage = Scripted(fail(BrokerError("away")), fail(BrokerError("still away")))
    make(score=stage).run()
    assert stage.turns == []


def test_a_broker_that_refuses_ends_the_worker() -> None:
    refused = BrokerError("not allowed")
    refused.__cause__ = TopicAuthorizationFailedError({"posts"})
    with pytest.raises(BrokerError, match="not allowed"):
        make(score=Scripted(fail(refused))).run()


def test_an_error_in_one_stops_the_other_in_order() -> None:
    other = Endless()
    with pytest.raises(LogError, match="closed"):
        make(score=Scripted(fail(LogError("closed"))), assess=other).run()
    assert other.closed


def test_asked_to_stop_it_closes_everything() -> None:
    stages = Endless(), Endless()
    threads = make(score=stages[0], assess=stages[1])
    threading.Timer(0.1, threads.stop).start()
    threads.run()
    assert [stage.closed for stage in stages] == [True, True]


def test_a_loop_that_hangs_makes_the_worker_unhealthy_whatever_the_other_does() -> None:
    release = threading.Event()
    health = Health(time.monotonic(), HealthLimits(turn_s=0.2))

    def hang() -> None:
        release.wait(5)

    stuck = Scripted(hang)
    threads = StageThreads({"score": Endless, "assess": lambda: stuck}, Metrics(), health)
    thread = threading.Thread(target=threads.run)
    thread.start()
    time.sleep(0.6)
    live = health.report(time.monotonic()).live
    release.set()
    threads.stop()
    thread.join()
    assert not live


def test_a_loop_that_does_not_end_in_time_is_left_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "CLOSE_S", 0.1)
    release = threading.Event()

    def busy() -> None:
        release.wait(10)

    threads = make(assess=Scripted(busy))
    threading.Timer(0.1, threads.stop).start()
    assert threads.run() is False
    release.set()
    assert make(assess=Scripted()).run() is True


def test_a_standbys_second_stage_is_loaded_by_what_prepares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is too short to be read loads nothing, and the first text after a takeover then waits for it."""
    loaded: list[int] = []

    class Spy(Encoder):
        def __init__(self, *_: object, **__: object) -> None:
            loaded.append(1)

        def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
            return np.zeros((len(list(texts)), DIM), np.float32)

    monkeypatch.setattr(second_stage, "Encoder", Spy)
    models = replace(load_models(), meaning=None)
    live_reranker(models)(worker_module.specimen(models))
    assert loaded == [1]
    assert models.second_stage is not None
    models.second_stage.score([worker_module.SPECIMEN], ["en"], np.zeros(1, np.int16))
    assert loaded == [1]


@pytest.mark.parametrize("error", [LogError("the log is closed"), ValueError("a mistake of ours")])
def test_the_last_line_of_a_worker_that_fails_is_one_of_its_log(
    error: Exception, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker_module, "build_cores", lambda config: None)
    monkeypatch.setattr(worker_module, "run_worker", run)
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    before = signal.getsignal(signal.SIGTERM)
    path = tmp_path / "swarmlight.toml"
    path.write_text('[log]\nformat = "json"\n', encoding="utf-8")
    try:
        assert main(["worker", "--config", str(path)]) == 1
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        signal.signal(signal.SIGTERM, before)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert told["level"] == "CRITICAL"
    assert str(error) in told["message"]


pytestmark = pytest.mark.kafka


def test_a_worker_processes_a_bounded_topic_and_exits(deployment: Deployment) -> None:
    events = stream(600)
    deployment.create(deployment.topics.posts, 1)
    deployment.write(events, partitions=1)
    worker = deployment.tiny()
    assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)


def test_three_workers_share_four_partitions_of_a_trickle_that_arrives_out_of_order(
    apache: Broker, deployment: Deployment
) -> None:
    events = stream(600, seed=1)
    deployment.create(deployment.topics.posts, 4)
    workers = [deployment.tiny(exit_s=6.0) for _ in range(3)]
    for worker in workers:
        worker.wait_for("owns")
    deployment.write(shuffled(events, within_ms=59_000), partitions=4, pause_s=0.004)
    for worker in workers:
        assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)


def test_one_record_at_a_time_from_unkeyed_partitions_gives_the_same(deployment: Deployment) -> None:
    events = stream(300, seed=2)
    deployment.create(deployment.topics.posts, 4)
    deployment.write(events, partitions=4, keyed=False)
    worker = deployment.tiny(kafka={"poll_records": 1})
    assert worker.wait() == 0, worker.said()
    assert last_revisions(deployment.alerts()) == expected(events)


@pytest.mark.parametrize("standby", [pytest.param("cold", marks=pytest.mark.slow), "warm"])
def test_a_standby_takes_over_a_killed_active_process_without_a_gap(
    apache: Broker, deployment: Deployment, standby: str
) -> None:
    """The second stage never answers twice alike, so only the journal lets the successor repeat what was committed."""
    events = stream(900, seed=3)
    deployment.create(deployment.topics.posts, 2)
    fast: dict[str, object] = {"session_timeout_s": 2, "standby": standby}
    first = deployment.tiny("assess", reranker="random", kafka=fast, state={"snapshot_every_s": 1})
    first.wait_for("took over")
    second = deployment.tiny("assess", reranker="random", kafka=fast, state={"snapshot_every_s": 1})
    second.wait_for(f"standing by {standby}")
    deployment.write(events[:500], partitions=2)
    score = deployment.tiny("score", 8.0)  # not before the others stand, which may take longer than it waits
    deadline = time.monotonic() + 30
    while not deployment.alerts():
        assert time.monotonic() < deadline, first.said()
    first.kill()
    deployment.write(events[500:], partitions=2)
    second.wait_for(f"took over {standby}")
    assert second.wait() == 0, second.said()
    assert score.wait() == 0, score.said()
    alerts = deployment.alerts()
    assert {name: len(revisions) for name, revisions in alerts.items()} == {
        name: alert["revision"] for name, alert in expected(events).items()
    }
    last_revisions(alerts)


def test_a_worker_asked_to_stop_leaves_a_snapshot_and_the_next_goes_on_from_it(deployment: Deployment) -> None:
    events = stream(600, seed=4)
    deployment.create(deployment.topics.posts, 1)
    deployment.write(events[:400], partitions=1)
    first = deployment.tiny(exit_s=None)
    first.wait_for("took over")
    deadline = time.monotonic() + 30
    while not deployment.alerts():
        assert time.monotonic() < deadline, first.said()
    assert first.end() == 0, first.said()
    assert list((deployment.folder / "state").glob("*/snapshot-*")), first.said()
    deployment.write(events[400:], partitions=1)
    second = deployment.tiny()
    assert second.wait() == 0, second.said()
    assert last_revisions(deployment.alerts()) == expected(events)


def test_a_closed_log_is_refused_by_whoever_did_not_ask_to_close_it(deployment: Deployment) -> None:
    events = stream(50)
    deployment.create(deployment.topics.posts, 1)
    deployment.write(events, partitions=1)
    assert deployment.tiny().wait() == 0
    again = deployment.tiny()
    assert again.wait() == 0, again.said()
    refused = deployment.tiny(exit_s=None)
    assert refused.wait() == 1
    assert "is closed" in refused.said()
