"""Communities and their cores."""

from __future__ import annotations

import numpy as np

from graph.coincidences import Expectation, SoftEdges
from graph.proposals import cores, leiden, merge_small
from graph.traces import KINDS


def cliques(*groups: range, bridges: tuple[tuple[int, int], ...] = ()) -> SoftEdges:
    pairs = sorted({(a, b) for group in groups for a in group for b in group if a < b} | set(bridges))
    a, b = np.array(pairs).T
    weight = np.array([100 if pair in bridges else 1000 for pair in pairs])
    return SoftEdges(a.astype(np.int64), b.astype(np.int64), weight.astype(np.int64))


def nothing_expected(accounts: int, degree: float = 0.0) -> Expectation:
    total = np.full(KINDS, degree * accounts / 2)
    block = np.zeros(accounts, np.int64)
    return Expectation(np.full((KINDS, accounts), degree), total, np.ones(KINDS), block, np.ones((KINDS, 1, 1)))


def test_leiden_is_reproducible_and_numbers_by_first_member() -> None:
    edges = cliques(range(5, 9), range(5), bridges=((4, 5),))
    found = [leiden(edges, 10, 1.0, seed=3) for _ in range(3)]
    assert found[0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, -1]
    assert all((f == found[0]).all() for f in found)


def test_the_core_of_a_loose_community_is_its_dense_part() -> None:
    edges = cliques(range(6), bridges=((5, 6), (6, 7), (7, 8)))
    found = cores(edges, np.zeros(9, np.int64), nothing_expected(9), 3, 100)
    assert [members.tolist() for _, members in found] == [[0, 1, 2, 3, 4, 5]]
    assert found[0][0] == 15_000


def test_a_community_that_meets_as_much_as_expected_has_no_core() -> None:
    edges = SoftEdges(np.arange(19), np.arange(1, 20), np.full(19, 500))
    assert cores(edges, np.zeros(20, np.int64), nothing_expected(20, degree=30.0), 3, 100) == []


def test_two_cores_of_one_community_are_told_apart() -> None:
    edges = cliques(range(5), range(5, 9), bridges=((4, 5),))
    found = cores(edges, np.zeros(9, np.int64), nothing_expected(9), 3, 100)
    assert sorted(members.tolist() for _, members in found) == [[0, 1, 2, 3, 4], [5, 6, 7, 8]]


def test_small_communities_join_the_one_they_meet_most() -> None:
    edges = cliques(range(4), range(4, 8), range(8, 10), bridges=((7, 8),))
    community = np.array([0] * 4 + [1] * 4 + [2] * 2)
    assert merge_small(community, edges, 3).tolist() == [0] * 4 + [1] * 6
    assert merge_small(community, edges, 50).tolist() == [-1] * 10
