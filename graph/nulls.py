"""Records without coordination, made from real ones, and groups planted into them.

Swapping accounts among the touches of a block of time keeps who was active when and what was popular when, and
destroys every dependence between accounts finer than the block: whatever a test then finds is false.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from graph.coordination import Coordination
from graph.group import CampaignTick, Group
from graph.touches import CoordinationSettings, Touch

TICK_MS = 600_000


class Outcome(NamedTuple):
    """What one pass over a record found."""

    groups: list[Group]  # under test at the end
    accepted: list[Group]
    e_values: list[float]  # log e of every hypothesis, at its end
    hypotheses: int
    coordination: Coordination


def run(
    touches: Sequence[Touch],
    names: Sequence[str],
    settings: CoordinationSettings | None = None,
    seed: int = 0,
    tick_ms: int = TICK_MS,
) -> Outcome:
    """Pass over `touches` (in event order) with a tick at every multiple of `tick_ms` that has touches before it."""
    coordination = Coordination(settings, seed)
    logs: list[float] = []
    place, tick = 0, 0
    while place < len(touches):
        tick = (touches[place].at_ms // tick_ms + 1) * tick_ms
        stop = place
        while stop < len(touches) and touches[stop].at_ms < tick:
            stop += 1
        coordination.add(touches[place:stop])
        place = stop
        _note(coordination.tick(tick, names.__getitem__), logs)
    if touches:
        _note(coordination.tick(tick + tick_ms, names.__getitem__, end=True), logs)
    groups = coordination.groups()
    logs += [g.log_e for g in groups if g.hypothesis]
    return Outcome(groups, [g for g in groups if g.accepted], logs, len(logs), coordination)


def _note(tick: CampaignTick, logs: list[float]) -> None:
    logs += [ended.log_e for ended in tick.ended if ended.hypothesis]


def swapped(touches: Sequence[Touch], block_ms: int, seed: int) -> list[Touch]:
    """The touches with their accounts permuted within each block of `block_ms`, in event order of rows."""
    rng = np.random.default_rng(seed)
    at = np.array([t.at_ms for t in touches], np.int64)
    account = np.array([t.account for t in touches], np.int64)
    block = at // block_ms
    for number in np.unique(block):
        mine = np.flatnonzero(block == number)
        account[mine] = rng.permutation(account[mine])
    moved = [t._replace(account=a) for t, a in zip(touches, account.tolist(), strict=True)]
    return sorted(moved, key=lambda t: (t.at_ms, t.account, t.kind, t.key))


def plant(
    touches: Sequence[Touch], members: Iterable[int], starts_ms: Sequence[int], lag_ms: int, kind: int, seed: int
) -> list[Touch]:
    """The touches with a group added that touches one new object at each of `starts_ms`, each member after an
    exponential lag of mean `lag_ms`."""
    rng = np.random.default_rng(seed)
    rows = list(members)
    added = [
        Touch(int(start + lag), row, kind, f"planted-{seed}-{n}")
        for n, start in enumerate(starts_ms)
        for row, lag in zip(rows, rng.exponential(lag_ms, len(rows)).tolist(), strict=True)
    ]
    return sorted([*touches, *added], key=lambda t: (t.at_ms, t.account, t.kind, t.key))
