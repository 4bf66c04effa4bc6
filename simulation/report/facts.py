"""Stylised facts of a stream: each a mean over accounts or objects, so that they can be resampled.

Sources: burstiness Goh and Barabasi 2008; the tail exponent Hill 1975, on the largest tenth. A sitting ends after half
an hour of silence, as in the study of web sessions (Catledge and Pitkow 1995).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulation import chunk as kinds
from simulation.arrays import Floats, Ints
from simulation.report.acts import Acts

SITTING_MS: Final = 30 * 60 * 1000

ENOUGH: Final = 10
"""Acts of an account from which its own gaps and hours are measured."""

TAIL: Final = 0.1
"""Share of the largest values that a tail exponent is measured on."""

BLOCK_MS: Final = 6 * 3_600_000
"""Accounts are swapped inside blocks of so long for the null of co-sharing: activity and the talk of the hour stay."""

FAST_MS: Final = 60_000
"""Two shares of one object so close are what co-sharing tools call coordinated."""


@dataclass(frozen=True)
class Fact:
    """One fact: its name, its values by account or object, and how they are summed up."""

    name: str
    values: Floats
    summed: Callable[[Floats], float]


def mean(values: Floats) -> float:
    """The mean."""
    return float(values.mean())


def median(values: Floats) -> float:
    """The median."""
    return float(np.median(values))


def hill(values: Floats) -> float:
    """Exponent of the tail of positive values; larger is lighter."""
    ordered = np.sort(values)[::-1]
    k = max(int(len(ordered) * TAIL), 2)
    if len(ordered) <= k:
        return float("nan")
    logs = np.log(ordered[:k] / ordered[k])
    return float(1 / logs.mean()) if logs.mean() > 0 else float("nan")


def top(values: Floats) -> float:
    """Share of the whole that the largest hundredth has."""
    ordered = np.sort(values)[::-1]
    return float(ordered[: max(len(ordered) // 100, 1)].sum() / max(ordered.sum(), 1e-12))


def measure(acts: Acts, rng: np.random.Generator) -> list[Fact]:
    """All facts that the acts can show."""
    _, account = np.unique(acts.account, return_inverse=True)
    account = account.astype(np.int64)
    counts = np.bincount(account).astype(float)
    found = [
        Fact("acts per account", counts, mean),
        Fact("tail exponent of acts per account", counts, hill),
    ]
    found += _timing(account, acts.at, counts)
    if len(acts.kinds()) > 1:
        replies = np.bincount(account, np.isin(acts.kind, (kinds.REPLY, kinds.QUOTE)).astype(float))
        found.append(Fact("share of replies and quotes", replies / counts, mean))
    found += _reactions(acts)
    found += _sharing(account, acts, rng)
    return [fact for fact in found if len(fact.values) >= ENOUGH]


def _timing(account: Ints, at: Ints, counts: Floats) -> list[Fact]:
    order = np.lexsort((at, account))
    account, at = account[order], at[order]
    same = account[1:] == account[:-1]
    owner, gap = account[1:][same], np.diff(at)[same].astype(float)
    n = np.bincount(owner, minlength=len(counts))
    mean_gap = np.bincount(owner, gap, len(counts)) / np.maximum(n, 1)
    spread = np.sqrt(np.maximum(np.bincount(owner, gap**2, len(counts)) / np.maximum(n, 1) - mean_gap**2, 0))
    enough = counts >= ENOUGH
    burstiness = (spread - mean_gap) / np.maximum(spread + mean_gap, 1e-9)
    sittings = 1 + np.bincount(owner, (gap > SITTING_MS).astype(float), len(counts))
    angle = at * (2 * np.pi / 86_400_000)
    vector = np.hypot(np.bincount(account, np.cos(angle)), np.bincount(account, np.sin(angle)))
    inside = gap[gap <= SITTING_MS] / 1000
    return [
        Fact("burstiness of an account's gaps", burstiness[enough], mean),
        Fact("acts per sitting", (counts / sittings)[enough], mean),
        Fact("median gap inside a sitting, s", inside, median),
        Fact("share of gaps under a minute", (gap < 60_000).astype(float), mean),
        Fact("concentration of an account's hours", (vector / counts)[enough], mean),
    ]


def _reactions(acts: Acts) -> list[Fact]:
    """How unevenly reactions fall on texts and on accounts."""
    found = []
    hit = acts.target >= 0
    if hit.any():
        sizes = np.unique(acts.target[hit], return_counts=True)[1].astype(float)
        found += [
            Fact("reactions per text reacted to", sizes, mean),
            Fact("tail exponent of reactions per text", sizes, hill),
            Fact("share of texts with a single reaction", (sizes == 1).astype(float), mean),
        ]
    aimed = acts.target_account >= 0
    if aimed.any():
        received = np.unique(acts.target_account[aimed], return_counts=True)[1].astype(float)
        found += [
            Fact("tail exponent of reactions per account", received, hill),
            Fact("share of reactions on the top hundredth", received, top),
        ]
    return found


def _sharing(account: Ints, acts: Acts, rng: np.random.Generator) -> list[Fact]:
    """How often accounts use the same objects, and how much more often than when they are swapped within blocks."""
    things = acts.link if (acts.link >= 0).any() else acts.target
    has = things >= 0
    if has.sum() < ENOUGH:
        return []
    who, what, at = account[has], things[has], acts.at[has]
    pairs, uses = np.unique(np.stack((who, what)), axis=1, return_counts=True)
    users = np.unique(pairs[1], return_counts=True)[1].astype(float)
    order = np.lexsort((at, what))
    near = np.diff(at[order])[(np.diff(what[order]) == 0) & (np.diff(who[order]) != 0)]
    swapped = _swapped(who, at, rng)
    meets = _meetings(who, what)
    return [
        Fact("accounts per object", users, mean),
        Fact("share of objects with one account", (users == 1).astype(float), mean),
        Fact("repeated uses per use", (uses > 1).astype(float), mean),
        Fact("pairs per account sharing two objects", meets, mean),
        Fact("the same, accounts swapped in blocks", _meetings(swapped, what), mean),
        Fact("share of co-shares within a minute", (near < FAST_MS).astype(float), mean),
    ]


def _swapped(who: Ints, at: Ints, rng: np.random.Generator) -> Ints:
    """The accounts, shuffled among the acts of each block of time."""
    block = at // BLOCK_MS
    order = np.argsort(block, kind="stable")
    shuffled = np.lexsort((rng.random(len(who)), block))
    result = np.empty_like(who)
    result[order] = who[shuffled]
    return result


def _meetings(who: Ints, what: Ints) -> Floats:
    """For each account, with how many others it shares at least two objects."""
    pairs = np.unique(np.stack((what, who)), axis=1)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))
    keys = []
    width = int(who.max()) + 1
    for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(pairs[0])], strict=True):
        members = pairs[1][first:last]
        if 1 < len(members) <= 500:
            a, b = np.triu_indices(len(members), 1)
            keys.append(members[a] * width + members[b])
    found: Floats = np.zeros(width)
    if keys:
        pair, shared = np.unique(np.concatenate(keys), return_counts=True)
        both = pair[shared > 1]
        np.add.at(found, both // width, 1)
        np.add.at(found, both % width, 1)
    return found[np.unique(who)]
