"""A group is machine-driven when its members' own evidence exceeds what groups of people of that size reach."""

from __future__ import annotations

import numpy as np

from detector.thresholds import Thresholds
from streaming.assess.machine_groups import FEWEST, GroupJudge
from tests.streaming.assess.fakes import PEOPLE


def judge() -> GroupJudge:
    return GroupJudge(Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1"), 0.05)


def test_a_group_needs_more_than_its_loudest_members() -> None:
    made = judge()
    machines = made.judge(np.full(8, 3.5))
    assert machines.machine
    assert not made.judge(np.array([9.0, 9.0, 9.0, -0.1, -0.1, -0.1, -0.1])).machine
    assert not made.judge(np.full(FEWEST - 1, 9.0)).machine
    assert not made.judge(np.full(200, 1.0)).machine
    assert made.threshold(3) > made.threshold(30) > made.threshold(3000) > PEOPLE.mean()


def test_the_mean_of_a_group_does_not_depend_on_the_order_of_its_members() -> None:
    made = judge()
    values = np.random.default_rng(0).normal(size=50)
    assert made.judge(values) == made.judge(values[::-1])


def test_a_handful_of_people_does_not_decide_what_groups_of_people_are_like() -> None:
    few = {"people": PEOPLE, "few": np.array([5.0, 6.0, 7.0])}
    both = GroupJudge(Thresholds.of(few, 100, frozenset({"en"}), "1"), 0.05)
    alone = GroupJudge(Thresholds.of({"people": PEOPLE}, 100, frozenset({"en"}), "1"), 0.05)
    assert both.threshold(10) == alone.threshold(10)
