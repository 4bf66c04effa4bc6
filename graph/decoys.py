"""How often a search finds as much where nobody acts together: error rates of groups by target and decoy.

The same search runs on decoys, and what it finds there is counted (Elias & Gygi 2007, for another field). The search
among suspects runs on accounts that are not suspicious, matched to the suspects in number, posts and language. The
search among all accounts runs on the same traces with accounts exchanged within blocks of time and kinds, which keeps
who did how much and what was popular when. With d decoy draws, a group's q is

    (1 / d + mean number of decoy groups at least as good, by draw) / (groups at least as good),

made monotone from the worst group up; groups with q <= `target_fdr` are accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.trace_memory import TraceView
from graph.traces import HOUR_MS, KINDS

DRAWS: Final = 20
"""Draws of decoys: a single group can be accepted at 5% if no draw has anything as good."""

MANY_DRAWS: Final = 39
"""Draws where nobody waits for a tick, as in a table: a lone group is accepted at 5% only if none of them has anything
as good, which happens by chance once in forty times."""

BLOCK_MS: Final = 6 * HOUR_MS
"""Within such a block accounts are exchanged: finer than day and night, longer than any errand."""

NEAREST: Final = 5
"""A decoy is one of so many accounts nearest in posts to the account it stands for, at random."""

Ints = NDArray[np.int64]


class Matched(NamedTuple):
    """One draw of decoys: places of the decoys, and for each the place of the suspect it stands for, shape (n,)."""

    decoys: Ints
    suspects: Ints


def matched_draws(
    suspects: Ints, controls: Ints, posts: Ints, language: Ints, seed: int, draws: int = DRAWS
) -> list[Matched]:
    """Draws of controls that stand for the suspects, none twice in a draw.

    Each suspect takes one of the `NEAREST` controls left that are nearest in posts, of its own language while there
    are any; of those as near, chance decides and not their names. Where there are fewer controls than suspects, the
    draws are as small.

    Args:
        suspects: places of the suspects.
        controls: places of accounts that are not suspicious.
        posts: of every account, shape (k,).
        language: code of every account, shape (k,).
        seed: of the draws.
        draws: how many.
    """
    level = np.log1p(posts.astype(np.float64))
    out: list[Matched] = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        free = controls.copy()
        decoys: list[int] = []
        stood: list[int] = []
        for suspect in suspects[rng.permutation(len(suspects))].tolist():
            if not len(free):
                break
            alike = np.flatnonzero(language[free] == language[suspect])
            among = alike if len(alike) else np.arange(len(free))
            distance = np.abs(level[free[among]] - level[suspect])
            nearest = among[np.lexsort((rng.random(len(among)), distance))[:NEAREST]]
            chosen = int(nearest[rng.integers(len(nearest))])
            decoys.append(int(free[chosen]))
            stood.append(suspect)
            free = np.delete(free, chosen)
        out.append(Matched(np.array(decoys, np.int64), np.array(stood, np.int64)))
    return out


def exchanged(view: TraceView, seed: int, strata: Ints | None = None, block_ms: int = BLOCK_MS) -> TraceView:
    """The traces with their accounts exchanged at random within each block of time, kind and stratum.

    Args:
        view: the traces.
        seed: of the exchange.
        strata: of each account, such as its language, shape (n,); one for all where None.
        block_ms: length of a block.
    """
    cell = cells(view.at, view.kind, None if strata is None else strata[view.account], block_ms)
    return view._replace(account=exchange(view.account, cell, seed))


def cells(at: Ints, kind: Ints, stratum: Ints | None = None, block_ms: int = BLOCK_MS) -> Ints:
    """Within what the account of each trace is exchanged: block of time, kind and stratum, as one number, shape (n,).

    Args:
        at: times, ms.
        kind: kinds.
        stratum: of each trace's account; one for all where None.
        block_ms: length of a block.
    """
    block = at // block_ms
    cell: Ints = (block - int(block.min(initial=0))) * KINDS + kind
    return cell if stratum is None else cell * (int(stratum.max(initial=0)) + 1) + stratum


def exchange(account: Ints, cell: Ints, seed: int | Sequence[int]) -> Ints:
    """Accounts exchanged at random within cells.

    Args:
        account: of each trace, shape (n,).
        cell: of each trace, shape (n,).
        seed: of the exchange.
    """
    order = np.argsort(cell, kind="stable")
    shuffled = np.random.default_rng(seed).permutation(len(cell))
    out = np.empty_like(account)
    out[order] = account[shuffled[np.argsort(cell[shuffled], kind="stable")]]
    return out


def q_values(found: Sequence[float], decoys: Sequence[Sequence[float]], share: float = 1.0) -> list[float]:
    """q of each group, in the order given.

    Args:
        found: the statistic of each group, larger is better.
        decoys: the statistic of each group of each draw; without a draw every q is 1.
        share: accounts in a draw for each account searched, at most 1.
    """
    if not decoys:
        return [1.0] * len(found)
    if not found:
        return []
    order = sorted(range(len(found)), key=lambda n: -found[n])
    draws = max(len(decoys), 1)
    every = np.sort(np.array([value for draw in decoys for value in draw], np.float64))
    q = [0.0] * len(found)
    for n in order:
        as_good = sum(value >= found[n] for value in found)
        worse = len(every) - int(np.searchsorted(every, found[n], side="left"))
        q[n] = (1.0 + worse / share) / draws / as_good
    least = np.inf
    for n in reversed(order):
        least = min(least, q[n])
        q[n] = float(min(least, 1.0))
    return q
