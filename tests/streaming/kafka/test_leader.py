"""The lease belongs to the process that has asked longest, and to nobody who has just joined."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from streaming.kafka.client import Clients, ensure_topics
from streaming.kafka.leader import Lease
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.brokers import Broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def ask(apache: Broker, deployment: Deployment) -> Iterator[Callable[[], Lease]]:
    """Asks for the lease; all are given back at the end."""
    clients = Clients(deployment.kafka(session_timeout_s=6))
    ensure_topics(clients, deployment.topics, deployment.kafka(), snapshots=True)
    leases: list[Lease] = []

    def ask() -> Lease:
        leases.append(Lease(clients, deployment.topics))
        return leases[-1]

    yield ask
    for lease in leases:
        lease.close()


def wait_until(what: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def held(*leases: Lease) -> list[bool]:
    return [lease.holds() for lease in leases]


def test_it_stays_with_its_owner_when_others_join_and_goes_on_when_the_owner_leaves(ask: Callable[[], Lease]) -> None:
    first = ask()
    assert first.holds(30)
    second, third = ask(), ask()
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert held(first, second, third) == [True, False, False]
    first.close()
    assert second.holds(30)
    assert not third.holds()


def test_who_rejoins_comes_last(ask: Callable[[], Lease]) -> None:
    first = ask()
    assert first.holds(30)
    second = ask()
    time.sleep(1)
    first.rejoin()
    assert second.holds(30)
    until = time.monotonic() + 2
    while time.monotonic() < until:
        assert held(first, second) == [False, True]


def test_who_was_thrown_out_joins_again(ask: Callable[[], Lease]) -> None:
    lease = ask()
    assert lease.holds(30)
    lease._membership.on_partitions_lost(lease._membership.assigned)
    wait_until(lambda: not lease.holds())
    assert lease.holds(30)


def test_a_process_that_is_stuck_gives_it_up(ask: Callable[[], Lease], monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask()
    assert first.holds(30)
    second = ask()
    monkeypatch.setattr("streaming.kafka.leader.STUCK_S", 1.0)
    deadline = time.monotonic() + 30
    while not second.holds():
        assert time.monotonic() < deadline
    assert not first._held.is_set()
