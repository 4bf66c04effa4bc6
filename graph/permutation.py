"""Power studies of the whole test: what it finds where nothing is, and what it takes to be found.

Permuting accounts among the traces of a block of time keeps who was active when and what was popular when, and
destroys every dependence between accounts finer than the block: whatever a test then finds is false. Groups of known
size are injected into such records to see after how many shared objects they are accepted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from graph.coordination import Coordination
from graph.groups import CampaignTick, Group
from graph.traces import DAY_MS, CoordinationSettings, Records, Trace

TICK_MS = 600_000


class ReplayOutcome(NamedTuple):
    """What one pass over a record found."""

    groups: list[Group]  # under test at the end
    accepted: list[Group]
    e_values: list[float]  # log e of every hypothesis, at its end
    hypotheses: int
    coordination: Coordination


def run(
    traces: Sequence[Trace],
    names: Sequence[str],
    settings: CoordinationSettings | None = None,
    seed: int = 0,
    tick_ms: int = TICK_MS,
) -> ReplayOutcome:
    """Pass over `traces` (in event order) with a tick at every multiple of `tick_ms` that has traces before it.

    Args:
        traces: in event order.
        names: of each row.
        settings: of coordination, the defaults where None.
        seed: of coordination.
        tick_ms: event time between ticks.
    """
    coordination = Coordination(settings, seed)
    logs: list[float] = []
    place, tick = 0, 0
    while place < len(traces):
        tick = (traces[place].at_ms // tick_ms + 1) * tick_ms
        stop = place
        while stop < len(traces) and traces[stop].at_ms < tick:
            stop += 1
        coordination.add(traces[place:stop])
        place = stop
        _note(coordination.tick(tick, names.__getitem__), logs)
    if traces:
        _note(coordination.tick(tick + tick_ms, names.__getitem__, end=True), logs)
    groups = coordination.groups()
    logs += [g.log_e for g in groups if g.hypothesis]
    return ReplayOutcome(groups, [g for g in groups if g.accepted_among_all], logs, len(logs), coordination)


def _note(tick: CampaignTick, logs: list[float]) -> None:
    logs += [ended.log_e for ended in tick.ended if ended.hypothesis]


def permute_accounts(traces: Sequence[Trace], block_ms: int, seed: int) -> list[Trace]:
    """The traces with their accounts permuted within each block of `block_ms`, in event order of rows.

    Args:
        traces: in event order.
        block_ms: length of a block of time.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    at = np.array([t.at_ms for t in traces], np.int64)
    account = np.array([t.account for t in traces], np.int64)
    block = at // block_ms
    for number in np.unique(block):
        mine = np.flatnonzero(block == number)
        account[mine] = rng.permutation(account[mine])
    moved = [t._replace(account=a) for t, a in zip(traces, account.tolist(), strict=True)]
    return sorted(moved, key=lambda t: (t.at_ms, t.account, t.kind, t.key))


def inject(
    traces: Sequence[Trace], members: Iterable[int], starts_ms: Sequence[int], lag_ms: int, kind: int, seed: int
) -> list[Trace]:
    """The traces with a group added that acts on one new object at each of `starts_ms`, each member after an
    exponential lag of mean `lag_ms`.

    Args:
        traces: in event order.
        members: rows of the group.
        starts_ms: when the first member comes to each object.
        lag_ms: mean lag of the others.
        kind: of the traces.
        seed: of the lags.
    """
    rng = np.random.default_rng(seed)
    rows = list(members)
    added = [
        Trace(int(start + lag), row, kind, f"injected-{seed}-{n}")
        for n, start in enumerate(starts_ms)
        for row, lag in zip(rows, rng.exponential(lag_ms, len(rows)).tolist(), strict=True)
    ]
    return sorted([*traces, *added], key=lambda t: (t.at_ms, t.account, t.kind, t.key))


class NullTrial(NamedTuple):
    """One pass over permuted records: hypotheses tested, groups accepted, mean and largest e-value."""

    seed: int
    hypotheses: int
    accepted: int
    mean_e: float
    max_e: float
    sum_e: float


