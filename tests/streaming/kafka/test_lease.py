"""Who may decide: the one that has asked longest, and nobody who has just joined."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from streaming.kafka.clients import Clients
from streaming.kafka.lease import Lease
from streaming.kafka.topics import ensure
from tests.streaming.kafka.bench import Deployment
from tests.streaming.kafka.brokers import Broker

pytestmark = pytest.mark.kafka


@pytest.fixture
def ask(apache: Broker, deployment: Deployment) -> Iterator[Callable[[], Lease]]:
    """Asks for the lease; all are given back at the end."""
    clients = Clients(deployment.kafka(session_timeout_s=6))
    ensure(clients, deployment.topics, deployment.kafka(), snapshots=True)
    leases: list[Lease] = []

    def ask() -> Lease:
        leases.append(Lease(clients, deployment.topics))
        return leases[-1]

    yield ask
    for lease in leases:
        lease.close()


def poll_until(leases: list[Lease], what: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline
        for lease in leases:
            lease.poll(20)


def test_it_stays_with_its_owner_when_others_join_and_goes_on_when_the_owner_leaves(ask: Callable[[], Lease]) -> None:
    first = ask()
    poll_until([first], lambda: first.held)
    others = [ask(), ask()]
    everyone = [first, *others]
    until = time.monotonic() + 3
    poll_until(everyone, lambda: time.monotonic() > until or not first.held)
    assert [lease.held for lease in everyone] == [True, False, False]
    first.close()
    poll_until(others, lambda: others[0].held)
    assert not others[1].held


def test_who_asks_anew_comes_last(ask: Callable[[], Lease]) -> None:
    first, second = ask(), ask()
    both = [first, second]
    poll_until(both, lambda: first.held)
    first.ask_anew()
    poll_until(both, lambda: second.held)
    until = time.monotonic() + 2
    poll_until(both, lambda: time.monotonic() > until)
    assert [lease.held for lease in both] == [False, True]


def test_who_was_thrown_out_holds_nothing_until_it_asks_anew(ask: Callable[[], Lease]) -> None:
    lease = ask()
    poll_until([lease], lambda: lease.held)
    lease._membership.on_partitions_lost(lease._membership.assigned)
    assert not lease.held
    poll_until([lease], lambda: lease.held)
