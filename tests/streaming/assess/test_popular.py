"""What many do at once costs its share: a link of a whole crowd, and a flood of deletions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from graph.coincidences import shared_uses
from graph.dense_groups import _ties_within, dense_groups, ties
from graph.trace_memory import TraceMemory
from graph.traces import KIND_NAMES, Trace
from streaming.assess import AssessSettings
from tests.streaming.assess import harness
from tests.streaming.builders import batch, event

HOURS_MS = 7_200_000
SHARED = [KIND_NAMES.index(name) for name in ("link", "domain", "near_duplicate")]


def crowd(accounts: int) -> TraceMemory:
    """Everybody shares the same link with the same words within two hours."""
    memory = TraceMemory()
    for row in range(accounts):
        at_ms = row * HOURS_MS // accounts
        memory.add([Trace(at_ms, row, kind, "the same") for kind in SHARED])
    return memory


def search(accounts: int) -> None:
    view = crowd(accounts).view(lambda row: f"a{row:06}", HOURS_MS)
    uses = shared_uses(view.at, view.account, view.kind, view.item)
    assert sum(len(each.members) for each in dense_groups(ties(uses, accounts, HOURS_MS), 0)) > accounts // 2


def delete(accounts: int) -> None:
    """Each account posts, and deletes what it posted, all within one tick each."""
    items: list[dict[str, Any]] = [
        event(f"a{n:05}", at=n, id="p", text="good day to all of you here", urls=["https://one.example/x"])
        for n in range(accounts)
    ]
    items += [event(f"a{n:05}", at=60_000 + n, id="d", kind="delete", target="p") for n in range(accounts)]
    assess = harness.begin(AssessSettings())
    assess.feed(batch(harness.score([*items, event("last", at=300_000)])))
    harness.drain(assess)
    assert not assess.state.seen.texts.current.of_event


def seconds(of: Callable[[int], None], size: int) -> float:
    """Processor seconds, the least of two."""
    took = []
    for _ in range(2):
        began = time.process_time()
        of(size)
        took.append(time.process_time() - began)
    return min(took)


@pytest.mark.parametrize(("of", "size"), [(search, 400), (delete, 400)])
def test_four_times_as_many_cost_less_than_ten_times_as_much(of: Callable[[int], None], size: int) -> None:
    """Linear is 4, quadratic 16."""
    of(10)
    assert seconds(of, 4 * size) < 10 * seconds(of, size)


def test_the_ties_within_a_crowd_are_those_of_all_its_pairs() -> None:
    near = {0: {1: 5, 2: 7}, 1: {0: 5}, 2: {0: 7, 3: 9}, 3: {2: 9}}
    for each in ([0, 1, 2], [0, 3], [0, 1, 2, 3]):
        assert _ties_within(each, near) == sum(near[one].get(two, 0) for one in each for two in each)
