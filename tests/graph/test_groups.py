"""Groups by average linkage, and which group of the last search a new one continues."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.groups import MIN_SIZE, group_id, linked, match


def matrix(n: int, rest: float, pairs: dict[tuple[int, int], float]) -> NDArray[np.float64]:
    """Log-odds of n accounts, `rest` for all pairs but those given."""
    out = np.full((n, n), rest)
    for (a, b), value in pairs.items():
        out[a, b] = out[b, a] = value
    np.fill_diagonal(out, 0.0)
    return out


def test_accounts_that_go_together_are_a_group_and_pairs_are_none() -> None:
    (group,) = linked(matrix(5, -1.0, {(0, 1): 2.0, (0, 2): 2.0, (1, 2): 2.0, (3, 4): 2.0}), cut=0.5)
    assert group.members == [0, 1, 2]
    assert group.strength == [2.0, 2.0, 2.0]
    assert group.statistic == pytest.approx(MIN_SIZE * (2.0 - 0.5))


def test_an_account_joins_by_the_mean_over_all_members() -> None:
    """0 and 1 are joined first, at 3; 2 has 2 with one and -1 with the other: 0.5 on average."""
    odds = matrix(4, -9.0, {(0, 1): 3.0, (0, 2): 2.0, (1, 2): -1.0})
    assert linked(odds, cut=0.51) == []
    (group,) = linked(odds, cut=0.5)
    # Each one's mean with the others: (3 + 2) / 2, (3 - 1) / 2, (2 - 1) / 2; the mean of all is 4/3.
    assert (group.members, group.strength) == ([0, 1, 2], [2.5, 1.0, 0.5])
    assert group.statistic == pytest.approx(3 * (4 / 3 - 0.5))


def test_one_loud_pair_joins_no_groups() -> None:
    inside = {(a, b): 2.0 for block in ((0, 1, 2), (3, 4, 5)) for a in block for b in block if a < b}
    found = linked(matrix(6, -2.0, inside | {(2, 3): 1.9}), cut=0.0)
    assert [group.members for group in found] == [[0, 1, 2], [3, 4, 5]]


def test_the_best_group_comes_first_and_many_fairly_good_ones_beat_three_perfect_ones() -> None:
    perfect = {(a, b): 3.0 for a in range(3) for b in range(a)}
    many = {(a, b): 1.5 for a in range(3, 13) for b in range(3, a)}
    found = linked(matrix(13, -3.0, perfect | many), cut=0.5)
    assert [len(group.members) for group in found] == [10, 3]
    assert [group.statistic for group in found] == [pytest.approx(10.0), pytest.approx(7.5)]


def test_log_odds_all_below_the_cut_make_no_group() -> None:
    assert linked(matrix(6, -0.5, {}), cut=0.2) == []
    assert linked(matrix(6, 0.1, {}), cut=0.2) == []
    assert linked(matrix(2, 3.0, {}), cut=0.2) == []
    assert linked(np.zeros((0, 0)), cut=0.2) == []


def test_noise_far_below_a_millinat_does_not_change_groups() -> None:
    rng = np.random.default_rng(1)
    raw = np.round(rng.normal(0, 1.5, (30, 30)), 3)
    odds = np.triu(raw, 1) + np.triu(raw, 1).T
    noise = rng.normal(0, 1e-8, (30, 30))
    assert len(linked(odds, 0.3)) > 1
    assert linked(odds, 0.3) == linked(odds + noise + noise.T, 0.3)


def sets(*texts: str) -> list[set[int]]:
    return [{ord(c) for c in text} for text in texts]


def test_a_group_that_changes_a_little_goes_on() -> None:
    assert match(sets("abcdef"), sets("abcdeg")).continued == {0: [0]}


def test_half_of_jaccard_overlap_is_enough_and_less_is_not() -> None:
    assert match(sets("abcd"), sets("ab")).continued == {0: [0]}
    assert match(sets("abcd"), sets("abefg")).continued == {}


def test_of_a_split_the_larger_part_goes_on() -> None:
    assert match(sets("abcdefghij"), sets("ghij", "abcdef")).continued == {1: [0]}


def test_of_a_merge_the_older_goes_on() -> None:
    assert match(sets("abc", "def"), sets("abcdef")).continued == {0: [0, 1]}


def test_a_small_group_inside_a_continued_one_is_absorbed() -> None:
    plan = match(sets("xy", "abcdef"), sets("abcdefxy"))
    assert plan.continued == {0: [1]}
    assert plan.absorbed == [(0, 0)]


def test_a_group_most_of_which_is_in_a_new_one_is_absorbed_by_that() -> None:
    plan = match(sets("xyz"), sets("abcdefxy"))
    assert (plan.continued, plan.absorbed) == ({}, [(0, 0)])
    assert match(sets("wxyz"), sets("abcdefx")).absorbed == []


def test_a_group_goes_on_in_one_proposal_only() -> None:
    assert match(sets("abcd"), sets("ab", "cd")).continued == {0: [0]}


def test_a_group_that_nothing_continues_is_left_alone() -> None:
    assert match(sets("abc"), sets("xyz")) == ({}, [])
    assert match(sets("abc"), []) == ({}, [])
    assert match([], sets("abc")) == ({}, [])


def test_ids_depend_on_the_search_its_time_and_the_names_in_any_order() -> None:
    known = group_id("suspects", 5, ["ann", "bob", "\ud800"])
    assert known == group_id("suspects", 5, ("\ud800", "bob", "ann"))
    others = [
        group_id("all", 5, ["ann", "bob", "\ud800"]), group_id("suspects", 6, ["ann", "bob", "\ud800"]),
        group_id("suspects", 5, ["ann", "bob"]),
    ]  # fmt: skip
    assert len({known, *others}) == 4
    # Ids are in published alerts: they may not change from release to release.
    assert group_id("suspects", 1_767_225_600_000, ["ann", "bob", "cy"]) == "8cae0241e367d4356fea0d29"
