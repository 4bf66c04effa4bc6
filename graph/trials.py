"""Trials of the whole test on a record: what it finds where nothing is, and what it takes to be found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graph.nulls import TICK_MS, plant, run, swapped
from graph.records import Records
from graph.touches import DAY_MS, CoordinationSettings


class NullTrial(NamedTuple):
    """One pass over swapped records: hypotheses tested, groups accepted, mean and largest e-value."""

    seed: int
    hypotheses: int
    accepted: int
    mean_e: float
    max_e: float
    sum_e: float


class PlantTrial(NamedTuple):
    """One planted group: how many of its members the best matching group has, how many others, whether accepted."""

    size: int
    shared: int
    seed: int
    members: int
    others: int
    accepted: bool
    log_e: float
    found_after: int | None  # planted objects begun when it was accepted
    false: int  # accepted groups with fewer than half of their members from the planted one


def null_trial(
    records: Records, block_ms: int, seed: int, settings: CoordinationSettings, tick_ms: int = TICK_MS
) -> NullTrial:
    """Swap accounts within blocks and count what is found."""
    outcome = run(swapped(records.touches, block_ms, seed), records.names, settings, seed, tick_ms)
    e = np.exp(np.array(outcome.e_values or [0.0]))
    accepted = outcome.coordination.discoveries
    return NullTrial(seed, outcome.hypotheses, accepted, float(e.mean()), float(e.max()), float(e.sum()))


def plant_trial(
    records: Records,
    block_ms: int,
    size: int,
    shared: int,
    seed: int,
    settings: CoordinationSettings,
    *,
    days: float = 4.0,
    lag_ms: int = 600_000,
    tick_ms: int = TICK_MS,
) -> PlantTrial:
    """Plant a group of `size` accounts that share `shared` new objects, spread over `days`, into swapped records.

    The members are accounts active in those days, which go on doing what the swap gave them. The pass ends a day after.
    """
    people = swapped(records.touches, block_ms, seed)
    rng = np.random.default_rng((seed, size, shared))
    # The days begin after one touch drawn at random, so that there is life in them, as campaigns choose to have it.
    latest = people[-1].at_ms - int((days + 1) * DAY_MS)
    begins = [t.at_ms for t in people if people[0].at_ms + DAY_MS <= t.at_ms <= latest]
    begin = int(rng.choice(begins)) if begins else people[0].at_ms
    end = begin + int(days * DAY_MS)
    active = sorted({t.account for t in people if begin <= t.at_ms < end})
    members = rng.choice(active, size, replace=False).tolist()
    starts = np.sort(rng.uniform(begin, end, shared)).astype(np.int64).tolist()
    kind = people[0].kind
    touches = plant(people, members, starts, lag_ms, kind, seed)
    touches = [t for t in touches if t.at_ms < end + DAY_MS]
    outcome = run(touches, records.names, settings, seed, tick_ms)
    planted = set(members)
    best = max(outcome.groups, key=lambda g: (_jaccard(planted, g.members), -g.number), default=None)
    false = sum(2 * len(planted & set(g.members)) < len(g.members) for g in outcome.accepted)
    if best is None:
        return PlantTrial(size, shared, seed, 0, 0, False, 0.0, None, false)
    hit = len(planted & set(best.members))
    after = None if best.accepted_ms is None else sum(start < best.accepted_ms for start in starts)
    return PlantTrial(size, shared, seed, hit, len(best.members) - hit, best.accepted, best.log_e, after, false)


def _jaccard(planted: set[int], members: Sequence[int]) -> float:
    return len(planted & set(members)) / len(planted | set(members))


def upper_rate(found: int, trials: int, level: float = 0.95) -> float:
    """Upper end of the exact (Clopper-Pearson) interval of `found` of `trials`, one-sided at `level`."""
    if found >= trials:
        return 1.0
    if found == 0:
        return 1.0 - math.exp(math.log(1.0 - level) / trials)
    from scipy.stats import beta

    return float(beta.ppf(level, found + 1, trials - found))
