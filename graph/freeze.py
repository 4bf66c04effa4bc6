"""What a group is compared with from the moment it is frozen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graph.bets import CLOSED, FROZEN, Bets
from graph.edges import distinct
from graph.group import Group
from graph.outsiders import Outsiders
from graph.touches import TOUCH_KINDS, CoordinationSettings
from graph.view import View
from graph.window import TouchWindow

SHADOW_EVERY: Final = 3
"""One group in three has a shadow: enough for the dispersion of a platform, and a shadow costs as much as its group."""


def compare(
    group: Group, view: View, outsiders: Outsiders, window: TouchWindow, now_ms: int, settings: CoordinationSettings
) -> None:
    """Find whom the group is compared with from now on, and what all of them usually do."""
    ranks = view.ranks(list(group.bets.members))
    if not ranks:
        return
    pool, shadow = outsiders.compare(ranks, settings)
    _follow(group.bets, view, ranks, pool, window, settings)
    if group.shadow is None and group.number % SHADOW_EVERY == 0 and len(shadow) >= settings.min_size:
        group.shadow = Bets(dict.fromkeys(view.rows[shadow].tolist(), now_ms))
        _follow(group.shadow, view, shadow, sorted(set(pool) - set(shadow)), window, settings)


def _follow(
    bets: Bets,
    view: View,
    members: Sequence[int],
    pool: Sequence[int],
    window: TouchWindow,
    settings: CoordinationSettings,
) -> None:
    """Take up from the view (by rank) what members and pool did so far; a new pool's visits begin from nothing.

    What members touched before is not bet on: they were proposed for meeting there.
    """
    before = bets.pool
    bets.base, bets.pool_base = view.base_rates(members), view.base_rates(pool)
    bets.share, bets.pool = view.shares(members), view.shares(pool)
    bets.active = view.activity(members, settings.activity_bin_ms)
    bets.pool_active = view.activity(pool, settings.activity_bin_ms)
    if 2 * len(bets.pool.keys() & before) < len(bets.pool):
        bets.visits, bets.visits_expected = {}, [0.0] * TOUCH_KINDS
    bets.stale = FROZEN
    met, ought = view.kinship(members, pool)
    bets.kinship = [(m, o) for m, o in zip(met.tolist(), ought.tolist(), strict=True)]
    touched = window.uids(distinct(view.slot[view.touches_of(members)])).tolist()
    bets.seen.update(dict.fromkeys([uid for uid in touched if uid not in bets.seen], CLOSED))
