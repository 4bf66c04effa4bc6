"""Small simulated populations for tests: people with hours, bursts and communities, and groups injected among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from graph.traces import HOUR_MS, REPOST, Trace

TICK_MS = 600_000
STEP_H = 0.25


def name_of(row: int) -> str:
    """A name whose order is not that of the rows."""
    return f"n{row * 7919 % 10007:05d}"


def society(
    seed: int, sizes: Sequence[int], taste: float, per_day: float = 8.0, hours: int = 48, kind: int = REPOST
) -> list[Trace]:
    """People in communities of `sizes`. Activity is heavy-tailed, comes in bursts and keeps to the community's hours;
    a share `taste` of what they act on are their community's objects, whose popularity is heavy-tailed and short-lived.
    """
    rng = np.random.default_rng(seed)
    people = sum(sizes)
    home = np.repeat(np.arange(len(sizes)), sizes)
    rate = rng.gamma(0.7, per_day / 0.7, people)
    peak = rng.uniform(0, 24, len(sizes))[home] + rng.normal(0, 2, people)
    objects = int(people * per_day * hours / 24 / 3)
    share = np.array(sizes) / people * taste
    owner = rng.choice(len(sizes) + 1, objects, p=[*share, 1 - share.sum()])
    born = rng.uniform(-6, hours, objects)
    fame = rng.pareto(1.2, objects) + 0.2
    traces: list[Trace] = []
    for hour in np.arange(0, hours, STEP_H):
        age = hour - born
        appeal = np.where((age > -STEP_H) & (age < 12), fame * np.exp(-np.maximum(age, 0) / 3), 0.0)
        awake = np.clip(1 + np.cos((hour - peak) / 24 * 2 * np.pi), 0, None)
        acts = rng.poisson(rate / 24 * STEP_H * awake * rng.gamma(0.3, 1 / 0.3, people))
        for community in range(len(sizes)):
            who = np.repeat(np.flatnonzero(home == community), acts[home == community])
            near, wide = appeal * (owner == community), appeal * (owner == len(sizes))
            chance = taste * near / max(near.sum(), 1e-9) + (1 - taste) * wide / max(wide.sum(), 1e-9)
            if not len(who) or not chance.sum():
                continue
            things = rng.choice(objects, len(who), p=chance / chance.sum())
            times = (hour + rng.uniform(0, STEP_H, len(who))) * HOUR_MS
            traces += [
                Trace(int(at), int(account), kind, f"o{thing}")
                for at, account, thing in zip(times, who, things, strict=True)
            ]
    return in_order(traces)


def with_group(people: Sequence[Trace], members: Iterable[int], objects: int, seed: int) -> list[Trace]:
    """`people` with a group that reposts the same `objects` posts within minutes of each other, over the whole time."""
    rng = np.random.default_rng(seed)
    end = max(t.at_ms for t in people)
    rows = list(members)
    extra = [
        Trace(int(start + rng.exponential(TICK_MS)), member, REPOST, f"p{n}")
        for n, start in enumerate(np.linspace(HOUR_MS, end - HOUR_MS, objects))
        for member in rows
    ]
    return in_order([*people, *extra])


def in_order(traces: Iterable[Trace]) -> list[Trace]:
    """Event order."""
    return sorted(traces, key=lambda t: (t.at_ms, name_of(t.account), t.kind, t.key))
