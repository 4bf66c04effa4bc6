"""Decoys: who stands for whom, what an exchange keeps, and the rate that comes of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from graph.decoys import BLOCK_MS, DRAWS, NEAREST, exchanged, matched_draws, q_values
from graph.traces import HASHTAG, LINK, REPOST
from tests.graph.views import DAY, HOUR, NOW, Use, view_of

ENGLISH, GERMAN, FRENCH = 0, 1, 2


def test_nobody_is_drawn_twice_in_a_draw_and_no_suspect_at_all() -> None:
    rng = np.random.default_rng(1)
    suspects, controls = np.arange(0, 60, 3), np.setdiff1d(np.arange(60), np.arange(0, 60, 3))
    draws = matched_draws(suspects, controls, rng.integers(1, 99, 60), rng.integers(0, 3, 60), seed=4)
    assert len(draws) == DRAWS
    for draw in draws:
        assert len(set(draw.decoys.tolist())) == len(draw.decoys) == len(suspects)
        assert set(draw.decoys.tolist()) <= set(controls.tolist())
        assert sorted(draw.suspects.tolist()) == suspects.tolist()
    assert len({tuple(draw.decoys.tolist()) for draw in draws}) > 1


def test_draws_follow_from_the_seed() -> None:
    suspects, controls, posts = np.arange(5), np.arange(5, 30), np.arange(30)
    language = np.zeros(30, np.int64)
    one, same, other = (
        [draw.decoys.tolist() for draw in matched_draws(suspects, controls, posts, language, seed)]
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_a_decoy_is_one_of_the_nearest_in_posts() -> None:
    posts = np.array([100, *range(1, 41), 95, 99, 104, 110, 90])
    draws = matched_draws(np.array([0]), np.arange(1, 46), posts, np.zeros(46, np.int64), seed=1, draws=60)
    drawn = {int(draw.decoys[0]) for draw in draws}
    assert drawn == {41, 42, 43, 44, 45}
    assert len(drawn) == NEAREST


def test_of_controls_as_near_each_comes_up_whatever_its_name() -> None:
    """Most accounts have few posts, and many as many."""
    draws = matched_draws(np.arange(20), np.arange(20, 120), np.ones(120, np.int64), np.zeros(120, np.int64), seed=1)
    drawn = np.bincount(np.concatenate([draw.decoys for draw in draws]), minlength=120)[20:]
    assert drawn.sum() == DRAWS * 20
    assert (drawn > 0).mean() > 0.9
    assert drawn.max() < DRAWS


def test_language_comes_before_posts_while_there_are_any() -> None:
    """Two Germans of 50 posts for three German controls of few posts, among English ones of 50."""
    language = np.array([GERMAN, GERMAN, *[ENGLISH] * 8, GERMAN, GERMAN, GERMAN])
    posts = np.array([50, 50, *[50] * 8, 1, 2, 3])
    draws = matched_draws(np.arange(2), np.arange(2, 13), posts, language, seed=2)
    assert {int(place) for draw in draws for place in draw.decoys} == {10, 11, 12}


def test_any_language_stands_for_one_that_nobody_else_speaks() -> None:
    language = np.array([FRENCH, *[ENGLISH] * 4, GERMAN])
    draws = matched_draws(np.array([0]), np.arange(1, 6), np.ones(6, np.int64), language, seed=2)
    assert {int(draw.decoys[0]) for draw in draws} == {1, 2, 3, 4, 5}


def test_where_controls_are_few_draws_are_as_small() -> None:
    draws = matched_draws(np.arange(9), np.arange(9, 12), np.ones(12, np.int64), np.zeros(12, np.int64), seed=1)
    assert all(sorted(draw.decoys.tolist()) == [9, 10, 11] and len(draw.suspects) == 3 for draw in draws)
    nobody = matched_draws(np.arange(3), np.arange(0), np.ones(3, np.int64), np.zeros(3, np.int64), seed=1)
    assert [len(draw.decoys) for draw in nobody] == [0] * DRAWS


def uses(seed: int = 1) -> list[Use]:
    rng = np.random.default_rng(seed)
    return [
        Use(f"n{rng.integers(12):02d}", int(at), int(rng.choice([LINK, HASHTAG, REPOST])), f"x{rng.integers(20)}")
        for at in rng.integers(-2 * DAY, 0, 400)
    ]


def test_an_exchange_keeps_who_did_how_much_and_what_was_used_when() -> None:
    view = view_of(uses(), NOW)
    other = exchanged(view, seed=3)
    block = (view.at // BLOCK_MS).tolist()
    for accounts, same in ((view.account, other.account), (view.item, other.item)):
        before = Counter(zip(block, view.kind.tolist(), accounts.tolist(), strict=True))
        assert before == Counter(zip(block, other.kind.tolist(), same.tolist(), strict=True))
    for column in ("names", "keys"):
        assert getattr(other, column) == getattr(view, column)
    for column in ("at", "kind", "item", "other", "rows"):
        assert np.array_equal(getattr(other, column), getattr(view, column)), column
    moved = (view.account != other.account).mean()
    assert moved > 0.5
    assert np.array_equal(exchanged(view, seed=3).account, other.account)
    assert not np.array_equal(exchanged(view, seed=4).account, other.account)


def test_accounts_are_exchanged_within_their_stratum() -> None:
    view = view_of(uses(), NOW)
    strata = np.arange(len(view.names)) % 3
    other = exchanged(view, 3, strata)
    assert np.array_equal(strata[other.account], strata[view.account])
    assert (view.account != other.account).mean() > 0.3


def test_an_exchange_takes_apart_who_always_came_together() -> None:
    pair = [Use(who, n * 20 * 60_000 + k, LINK, f"own {n}") for n in range(60) for k, who in enumerate(("a", "b"))]
    crowd = [Use(f"p{n % 30}", n * 4 * 60_000 + 7, LINK, f"theirs {n}") for n in range(300)]
    view = view_of([*pair, *crowd])
    together = _together(view.account, view.item)
    assert together == 60
    assert _together(exchanged(view, 1).account, view.item) < 10


def _together(
    account: np.ndarray[tuple[int], np.dtype[np.int64]], item: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> int:
    """Objects that the first two accounts both used."""
    return len(set(item[account == 0].tolist()) & set(item[account == 1].tolist()))


def test_nothing_is_exchanged_for_nothing() -> None:
    assert len(exchanged(view_of([]), 1).account) == 0
    single = view_of([Use("a", HOUR, LINK, "x")])
    assert exchanged(single, 1).account.tolist() == [0]


def test_q_is_the_decoys_at_least_as_good_over_the_groups_at_least_as_good() -> None:
    # Four draws. At 10: nothing of the decoys; at 8: one; at 5: three, over three groups.
    assert q_values([10.0, 8.0, 5.0], [[9.0], [], [6.0, 5.0], []]) == [
        pytest.approx((1 / 4 + 0) / 1), pytest.approx((1 / 4 + 1 / 4) / 2), pytest.approx((1 / 4 + 3 / 4) / 3),
    ]  # fmt: skip


def test_q_comes_in_the_order_of_the_groups() -> None:
    assert q_values([5.0, 10.0, 8.0], [[9.0], [], [6.0, 5.0], []]) == pytest.approx([1 / 3, 1 / 4, 1 / 4])


def test_a_better_group_is_never_less_sure_than_a_worse_one() -> None:
    # By itself the better one would have (1/4 + 1/4) / 1.
    assert q_values([10.0, 9.0], [[11.0], [], [], []]) == [0.25, 0.25]
    rng = np.random.default_rng(1)
    found = sorted(rng.normal(0, 1, 30).tolist(), reverse=True)
    q = q_values(found, [rng.normal(0, 1, 20).tolist() for _ in range(20)])
    assert q == sorted(q)


def test_ties_count_on_both_sides() -> None:
    assert q_values([5.0, 5.0], [[5.0], []]) == [0.5, 0.5]


def test_q_is_a_rate_and_never_below_what_the_draws_can_tell() -> None:
    assert q_values([1.0], [[2.0, 3.0]]) == [1.0]
    assert q_values([100.0], [[1.0]] * 20) == [0.05]
    assert q_values([], [[1.0]]) == []
