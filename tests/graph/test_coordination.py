"""Coordination as a whole: determinism, snapshots, forgetting, and finding what is planted."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from detector.errors import LogError
from graph.coordination import Coordination
from graph.nulls import run
from graph.state import SNAPSHOT_VERSION
from graph.touches import HOUR_MS, Touch, TraceKind
from tests.graph.society import feed, name_of, planted, society

MEMBERS = range(100, 108)


@cache
def small() -> tuple[Touch, ...]:
    """150 people of one taste, and eight who repost the same ten posts."""
    return tuple(planted(society(seed=1, sizes=[150], taste=0.0, per_day=6), MEMBERS, objects=10, seed=2))


@cache
def whole() -> Coordination:
    return feed(Coordination(), small())


def state(coordination: Coordination) -> list[tuple[str, float, list[str], bool]]:
    return [(g.id, g.log_e, sorted(map(name_of, g.members)), g.accepted) for g in coordination.groups()]


def test_a_planted_group_is_accepted_and_nobody_else() -> None:
    accepted = [set(g.members) for g in whole().groups() if g.accepted]
    assert accepted
    for members in accepted:
        assert len(members & set(MEMBERS)) >= 6
        assert len(members - set(MEMBERS)) <= 2


def test_outcome_depends_on_names_and_not_on_rows() -> None:
    shuffled = np.random.default_rng(3).permutation(1000)
    back = {int(new): old for old, new in enumerate(shuffled)}
    moved = [t._replace(account=int(shuffled[t.account])) for t in small()]
    there = feed(Coordination(), moved, lambda row: name_of(back[row]))
    assert [(g.id, g.log_e, sorted(name_of(back[r]) for r in g.members), g.accepted) for g in there.groups()] == state(
        whole()
    )


def test_a_snapshot_reads_on_to_the_same_state() -> None:
    middle = 30 * HOUR_MS
    first = feed(Coordination(), small(), until=middle)
    assert state(feed(Coordination.from_arrays(first.arrays()), small(), start=middle)) == state(whole())


def test_a_snapshot_of_another_version_is_refused() -> None:
    arrays = Coordination().arrays()
    arrays["state"] = bytes(arrays["state"]).replace(bytes([SNAPSHOT_VERSION]), b"\x63", 1)
    with pytest.raises(LogError, match="version"):
        Coordination.from_arrays(arrays)
    with pytest.raises(LogError, match="cannot be read"):
        Coordination.from_arrays(arrays | {"state": b"\xc1"})


def test_a_forgotten_account_leaves_no_trace_and_its_row_can_be_given_away() -> None:
    coordination = Coordination.from_arrays(whole().arrays())
    coordination.forget_account(103)
    for group in coordination.groups():
        for bets in (group.bets, group.shadow):
            assert bets is None or (103 not in bets.members and 103 not in bets.pool and 103 not in bets.share)
            assert bets is None or all(103 not in (b.opener, *b.met) for b in bets.bundles.values())
    assert not (coordination.window.view()[1] == 103).any()
    coordination.add([Touch(50 * HOUR_MS, 103, TraceKind.REPOST, "p1")])
    coordination.tick(51 * HOUR_MS, name_of)


def test_groups_are_not_tested_on_what_they_were_proposed_from() -> None:
    # All meetings lie before the proposal; afterwards the members repeat what they did, on the same objects.
    people = society(seed=5, sizes=[80], taste=0.0, per_day=6, hours=30)
    early = [
        Touch(20 * HOUR_MS + n * 60_000 + m, m, TraceKind.REPOST, f"p{n}") for n in range(6) for m in range(90, 98)
    ]
    late = [t._replace(at_ms=t.at_ms + 8 * HOUR_MS) for t in early]
    coordination = feed(Coordination(), sorted([*people, *early, *late], key=lambda t: (t.at_ms, t.account)))
    group = max(coordination.groups(), key=lambda g: len(set(g.members) & set(range(90, 98))))
    assert set(group.members) >= set(range(90, 98))
    assert group.bets.hits <= 1


@pytest.mark.parametrize(("sizes", "taste"), [([200], 0.0), ([110, 90], 0.7)])
def test_people_of_one_taste_are_no_group(sizes: list[int], taste: float) -> None:
    e_values: list[float] = []
    for seed in range(2):
        touches = society(seed, sizes, taste, per_day=6)
        outcome = run(touches, [name_of(row) for row in range(sum(sizes))])
        assert not outcome.accepted
        e_values += [math.exp(log_e) for log_e in outcome.e_values]
    assert len(e_values) > 50
    assert np.mean(e_values) <= 1.05
