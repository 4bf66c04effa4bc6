"""The within-stratum rank of an account's own evidence."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graph.account_graph import MIN_STRATUM, within_stratum_rank

N = 4 * MIN_STRATUM
ALIKE = np.zeros(N, np.int64)
ALL = np.ones(N, bool)


def draw(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=N)


@given(st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 4))
def test_where_people_lie_and_how_wide_does_not_matter(seed: int, shift: float, scale: float) -> None:
    own = draw(seed)
    assert np.array_equal(
        within_stratum_rank(own, ALL, ALIKE, ALIKE), within_stratum_rank(scale * own + shift, ALL, ALIKE, ALIKE)
    )


def test_it_rises_with_the_evidence_within_bounds_and_around_nothing() -> None:
    own = draw(1)
    found = within_stratum_rank(own, ALL, ALIKE, ALIKE)
    assert (np.diff(found[np.argsort(own)]) > 0).all()
    assert -1 < found.min() < -0.9 < 0.9 < found.max() < 1
    assert abs(found.mean()) < 1e-6


def test_who_does_not_speak_stands_nowhere_and_counts_for_nobody() -> None:
    own = draw(2)
    speaks = np.arange(N) % 3 > 0
    found = within_stratum_rank(own, speaks, ALIKE, ALIKE)
    assert not found[~speaks].any()
    louder = np.where(speaks, own, 99.0)
    assert np.array_equal(found, within_stratum_rank(louder, speaks, ALIKE, ALIKE))
    assert not within_stratum_rank(own, ~ALL, ALIKE, ALIKE).any()


def test_languages_and_amounts_of_text_are_compared_with_themselves() -> None:
    own = draw(3)
    half = np.arange(N) % 2
    for posts, language in ((ALIKE, half), (1 + 30 * half, ALIKE)):
        found = within_stratum_rank(own + 10.0 * half, ALL, posts, language)
        assert np.array_equal(found[half == 0], within_stratum_rank(own, ALL, posts, language)[half == 0])
        assert abs(found[half == 1].mean()) < 1e-6


def test_languages_of_few_are_compared_with_each_other() -> None:
    rare = np.where(np.arange(N) < MIN_STRATUM, 1 + np.arange(N) % 3, 0)
    own = draw(4)
    found = within_stratum_rank(own, ALL, ALIKE, rare)
    few = rare > 0
    assert np.array_equal(np.argsort(found[few]), np.argsort(own[few]))
    assert len(np.unique(found[few])) == few.sum()


def test_the_order_of_accounts_changes_nothing() -> None:
    own, order = draw(5), np.random.default_rng(6).permutation(N)
    posts, language = np.arange(N) % 40, np.arange(N) % 2
    found = within_stratum_rank(own, ALL, posts, language)
    assert np.array_equal(found[order], within_stratum_rank(own[order], ALL, posts[order], language[order]))
