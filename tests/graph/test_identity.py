"""Which group is which (contract, "Ids")."""

from __future__ import annotations

from graph.identity import Meeting, group_id, match


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
    meeting = Meeting(5, "a", "b", "link")
    assert group_id(meeting) == group_id(Meeting(5, "a", "b", "link"))
    changed = (Meeting(6, "a", "b", "link"), Meeting(5, "a", "c", "link"), Meeting(5, "a", "b", "other"))
    assert len({group_id(m) for m in (meeting, *changed)}) == 4
