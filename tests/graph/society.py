"""Small societies for tests: people who touch objects of heavy-tailed popularity in their hours, and planted groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from graph.coordination import Coordination
from graph.touches import HOUR_MS, Touch, TraceKind

TICK_MS = 600_000


def name_of(row: int) -> str:
    """A name whose order is not that of the rows."""
    return f"n{row * 7919 % 10007:05d}"


def quiet(seed: int, accounts: int = 300, per_day: float = 15, hours: int = 48) -> list[Touch]:
    """Independent people: Poisson activity, day and night, popularity with a heavy tail, objects that come and go."""
    rng = np.random.default_rng(seed)
    touches: list[Touch] = []
    rate = rng.gamma(1.0, per_day, accounts)
    phase = rng.uniform(0, 24, accounts)
    objects = int(accounts * per_day * hours / 24 / 3)
    born = rng.uniform(-6, hours, objects)
    fame = rng.pareto(1.2, objects) + 0.2
    for account in range(accounts):
        n = rng.poisson(rate[account] * hours / 24)
        at = rng.uniform(0, hours, 3 * n)
        awake = rng.random(3 * n) < 0.5 + 0.5 * np.cos((at - phase[account]) / 24 * 2 * np.pi)
        for t in at[awake][:n]:
            age = t - born
            weight = np.where((age > 0) & (age < 12), fame * np.exp(-age / 3), 0.0)
            if weight.sum() > 0:
                thing = int(rng.choice(objects, p=weight / weight.sum()))
                touches.append(Touch(int(t * HOUR_MS), account, TraceKind.REPOST, f"o{thing}"))
    return in_order(touches)


def planted(people: Sequence[Touch], members: Iterable[int], objects: int, seed: int) -> list[Touch]:
    """`people` with a group that reposts the same `objects` posts within minutes of each other, over the whole time."""
    rng = np.random.default_rng(seed)
    end = max(t.at_ms for t in people)
    extra = [
        Touch(int(start + rng.exponential(600_000)), member, TraceKind.REPOST, f"p{n}")
        for n, start in enumerate(np.linspace(HOUR_MS, end - HOUR_MS, objects))
        for member in members
    ]
    return in_order([*people, *extra])


def in_order(touches: Iterable[Touch]) -> list[Touch]:
    """Event order."""
    return sorted(touches, key=lambda t: (t.at_ms, name_of(t.account), t.kind, t.key))


def feed(
    coordination: Coordination,
    touches: Sequence[Touch],
    names: Callable[[int], str] = name_of,
    *,
    start: int = 0,
    until: int | None = None,
) -> Coordination:
    """Run the touches from `start` to `until` (ms) through campaign ticks; all windows are closed where it is None."""
    tick = (start // TICK_MS + 1) * TICK_MS if start else (touches[0].at_ms // TICK_MS + 1) * TICK_MS
    if start:
        tick = -(-start // TICK_MS) * TICK_MS
    place = 0
    while place < len(touches) and touches[place].at_ms < start:
        place += 1
    while place < len(touches) and (until is None or touches[place].at_ms < until):
        stop = place
        while stop < len(touches) and touches[stop].at_ms < tick and (until is None or touches[stop].at_ms < until):
            stop += 1
        coordination.add(touches[place:stop])
        place = stop
        if until is None or tick <= until:
            coordination.tick(tick, names)
        tick += TICK_MS
    if until is None:
        coordination.tick(tick, names, end=True)
    return coordination
