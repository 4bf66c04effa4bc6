"""Coordination as a whole: determinism, snapshots, and finding what is planted."""

from __future__ import annotations

import numpy as np

from graph.coordination import Coordination
from graph.touches import HOUR_MS, Touch, TraceKind
from tests.graph.society import feed, name_of, planted, quiet


def test_a_planted_group_is_accepted_and_people_are_not() -> None:
    touches = planted(quiet(seed=1), members=range(200, 208), objects=8, seed=2)
    coordination = feed(Coordination(), touches)
    found = [set(g.members) for g in coordination.groups() if g.accepted]
    assert len(found) == 1
    assert len(found[0] & set(range(200, 208))) >= 6
    assert len(found[0] - set(range(200, 208))) <= 1


def test_outcome_depends_on_names_and_not_on_rows() -> None:
    touches = planted(quiet(seed=1), members=range(200, 208), objects=8, seed=2)
    shuffled = np.random.default_rng(3).permutation(1000)
    moved = [t._replace(account=int(shuffled[t.account])) for t in touches]
    back = {int(new): old for old, new in enumerate(shuffled)}
    here = feed(Coordination(), touches)
    there = feed(Coordination(), moved, lambda row: name_of(back[row]))
    assert [(g.id, g.log_e, sorted(g.members)) for g in here.groups()] == [
        (g.id, g.log_e, sorted(back[r] for r in g.members)) for g in there.groups()
    ]


def test_snapshot_anywhere_reads_on_to_the_same_state() -> None:
    touches = planted(quiet(seed=1), members=range(200, 208), objects=8, seed=2)
    middle = next(n for n, t in enumerate(touches) if t.at_ms >= touches[0].at_ms + 20 * HOUR_MS)
    # Break between two ticks and between two events.
    whole = feed(Coordination(), touches)
    first = feed(Coordination(), touches, until=touches[middle].at_ms)
    second = feed(Coordination.from_arrays(first.arrays()), touches, start=touches[middle].at_ms)
    assert [(g.id, g.log_e, g.members) for g in second.groups()] == [(g.id, g.log_e, g.members) for g in whole.groups()]


def test_forgotten_account_leaves_no_trace() -> None:
    coordination = feed(Coordination(), planted(quiet(seed=1), members=range(200, 208), objects=8, seed=2))
    coordination.forget_account(203)
    assert all(203 not in g.members and 203 not in g.bets.pool for g in coordination.groups())
    assert not (coordination.window.view()[1] == 203).any()


def test_objects_nobody_else_touched_go_with_a_forgotten_event() -> None:
    coordination = Coordination()
    coordination.add([Touch(5, 1, TraceKind.LINK, "only"), Touch(5, 1, TraceKind.DOMAIN, "shared")])
    coordination.add([Touch(6, 2, TraceKind.DOMAIN, "shared")])
    coordination.forget_event(1, 5)
    assert coordination.window.slot_of(TraceKind.LINK, "only") is None
    assert coordination.window.slot_of(TraceKind.DOMAIN, "shared") is not None
