"""Seeded faults on a running deployment: which come when follows from a seed; what runs is supervised.

`plan` draws the faults; a `Site` has the processes and the broker and does what a fault says. Nothing here knows what
the outcome should be: that is for the tests.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from streaming.kafka.client import close
from tests.streaming.kafka import stepped_clock
from tests.streaming.kafka.bench import Deployment, Worker
from tests.streaming.kafka.brokers import Broker, Cluster

Kind = Literal[
    "kill",
    "pause",
    "leave",
    "reader_kill",
    "broker_kill",
    "broker_pause",
    "disk_full",
    "no_folder",
    "join",
    "second_deployment",
    "more_partitions",
    "clock_step",
    "leader_move",
]

WEIGHTS: Final[dict[Kind, int]] = {
    "kill": 8,
    "pause": 3,
    "leave": 3,
    "reader_kill": 3,
    "broker_kill": 1,
    "broker_pause": 2,
    "disk_full": 2,
    "no_folder": 2,
    "join": 2,
    "second_deployment": 1,
    "more_partitions": 1,
    "clock_step": 3,
    "leader_move": 4,
}
"""How often each kind is drawn beside the others. Those that stop everything are rarer: work is done between them."""

CLUSTER_ONLY: Final[frozenset[Kind]] = frozenset({"leader_move"})
"""What needs more than one broker."""

SINGLE_BROKER: Final[tuple[Kind, ...]] = tuple(kind for kind in get_args(Kind) if kind not in CLUSTER_ONLY)

STEPS_S: Final = (-86_400.0, -3600.0, -60.0, 60.0, 3000.0, 7200.0, 86_400.0)
"""How far a clock is set back or ahead. A broker refuses records dated more than an hour ahead of its own clock."""

ONCE: Final[frozenset[Kind]] = frozenset({"more_partitions"})

SESSION_S: Final = 4
"""Session timeout of all members, seconds."""


class Fault(NamedTuple):
    """One fault.

    Args:
        kind: what happens.
        victim: number of the process it happens to, where it happens to one.
        lasts_s: how long what it does goes on.
        pause_s: time before it.
    """

    kind: Kind
    victim: int
    lasts_s: float
    pause_s: float


def plan(seed: int, count: int, mean_pause_s: float, kinds: tuple[Kind, ...] = SINGLE_BROKER) -> list[Fault]:
    """Faults drawn from a seed; each kind comes at least once where there are as many.

    Args:
        seed: of everything.
        count: how many.
        mean_pause_s: between two.
        kinds: to draw from.
    """
    rng = random.Random(seed)
    drawn: list[Kind] = list(kinds)[:count]
    often = [kind for kind in kinds if kind not in ONCE]
    drawn += rng.choices(often, [WEIGHTS[kind] for kind in often], k=count - len(drawn))
    rng.shuffle(drawn)
    return [
        Fault(
            kind,
            rng.randrange(1 << 16),
            SESSION_S + rng.uniform(1, 4) if kind == "pause" else rng.uniform(0.5, 4.0),
            rng.uniform(0.2, 1.8) * mean_pause_s,
        )
        for kind in drawn
    ]


@dataclass
class Process:
    """A process that is started again whenever it ends with an error, as a supervisor does."""

    name: str
    start: Callable[[], Worker]
    worker: Worker
    restarts: int = 0

    def supervise(self) -> None:
        """Start it again if it has died."""
        status = self.worker.process.poll()
        if status is not None and status != 0:
            self.worker = self.start()
            self.restarts += 1


@dataclass
class Site:
    """A deployment, its broker and its processes.

    Args:
        broker: that may be killed.
        deployment: on it.
        makers: start each process, by name: `score ...` and `assess ...`.
        guest: starts a whole worker with a disk of its own.
        state: folder of the snapshots that all `assess` share.
    """

    broker: Broker
    deployment: Deployment
    makers: dict[str, Callable[[], Worker]]
    guest: Callable[[], Worker]
    state: Path
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.processes = [Process(name, make, make()) for name, make in self.makers.items()]
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def _supervise(self) -> None:
        while not self._stop.wait(0.2):
            with self._lock:
                for process in self.processes:
                    process.supervise()

    def run(self, faults: list[Fault], check: Callable[[], None] = lambda: None) -> None:
        """Do the faults one after the other; what each did lasts no longer than itself.

        Args:
            faults: in order.
            check: called before each; raises where going on would show nothing.
        """
        for fault in faults:
            check()
            time.sleep(fault.pause_s)
            getattr(self, f"_{fault.kind}")(fault)
            self.done[fault.kind] += 1

    def finish(self, timeout_s: float) -> None:
        """Wait until every process has ended in order.

        Raises:
            AssertionError: one does not; the message has its log.
        """
        deadline = time.monotonic() + timeout_s
        while any(process.worker.process.poll() != 0 for process in self.processes):
            late = [process for process in self.processes if process.worker.process.poll() != 0]
            said = "\n".join(f"{process.name}:\n{process.worker.said()}" for process in late)
            assert time.monotonic() < deadline, f"not ended within {timeout_s:.0f} s:\n{said}"
            time.sleep(0.2)
        self._stop.set()
        self._supervisor.join()

    def close(self) -> None:
        self._stop.set()
        self._supervisor.join()

    def _victim(self, fault: Fault, names: str = "") -> Process:
        could = [process for process in self.processes if process.name.startswith(names)]
        return could[fault.victim % len(could)]

    # -- faults ------------------------------------------------------------------------------------------------

    def _kill(self, fault: Fault) -> None:
        with self._lock:
            self._victim(fault).worker.kill()

    def _pause(self, fault: Fault) -> None:
        """SIGSTOP beyond the session timeout: what it does when it wakes up is done by another already."""
        victim = self._victim(fault).worker.process
        victim.send_signal(signal.SIGSTOP)
        time.sleep(fault.lasts_s)
        victim.send_signal(signal.SIGCONT)

    def _leave(self, fault: Fault) -> None:
        """SIGTERM: it leaves in order, and another takes its place."""
        with self._lock:
            process = self._victim(fault)
            process.worker.end(60)
            process.worker = process.start()
            process.restarts += 1

    def _reader_kill(self, fault: Fault) -> None:
        """SIGKILL of what reads texts for a process."""
        worker = self._victim(fault, "assess").worker
        for child in _children(worker.process.pid):
            child_kill(child)

    def _broker_kill(self, fault: Fault) -> None:
        self.broker.crash()
        time.sleep(fault.lasts_s)
        self.broker.start()

    def _broker_pause(self, fault: Fault) -> None:
        """A broker that answers late."""
        assert self.broker.process is not None
        self.broker.process.send_signal(signal.SIGSTOP)
        time.sleep(fault.lasts_s)
        self.broker.process.send_signal(signal.SIGCONT)

    def _disk_full(self, fault: Fault) -> None:
        """Nothing that a process writes to its disk fits any more, for a while."""
        process = self._victim(fault, "assess").worker.process
        try:
            before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, before[1]))
            time.sleep(fault.lasts_s)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        except ProcessLookupError:
            return  # it ended meanwhile, and the next has no limit

    def _no_folder(self, fault: Fault) -> None:
        """The folder of the snapshots is none, for a while: whoever it belongs to cannot write there."""
        aside = self.state.with_name("aside")
        if not self.state.exists():
            return
        self.state.rename(aside)
        self.state.write_bytes(b"")
        time.sleep(fault.lasts_s)
        self.state.unlink()
        shutil.rmtree(self.state, ignore_errors=True)  # somebody was quicker
        aside.rename(self.state)

    def _join(self, fault: Fault) -> None:
        """A further member comes, and leaves again."""
        guest = self.makers["score 1"]()
        time.sleep(fault.lasts_s)
        guest.end(60)

    def _second_deployment(self, fault: Fault) -> None:
        """Somebody starts all of it once more under the same prefix, with a disk of its own."""
        guest = self.guest()
        time.sleep(fault.lasts_s)
        guest.end(60)

    def _clock_step(self, fault: Fault) -> None:
        """The clock of one process jumps, and jumps back."""
        pid = self._victim(fault).worker.process.pid
        folder = Path(self.deployment.environment[stepped_clock.FOLDER])
        stepped_clock.step(folder, pid, STEPS_S[fault.victim // len(self.processes) % len(STEPS_S)])
        time.sleep(fault.lasts_s)
        stepped_clock.step(folder, pid, 0.0)

    def _leader_move(self, fault: Fault) -> None:
        """One of several brokers dies: the others lead its partitions, and it comes back behind them."""
        assert isinstance(self.broker, Cluster)
        followers = self.broker.nodes[1:]
        node = followers[fault.victim % len(followers)]
        node.crash()
        time.sleep(fault.lasts_s)
        node.start()

    def _more_partitions(self, fault: Fault) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self.deployment.address)
        try:
            topic = self.deployment.topics.posts
            admin.create_partitions({topic: 2 * PARTITIONS})
        finally:
            admin.close()


PARTITIONS: Final = 4
"""Of `posts`, at the beginning. Events are written to these only."""


CHUNK: Final = 10
"""Events sent at once: twenty seconds of event time, so that what is sent again is not late."""


PATIENCE_S: Final = 300.0
"""Longest time that a broker may take nothing."""


def write_through(deployment: Deployment, events: list[dict[str, Any]], pause_s: float) -> None:
    """Write events to `posts` in order whatever becomes of the broker, each at least once: to each partition in turn.

    Args:
        deployment: whose topic.
        events: in order of time.
        pause_s: between two events, on average.

    Raises:
        AssertionError: one chunk could not be written within `PATIENCE_S`.
    """
    limits = {"request_timeout_ms": 5_000, "delivery_timeout_ms": 15_000}
    producer: KafkaProducer | None = None
    for start in range(0, len(events), CHUNK):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                producer = producer or KafkaProducer(bootstrap_servers=deployment.address, **limits)
                sent = [
                    producer.send(deployment.topics.posts, msgspec.json.encode(event), partition=number % PARTITIONS)
                    for number, event in enumerate(events[start : start + CHUNK], start)
                ]
                for future in sent:
                    future.get(timeout=30)
                break
            except KafkaError as error:
                if time.monotonic() > deadline:
                    raise AssertionError("the broker takes nothing") from error
                # An error leaves an idempotent producer useless; some of the chunk may have been written.
                close(producer, 1.0)
                producer = None
                time.sleep(0.5)
        time.sleep(pause_s * CHUNK)
    close(producer)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in tasks for child in _read(path).split()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def child_kill(pid: int) -> None:
    """SIGKILL, where it is still there and no helper of Python's own."""
    if "spawn_main" in _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " "):
        os.kill(pid, signal.SIGKILL)
