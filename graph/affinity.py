"""How much more often than activity and popularity explain outsiders come to what a group opened: its affinity.

Learned from the group's *pool*, comparable outsiders; candidates are left out of it. At the freeze it begins with what
pool and members had in common in the window before, later bets add the pool's visits to the objects that were bet on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from graph.bets import FROZEN, LEARNED, VISITED, Bets
from graph.dispersion import INFLATION_PRIOR
from graph.group import Group
from graph.touches import TOUCH_KINDS

VISITS_PRIOR: Final = 5.0
"""Expected visits of the pool at which a group's own affinity counts as much as everybody's."""

TRIM_ROUNDS: Final = 3
TRIM_FACTOR: Final = 2.5
TRIM_VISITS: Final = 3.0
TRIM_SHARE: Final = 0.15
"""An account of the pool is left out when it came more than 2.5 times as often as its share of the pool's visits, and
three times more: activity within a community varies by less than that around an account's usual."""

MAX_AFFINITY: Final = 50.0
"""Largest affinity: beyond it f reaches its limit for any group."""


def learn_due(groups: Sequence[Group], *, everybody: bool) -> None:
    """Learn the affinities of groups and shadows that were frozen anew, or of all with new visits."""
    least = VISITED if everybody else FROZEN
    due = [bets for group in groups for bets in (group.bets, group.shadow) if bets is not None and bets.stale >= least]
    if not due:
        return
    visits, expected = [INFLATION_PRIOR] * TOUCH_KINDS, [INFLATION_PRIOR] * TOUCH_KINDS
    for group in groups:
        for kind in range(TOUCH_KINDS):
            visits[kind] += group.bets.kin[kind]
            expected[kind] += group.bets.kin_expected[kind]
    prior = [v / e for v, e in zip(visits, expected, strict=True)]
    for bets in due:
        learn(bets, prior)


def learn(bets: Bets, prior: Sequence[float]) -> None:
    """Learn the affinity from the visits so far: how much more often than expected the pool came, at least 1, by kind.

    One standard error is added: a core is keener than the rest of its community, and bets must not find that out.

    Accounts of the pool that came far more often than the rest of it are left out: they may belong to the group.

    Before there are visits, the affinity is how often members met the pool in the window before the freeze; it counts
    as much as `VISITS_PRIOR` expected visits.

    Args:
        prior: affinity over all groups by kind, which in turn counts as much as `VISITS_PRIOR` expected meetings.
    """
    bets.stale = LEARNED
    by_row: dict[int, int] = {}
    for visit, count in bets.visits.items():
        by_row[visit // TOUCH_KINDS] = by_row.get(visit // TOUCH_KINDS, 0) + count
    usual_share = 1.0 / max(len(bets.pool), 1)
    expected = sum(bets.visits_expected)
    out: set[int] = set()
    for _ in range(TRIM_ROUNDS):
        kept = 1.0 - sum(bets.pool.get(row, usual_share) for row in out)
        came = sum(count for row, count in by_row.items() if row not in out)
        rate = (came + VISITS_PRIOR) / (max(kept, 0.0) * expected + VISITS_PRIOR)
        far = {
            row
            for row, count in by_row.items()
            if count > TRIM_FACTOR * rate * bets.pool.get(row, usual_share) * expected + TRIM_VISITS
        }
        if far == out:
            break
        out = far
    if len(out) > TRIM_SHARE * len(bets.pool):  # so many are a community, not the rest of a group
        out = set()
    kept = max(1.0 - sum(bets.pool.get(row, usual_share) for row in out), 0.0)
    bets.kin = [0.0] * TOUCH_KINDS
    for visit, count in bets.visits.items():
        if visit // TOUCH_KINDS not in out:
            bets.kin[visit % TOUCH_KINDS] += count
    bets.kin_expected = [kept * value for value in bets.visits_expected]
    met = bets.kinship or [(0.0, 0.0)] * TOUCH_KINDS
    before = [(m + VISITS_PRIOR * p) / (o + VISITS_PRIOR) for (m, o), p in zip(met, prior, strict=True)]
    bets.affinity = [
        min(max((v + math.sqrt(v) + VISITS_PRIOR * b) / (e + VISITS_PRIOR), 1.0), MAX_AFFINITY)
        for v, e, b in zip(bets.kin, bets.kin_expected, before, strict=True)
    ]
