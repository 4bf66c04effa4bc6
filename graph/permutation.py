"""Null and power studies of the search among all accounts: what it finds where nothing is, and when it finds a group.

Accounts are exchanged among the traces of a block of time, which keeps who was active when and what was popular when,
and destroys every dependence between accounts finer than the block: whatever the search then accepts is false. Groups
of known size are injected into such records to see with how many shared objects they are accepted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.coincidences import shared_uses
from graph.decoys import BLOCK_MS, MANY_DRAWS, cells, exchange
from graph.search import among_uses
from graph.traces import DAY_MS

Ints = NDArray[np.int64]

_PERMUTED: Final = 1
"""Beside the seed of an exchange, so that records are not exchanged as their decoys are."""


class Traces(NamedTuple):
    """Traces in time order, all arrays of shape (n,).

    Args:
        at: times, ms.
        account: number of the account.
        kind: of the object.
        item: number of the object.
        accounts: how many accounts there are.
    """

    at: Ints
    account: Ints
    kind: Ints
    item: Ints
    accounts: int


class NullTrial(NamedTuple):
    """What was found in permuted records.

    Args:
        seed: of the permutation.
        groups: how many groups there were.
        accepted: of them, beyond the decoys.
        least_q: of all groups, 1.0 without any.
    """

    seed: int
    groups: int
    accepted: int
    least_q: float


class InjectionTrial(NamedTuple):
    """What became of an injected group.

    Args:
        size: its members.
        shared: objects that they share.
        seed: of the trial.
        accepted: whether an accepted group is it: at least half of both together are in both.
        members: of that group, those of the injected one.
        others: of that group, the others.
        false: accepted groups with fewer than half of their members from the injected one.
    """

    size: int
    shared: int
    seed: int
    accepted: bool
    members: int
    others: int
    false: int


def permuted(traces: Traces, seed: int, block_ms: int = BLOCK_MS) -> Traces:
    """The traces with their accounts exchanged at random within each block of time and kind.

    Args:
        traces: in time order.
        seed: of the exchange.
        block_ms: length of a block.
    """
    cell = cells(traces.at, traces.kind, None, block_ms)
    return traces._replace(account=exchange(traces.account, cell, (_PERMUTED, seed)))


def null_trial(traces: Traces, seed: int, target_fdr: float, block_ms: int = BLOCK_MS) -> NullTrial:
    """Permute accounts within blocks and count what is accepted.

    Args:
        traces: in time order.
        seed: of the permutation and the search.
        target_fdr: q up to which a group is accepted.
        block_ms: length of a block.
    """
    moved = permuted(traces, seed, block_ms)
    uses = shared_uses(moved.at, moved.account, moved.kind, moved.item)
    found = among_uses(uses, traces.accounts, None, seed, draws=MANY_DRAWS, target_fdr=target_fdr)
    accepted = sum(q <= target_fdr for q in found.q)
    return NullTrial(seed, len(found.groups), accepted, min(found.q, default=1.0))


class Injection(NamedTuple):
    """A group to inject.

    Args:
        size: its members.
        shared: objects that they share.
        days: over which the objects are spread.
        lag_ms: mean lag of a member behind the first, exponential.
    """

    size: int
    shared: int
    days: float
    lag_ms: int


def injected(traces: Traces, group: Injection, seed: int) -> tuple[Traces, list[int]]:
    """The traces with a group added, and its members.

    The members are accounts active in those days, which go on doing what they did.

    Args:
        traces: in time order, two days longer than the group's at least.
        group: what is added.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng((seed, group.size, group.shared))
    # The days begin after one trace drawn at random, so that there is life in them, as campaigns choose to have it.
    length = int(group.days * DAY_MS)
    first, last = int(traces.at[0]) + DAY_MS, int(traces.at[-1]) - length - DAY_MS
    begins = traces.at[(traces.at >= first) & (traces.at <= last)]
    begin = int(rng.choice(begins)) if len(begins) else int(traces.at[0])
    active = np.unique(traces.account[(traces.at >= begin) & (traces.at < begin + length)])
    members = rng.choice(active, min(group.size, len(active)), replace=False)
    starts = np.sort(rng.uniform(begin, begin + length, group.shared)).astype(np.int64)
    lags = rng.exponential(group.lag_ms, (group.shared, len(members))).astype(np.int64)
    at = np.r_[traces.at, (starts[:, None] + lags).ravel()]
    account = np.r_[traces.account, np.tile(members, group.shared)]
    fresh = int(traces.item.max()) + 1 + np.repeat(np.arange(group.shared), len(members))
    kind = np.r_[traces.kind, np.full(len(fresh), traces.kind[0])]
    order = np.lexsort((account, at))
    item = np.r_[traces.item, fresh]
    whole = Traces(at[order], account[order], kind[order], item[order], traces.accounts)
    return whole, members.tolist()


def injection_trial(
    traces: Traces, group: Injection, seed: int, target_fdr: float, block_ms: int = BLOCK_MS
) -> InjectionTrial:
    """Inject a group into permuted records and look for it.

    Args:
        traces: in time order.
        group: what is injected.
        seed: of all that is drawn.
        target_fdr: q up to which a group is accepted.
        block_ms: length of a block.
    """
    whole, members = injected(permuted(traces, seed, block_ms), group, seed)
    uses = shared_uses(whole.at, whole.account, whole.kind, whole.item)
    found = among_uses(uses, whole.accounts, None, seed, draws=MANY_DRAWS, target_fdr=target_fdr)
    mine = set(members)
    accepted = [set(one.members) for one, q in zip(found.groups, found.q, strict=True) if q <= target_fdr]
    best = max(accepted, key=lambda other: _jaccard(mine, other), default=set[int]())
    false = sum(2 * len(mine & other) < len(other) for other in accepted)
    hit = _jaccard(mine, best) >= 0.5
    inside = len(mine & best) if hit else 0
    return InjectionTrial(group.size, group.shared, seed, hit, inside, len(best) - inside if hit else 0, false)


def _jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / max(len(one | other), 1)


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


def null_table(trials: Sequence[NullTrial], target_fdr: float) -> str:
    """What null trials found, in two lines.

    Args:
        trials: at least one.
        target_fdr: the target.
    """
    found = sum(trial.accepted > 0 for trial in trials)
    rate = f"{found / len(trials):.3f}; at most {upper_rate(found, len(trials)):.3f} at 95%"
    return (
        f"permuted {len(trials)} times: groups accepted in {found} ({rate}; target {target_fdr:g})\n"
        f"{sum(trial.groups for trial in trials):,} groups looked at, least q {min(t.least_q for t in trials):.3f}"
    )


def injection_table(trials: Sequence[InjectionTrial]) -> str:
    """What injection trials found, a line for each size and number of objects."""
    groups: dict[tuple[int, int], list[InjectionTrial]] = {}
    for trial in trials:
        groups.setdefault((trial.size, trial.shared), []).append(trial)
    lines = ["size  shared  accepted  members found  others in it  false groups"]
    for (size, shared), each in sorted(groups.items()):
        accepted = [trial for trial in each if trial.accepted]
        members = sum(trial.members for trial in accepted) / max(len(accepted), 1)
        others = sum(trial.others for trial in accepted) / max(len(accepted), 1)
        lines.append(
            f"{size:4d}  {shared:6d}  {len(accepted):3d} of {len(each):2d}  {members:13.1f}  {others:12.1f}  "
            f"{sum(trial.false for trial in each):12d}"
        )
    return "\n".join(lines)
