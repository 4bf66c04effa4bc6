"""Coordination as a whole: determinism, snapshots, forgetting, and finding an injected group.

Edges that an alert shows.

The coordination component.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import LogError
from graph.coordination import (
    SNAPSHOT_VERSION,
    ComponentSettings,
    Coordination,
    coordination_components,
    member_components,
    shared_probability,
)
from graph.permutation import run
from graph.traces import DOMAIN, HOUR_MS, LINK, REPOST, Trace
from tests.graph.society import feed, name_of, society, with_group

MEMBERS = range(100, 108)


@cache
def small() -> tuple[Trace, ...]:
    """150 people of one taste, and eight who repost the same ten posts."""
    return tuple(with_group(society(seed=1, sizes=[150], taste=0.0, per_day=6), MEMBERS, objects=10, seed=2))


@cache
def whole() -> Coordination:
    return feed(Coordination(), small())


def state(coordination: Coordination) -> list[tuple[str, float, list[str], bool]]:
    return [(g.id, g.log_e, sorted(map(name_of, g.members)), g.accepted_among_all) for g in coordination.groups()]


def test_an_injected_group_is_accepted_and_nobody_else() -> None:
    accepted = [set(g.members) for g in whole().groups() if g.accepted_among_all]
    assert accepted
    for members in accepted:
        assert len(members & set(MEMBERS)) >= 6
        assert len(members - set(MEMBERS)) <= 2


def test_outcome_depends_on_names_and_not_on_rows() -> None:
    shuffled = np.random.default_rng(3).permutation(1000)
    back = {int(new): old for old, new in enumerate(shuffled)}
    moved = [t._replace(account=int(shuffled[t.account])) for t in small()]
    there = feed(Coordination(), moved, lambda row: name_of(back[row]))
    assert [
        (g.id, g.log_e, sorted(name_of(back[r]) for r in g.members), g.accepted_among_all) for g in there.groups()
    ] == state(whole())


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
        for bets in (group.bets, group.reference):
            assert bets is None or (103 not in bets.members and 103 not in bets.controls and 103 not in bets.share)
            assert bets is None or all(103 not in (b.opener, *b.met) for b in bets.bundles.values())
    assert not (coordination.window.view()[1] == 103).any()
    coordination.add([Trace(50 * HOUR_MS, 103, REPOST, "p1")])
    coordination.tick(51 * HOUR_MS, name_of)


def test_groups_are_not_tested_on_what_they_were_proposed_from() -> None:
    # All co-occurrences lie before the proposal; afterwards the members repeat what they did, on the same objects.
    people = society(seed=5, sizes=[80], taste=0.0, per_day=6, hours=30)
    early = [Trace(20 * HOUR_MS + n * 60_000 + m, m, REPOST, f"p{n}") for n in range(6) for m in range(90, 98)]
    late = [t._replace(at_ms=t.at_ms + 8 * HOUR_MS) for t in early]
    coordination = feed(Coordination(), sorted([*people, *early, *late], key=lambda t: (t.at_ms, t.account)))
    group = max(coordination.groups(), key=lambda g: len(set(g.members) & set(range(90, 98))))
    assert set(group.members) >= set(range(90, 98))
    assert group.bets.hits <= 1


@pytest.mark.parametrize(("sizes", "taste"), [([200], 0.0), ([110, 90], 0.7)])
def test_people_of_one_taste_are_no_group(sizes: list[int], taste: float) -> None:
    e_values: list[float] = []
    for seed in range(2):
        traces = society(seed, sizes, taste, per_day=6)
        outcome = run(traces, [name_of(row) for row in range(sum(sizes))])
        assert not outcome.accepted
        e_values += [math.exp(log_e) for log_e in outcome.e_values]
    assert len(e_values) > 50
    assert np.mean(e_values) <= 1.05


def test_edges_name_kind_count_and_objects_in_the_given_order_of_members() -> None:
    coordination = Coordination()
    traces = [Trace(n * HOUR_MS + m, m, LINK, f"l{n}") for n in range(7) for m in (1, 2)]
    traces += [Trace(8 * HOUR_MS, 1, REPOST, "r"), Trace(8 * HOUR_MS + 5000, 2, REPOST, "r")]
    traces += [Trace(9 * HOUR_MS + n, 10 + n, LINK, f"noise{n}") for n in range(50)]
    coordination.add(traces)
    edges = coordination.edges_within([2, 1, 10])
    assert [(e.a, e.b, e.kind, e.count) for e in edges] == [(2, 1, "link", 7), (2, 1, "fast_repost", 1)]
    assert edges[0].objects == ("l0", "l1", "l2", "l3", "l4")
    assert edges[0].z > 2 > edges[0].expected > 0
    assert len(coordination.edges_within([1, 2], limit=1)) == 1


def test_far_apart_in_time_is_no_edge() -> None:
    coordination = Coordination()
    coordination.add([Trace(0, 1, DOMAIN, "d"), Trace(2 * HOUR_MS, 2, DOMAIN, "d")])
    assert coordination.edges_within([1, 2]) == []


SETTINGS = ComponentSettings()
LLRS = st.lists(st.floats(-20, 20), min_size=2, max_size=30)


@settings(max_examples=80, deadline=None)
@given(LLRS, st.floats(-5, 400))
def test_parts_are_finite_and_bounded(llr: list[float], log_e: float) -> None:
    components = member_components(llr, log_e, SETTINGS)
    assert all(math.isfinite(p) and -SETTINGS.down_cap <= p <= SETTINGS.up_cap for p in components)


@settings(max_examples=50, deadline=None)
@given(LLRS, st.floats(-5, 60), st.floats(-20, 20))
def test_own_evidence_does_not_feed_the_own_part(llr: list[float], log_e: float, other: float) -> None:
    assert member_components(llr, log_e, SETTINGS)[0] == member_components([other, *llr[1:]], log_e, SETTINGS)[0]


def test_machines_pull_up_and_people_take_back_what_acting_together_says() -> None:
    up = member_components([0.0] + [2.0] * 9, 20.0, SETTINGS)[0]
    silent = member_components([0.0] * 10, 20.0, SETTINGS)[0]
    down = member_components([0.0] + [-2.0] * 9, 20.0, SETTINGS)[0]
    assert up > 2.0
    assert math.isclose(silent, math.log(1 + SETTINGS.max_shared * (SETTINGS.machine_odds - 1)), abs_tol=1e-3)
    assert -SETTINGS.down_cap <= down < 0.1


def test_a_generator_nobody_knows_does_not_clear_a_campaign() -> None:
    """With each campaign known to the text models, members who look like people would be held against each other."""
    known = ComponentSettings(machine_odds=1.0, unseen=0.0)
    unsure = ComponentSettings(machine_odds=1.0)
    people_like = [0.0] + [-1.0] * 9
    assert member_components(people_like, 20.0, known)[0] < member_components(people_like, 20.0, unsure)[0] < 0


def test_evidence_of_coordination_counts_smoothly() -> None:
    components = [member_components([0.0] + [2.0] * 9, log_e, SETTINGS)[0] for log_e in (-2, 0, 2, 4, 8)]
    assert components == sorted(components)
    assert components[1] < 0.4 < components[-1]


def test_shared_probability_starts_at_the_prior_and_stays_below_the_limit() -> None:
    assert math.isclose(shared_probability(0.0, SETTINGS), SETTINGS.prior_group)
    assert shared_probability(1e6, SETTINGS) == SETTINGS.max_shared


def test_an_account_in_two_groups_gets_the_larger_part() -> None:
    llr = {1: 0.0, 2: 3.0, 3: 3.0, 4: -1.0, 5: -1.0}
    both = coordination_components([([1, 2, 3], 20.0), ([1, 4, 5], 20.0)], llr)
    assert both[1] == coordination_components([([1, 2, 3], 20.0)], llr)[1]
    assert coordination_components([([1, 2], 20.0)], {}) == coordination_components([([1, 2], 20.0)], {1: 0.0, 2: 0.0})