class InjectionTrial(NamedTuple):
    """One injected group: how many of its members the best matching group has, how many others, whether accepted."""

    size: int
    shared: int
    seed: int
    members: int
    others: int
    accepted: bool
    log_e: float
    found_after: int | None  # injected objects begun when it was accepted
    false: int  # accepted groups with fewer than half of their members from the injected one


def null_trial(
    records: Records, block_ms: int, seed: int, settings: CoordinationSettings, tick_ms: int = TICK_MS
) -> NullTrial:
    """Permute accounts within blocks and count what is found.

    Args:
        records: with names.
        block_ms: length of a block of time.
        seed: of the permutation and of coordination.
        settings: of coordination.
        tick_ms: event time between ticks.
    """
    outcome = run(permute_accounts(records.traces, block_ms, seed), records.names, settings, seed, tick_ms)
    e = np.exp(np.array(outcome.e_values or [0.0]))
    accepted = outcome.coordination.discoveries
    return NullTrial(seed, outcome.hypotheses, accepted, float(e.mean()), float(e.max()), float(e.sum()))


def injection_trial(
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
) -> InjectionTrial:
    """Inject a group of `size` accounts that share `shared` new objects, spread over `days`, into permuted records.

    The members are accounts active in those days, which go on doing what the permutation gave them. The pass ends
    a day after.

    Args:
        records: with names.
        block_ms: length of a block of time.
        size: members of the group.
        shared: objects they share.
        seed: of all that is drawn.
        settings: of coordination.
        days: over which the objects are spread.
        lag_ms: mean lag behind the first member.
        tick_ms: event time between ticks.
    """
    people = permute_accounts(records.traces, block_ms, seed)
    rng = np.random.default_rng((seed, size, shared))
    # The days begin after one trace drawn at random, so that there is life in them, as campaigns choose to have it.
    latest = people[-1].at_ms - int((days + 1) * DAY_MS)
    begins = [t.at_ms for t in people if people[0].at_ms + DAY_MS <= t.at_ms <= latest]
    begin = int(rng.choice(begins)) if begins else people[0].at_ms
    end = begin + int(days * DAY_MS)
    active = sorted({t.account for t in people if begin <= t.at_ms < end})
    members = rng.choice(active, size, replace=False).tolist()
    starts = np.sort(rng.uniform(begin, end, shared)).astype(np.int64).tolist()
    kind = people[0].kind
    traces = inject(people, members, starts, lag_ms, kind, seed)
    traces = [t for t in traces if t.at_ms < end + DAY_MS]
    outcome = run(traces, records.names, settings, seed, tick_ms)
    injected = set(members)
    best = max(outcome.groups, key=lambda g: (_jaccard(injected, g.members), -g.number), default=None)
    false = sum(2 * len(injected & set(g.members)) < len(g.members) for g in outcome.accepted)
    if best is None:
        return InjectionTrial(size, shared, seed, 0, 0, False, 0.0, None, false)
    hit = len(injected & set(best.members))
    after = None if best.accepted_ms is None else sum(start < best.accepted_ms for start in starts)
    return InjectionTrial(
        size, shared, seed, hit, len(best.members) - hit, best.accepted_among_all, best.log_e, after, false
    )


def _jaccard(injected: set[int], members: Sequence[int]) -> float:
    return len(injected & set(members)) / len(injected | set(members))


def upper_rate(found: int, trials: int, level: float = 0.95) -> float:
    """Upper end of the exact (Clopper-Pearson) interval of `found` of `trials`, one-sided at `level`.

    Args:
        found: trials in which something was found.
        trials: all of them.
        level: confidence.
    """
    if found >= trials:
        return 1.0
    if found == 0:
        return 1.0 - math.exp(math.log(1.0 - level) / trials)
    from scipy.stats import beta

    return float(beta.ppf(level, found + 1, trials - found))
