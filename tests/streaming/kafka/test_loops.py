"""The threads of a worker: a broker that is away is waited for, everything else ends the worker with its reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
from kafka.errors import TopicAuthorizationFailedError

from detector.errors import BrokerError, LogError
from streaming.health import Health, HealthLimits
from streaming.kafka import loops as loops_module
from streaming.kafka.loops import Loops, Stage
from streaming.metrics import Metrics


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


def make(**stages: Stage) -> Loops:
    makers: dict[str, Callable[[], Stage]] = {name: partial(_same, stage) for name, stage in stages.items()}
    return Loops(makers, Metrics(), Health(0.0))


def _same(stage: Stage) -> Stage:
    return stage


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops_module, "PAUSE_S", 0.01)
    monkeypatch.setattr(loops_module, "CLOSE_S", 2.0)


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
    loops = make(score=stages[0], assess=stages[1])
    threading.Timer(0.1, loops.stop).start()
    loops.run()
    assert [stage.closed for stage in stages] == [True, True]


def test_a_loop_that_hangs_makes_the_worker_unhealthy_whatever_the_other_does() -> None:
    release = threading.Event()
    health = Health(time.monotonic(), HealthLimits(turn_s=0.2))

    def hang() -> None:
        release.wait(5)

    stuck = Scripted(hang)
    loops = Loops({"score": Endless, "assess": lambda: stuck}, Metrics(), health)
    thread = threading.Thread(target=loops.run)
    thread.start()
    time.sleep(0.6)
    live = health.report(time.monotonic()).live
    release.set()
    loops.stop()
    thread.join()
    assert not live
