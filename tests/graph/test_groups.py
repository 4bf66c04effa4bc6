"""Machine-driven groups are tested in a list of their own.

Which group is which (contract, "Ids").
"""

from __future__ import annotations

import numpy as np

from graph.group_test import Bets, log_threshold
from graph.groups import Campaigns, FoundingPair, Group, group_id, inherit, match

FDR = 0.05


def group(number: int, log_e: float) -> Group:
    """A group whose first bet has opened, the last of three hundred."""
    bets = Bets({0: 0, 1: 0, 2: 0})
    bets.log_value = log_e
    return Group(f"g{number}", number, 0, 0, 0, 1000, bets, hypothesis=300 + number)


def test_few_machine_driven_groups_are_not_drowned_by_hundreds_of_others() -> None:
    groups = [group(n, 0.0) for n in range(50)]
    groups[7].bets.log_value = 4.5
    assert groups[7].log_e < log_threshold(groups[7].hypothesis, 0, FDR)
    campaigns = Campaigns()
    assert campaigns.examine(groups, {3, 7}, FDR, 60) == []  # the second of the list needs more
    groups[7].bets.log_value = 5.5
    assert campaigns.examine(groups, set(), FDR, 120) == [groups[7]]
    assert (groups[7].campaign_ms, groups[7].accepted, groups[7].accepted_among_all) == (120, True, False)
    assert groups[7].log_e >= groups[7].campaign_threshold
    assert (campaigns.tested, campaigns.found) == (2, 1)


def test_a_group_of_people_is_none_however_strong() -> None:
    strong = group(1, 40.0)
    assert Campaigns().examine([strong], set(), FDR, 60) == []
    assert not strong.accepted


def test_a_merged_campaign_lives_on() -> None:
    one, other = group(1, 9.0), group(2, 0.0)
    Campaigns().examine([one], {1}, FDR, 60)
    inherit(other, one)
    assert (other.campaign_ms, other.chosen, other.campaign_threshold) == (60, 1, one.campaign_threshold)


def test_false_campaigns_are_rare_when_the_choice_knows_nothing_of_the_bets() -> None:
    """e-values of mean 1 (exp of N(-2, 2), whose mean is 1), each its final value; one in ten is chosen by chance."""
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(400):
        groups = [group(n, float(rng.normal(-2.0, 2.0))) for n in range(60)]
        machine = set(np.flatnonzero(rng.random(60) < 0.1).tolist())
        false += bool(Campaigns().examine(groups, machine, FDR, 60))
    assert false / 400 <= FDR


def groups(*texts: str) -> list[set[int]]:
    return [{ord(c) for c in text} for text in texts]


def test_a_group_that_changes_a_little_goes_on() -> None:
    assert match(groups("abcdef"), groups("abcdeg")).continued == {0: [0]}


def test_half_of_jaccard_overlap_is_enough_and_less_is_not() -> None:
    assert match(groups("abcd"), groups("ab")).continued == {0: [0]}
    assert match(groups("abcd"), groups("abefg")).continued == {}


def test_of_a_split_the_larger_part_goes_on() -> None:
    plan = match(groups("abcdefghij"), groups("ghij", "abcdef"))
    assert plan.continued == {1: [0]}


def test_of_a_merge_the_older_goes_on() -> None:
    assert match(groups("abc", "def"), groups("abcdef")).continued == {0: [0, 1]}


def test_a_small_group_inside_a_continued_one_is_absorbed() -> None:
    plan = match(groups("xy", "abcdef"), groups("abcdefxy"))
    assert plan.continued == {0: [1]}
    assert plan.absorbed == [(0, 0)]


def test_a_group_goes_on_in_one_proposal_only() -> None:
    assert match(groups("abcd"), groups("ab", "cd")).continued == {0: [0]}


def test_ids_depend_on_pair_object_and_time() -> None:
    pair = FoundingPair(5, "a", "b", "link")
    assert group_id(pair) == group_id(FoundingPair(5, "a", "b", "link"))
    changed = (FoundingPair(6, "a", "b", "link"), FoundingPair(5, "a", "c", "link"), FoundingPair(5, "a", "b", "other"))
    assert len({group_id(m) for m in (pair, *changed)}) == 4
