"""The coordination part."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from graph.part import PartSettings, coordination_part, member_parts, shared_probability

SETTINGS = PartSettings()
LLRS = st.lists(st.floats(-20, 20), min_size=2, max_size=30)


@settings(max_examples=80, deadline=None)
@given(LLRS, st.floats(-5, 400))
def test_parts_are_finite_and_bounded(llr: list[float], log_e: float) -> None:
    parts = member_parts(llr, log_e, SETTINGS)
    assert all(math.isfinite(p) and -SETTINGS.down_cap <= p <= SETTINGS.up_cap for p in parts)


@settings(max_examples=50, deadline=None)
@given(LLRS, st.floats(-5, 60), st.floats(-20, 20))
def test_own_evidence_does_not_feed_the_own_part(llr: list[float], log_e: float, other: float) -> None:
    assert member_parts(llr, log_e, SETTINGS)[0] == member_parts([other, *llr[1:]], log_e, SETTINGS)[0]


def test_machines_pull_up_and_people_take_back_what_acting_together_says() -> None:
    up = member_parts([0.0] + [2.0] * 9, 20.0, SETTINGS)[0]
    silent = member_parts([0.0] * 10, 20.0, SETTINGS)[0]
    down = member_parts([0.0] + [-2.0] * 9, 20.0, SETTINGS)[0]
    assert up > 2.0
    assert math.isclose(silent, math.log(1 + SETTINGS.max_shared * (SETTINGS.machine_odds - 1)), abs_tol=1e-3)
    assert -SETTINGS.down_cap <= down < 0.1


def test_a_generator_nobody_knows_does_not_clear_a_campaign() -> None:
    """With each campaign known to the text models, members who look like people would be held against each other."""
    known = PartSettings(machine_odds=1.0, unseen=0.0)
    unsure = PartSettings(machine_odds=1.0)
    people_like = [0.0] + [-1.0] * 9
    assert member_parts(people_like, 20.0, known)[0] < member_parts(people_like, 20.0, unsure)[0] < 0


def test_evidence_of_coordination_counts_smoothly() -> None:
    parts = [member_parts([0.0] + [2.0] * 9, log_e, SETTINGS)[0] for log_e in (-2, 0, 2, 4, 8)]
    assert parts == sorted(parts)
    assert parts[1] < 0.4 < parts[-1]


def test_shared_probability_starts_at_the_prior_and_stays_below_the_limit() -> None:
    assert math.isclose(shared_probability(0.0, SETTINGS), SETTINGS.prior_group)
    assert shared_probability(1e6, SETTINGS) == SETTINGS.max_shared


def test_an_account_in_two_groups_gets_the_larger_part() -> None:
    llr = {1: 0.0, 2: 3.0, 3: 3.0, 4: -1.0, 5: -1.0}
    both = coordination_part([([1, 2, 3], 20.0), ([1, 4, 5], 20.0)], llr)
    assert both[1] == coordination_part([([1, 2, 3], 20.0)], llr)[1]
    assert coordination_part([([1, 2], 20.0)], {}) == coordination_part([([1, 2], 20.0)], {1: 0.0, 2: 0.0})
