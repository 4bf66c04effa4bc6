"""The reward platform: its distributions are those of its formulas, and Gymnasium's contract is kept."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from detector.errors import UsageError
from simulation.lab.environments import OUTRAGE_PLATFORM
from simulation.lab.outrage_platform import Account, OutragePlatform, PostsEnter, draw_step, step_rate
from simulation.sampling import Ints

DRAWS = 20_000

EPISODE = 2000

DEVIATION = 5.0
"""Standard errors: right formulas stray so far once in a million, and the seed is fixed."""

ACCOUNT = Account(followers=300, following=7, posts=4, likes=100)
RATE = math.log(400) / 4


def steps(polarity: float, account: Account = ACCOUNT, posts_enter: PostsEnter = "count") -> Ints:
    """New posts, followers and likes of the first step of `DRAWS` accounts, shape (draws, 3)."""
    counts = np.array(account, float)[:, None].repeat(DRAWS, axis=1)
    rng = np.random.default_rng(5)
    return np.stack(draw_step(rng.poisson, step_rate(counts), np.full(DRAWS, abs(polarity)), posts_enter), axis=1)


def strays(counts: Ints, mean: float) -> tuple[float, float]:
    """How far mean and variance of counts are from Poisson's, in standard errors."""
    of_mean = (counts.mean() - mean) / math.sqrt(mean / len(counts))
    of_variance = (counts.var() - mean) / math.sqrt((mean + 2 * mean**2) / len(counts))
    return abs(float(of_mean)), abs(float(of_variance))


@pytest.mark.parametrize("polarity", [-0.5, 0.25, 1.0])
def test_posts_followers_and_likes_are_poisson_of_the_stated_rates(polarity: float) -> None:
    found = steps(polarity)
    assert max(strays(found[:, 0], RATE)) < DEVIATION
    for column in (1, 2):
        assert max(strays(found[:, column], abs(polarity) * RATE)) < DEVIATION
    correlation = np.asarray(np.corrcoef(found.T))
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < DEVIATION / math.sqrt(DRAWS)


@pytest.mark.parametrize(
    ("changed", "rate"),
    [
        ("a post less", math.log(400) / 3),
        ("a post more", math.log(400) / 5),
        ("without likes", math.log(300) / 4),
        ("without followers", math.log(100) / 4),
        ("one more", math.log1p(400) / 4 * 1.05),
        ("base 10", math.log10(400) / 4),
    ],
)
def test_another_formula_of_the_rate_is_noticed(changed: str, rate: float) -> None:
    found = steps(1.0)
    assert max(strays(found[:, 0], rate)) > DEVIATION, changed
    assert max(strays(found[:, 1], rate)) > DEVIATION, changed


@pytest.mark.parametrize(("changed", "factor"), [("square", 0.25), ("none", 1.0), ("root", 0.5**0.5)])
def test_another_use_of_polarity_is_noticed(changed: str, factor: float) -> None:
    found = steps(0.5)
    assert strays(found[:, 1], factor * RATE)[0] > DEVIATION, changed
    assert strays(found[:, 2], factor * RATE)[0] > DEVIATION, changed


@pytest.mark.parametrize("polarity", [-0.5, 0.0, 1.0])
def test_a_step_draws_posts_then_followers_then_likes_and_pays_the_last_two(polarity: float) -> None:
    platform = OutragePlatform(ACCOUNT)
    platform.reset(seed=3)
    same = copy.deepcopy(platform.np_random)
    account = ACCOUNT
    for _ in range(50):
        rate = math.log(account.followers + account.likes) / account.posts
        posts = same.poisson(rate)
        followers, likes = same.poisson(abs(polarity) * rate), same.poisson(abs(polarity) * rate)
        _, reward, terminated, truncated, info = platform.step(np.array([polarity], np.float32))
        account = Account(account.followers + followers, 7, account.posts + posts, account.likes + likes)
        assert platform.account == account
        assert (reward, info["posts"], info["polarity"]) == (followers + likes, posts, polarity)
        assert not terminated
        assert not truncated


def test_where_each_post_wins_its_own_the_mean_is_squared_and_counts_go_together() -> None:
    found = steps(0.5, posts_enter="each")
    assert found[:, 1].mean() == pytest.approx(0.5 * RATE**2, rel=0.03)
    assert not found[found[:, 0] == 0][:, 1:].any()
    twice = found[found[:, 0] == 2]
    assert strays(twice[:, 1], RATE)[0] < DEVIATION


def test_nothing_is_won_without_polarity() -> None:
    found = steps(0.0)
    assert not found[:, 1:].any()
    assert found[:, 0].any()


def test_new_posts_that_are_not_added_leave_the_account_s_posts_as_they_were() -> None:
    platform = OutragePlatform(ACCOUNT, "apart")
    platform.reset(seed=1)
    drawn = [platform.step(np.array([1.0], np.float32))[4]["posts"] for _ in range(20)]
    assert sum(drawn) > 0
    assert platform.account.posts == ACCOUNT.posts


def test_observation_is_the_account_as_it_is_after_the_step() -> None:
    platform = OutragePlatform(ACCOUNT)
    seen, _ = platform.reset(seed=1)
    assert seen.tolist() == [300, 7, 4, 100]
    seen, *_ = platform.step(np.array([1.0], np.float32))
    assert seen.tolist() == list(platform.account) != [300, 7, 4, 100]
    logarithms, _ = OutragePlatform(ACCOUNT, observation="log").reset(seed=1)
    assert logarithms == pytest.approx(np.log1p([300, 7, 4, 100]))


@pytest.mark.filterwarnings("ignore:.*maximum value is infinity")  # as the experiment states its space
@pytest.mark.parametrize("observation", ["raw", "log"])
def test_gymnasium_s_checker_finds_nothing_and_an_episode_ends_after_its_steps(observation: str) -> None:
    made = gymnasium.make(OUTRAGE_PLATFORM, observation=observation)
    assert made.spec is not None
    assert made.spec.max_episode_steps == 10_000
    check_env(made.unwrapped)
    short = gymnasium.make(OUTRAGE_PLATFORM, max_episode_steps=3)
    short.reset(seed=0)
    ends = [short.step(np.array([0.5], np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_gymnasium_makes_it_from_the_name_of_module_and_environment() -> None:
    name = f"simulation.lab.environments:{OUTRAGE_PLATFORM}"
    code = f"import sys, gymnasium; gymnasium.make({name!r}).reset(); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_equal_seeds_are_equal_episodes() -> None:
    def rewards(seed: int) -> list[float]:
        platform = OutragePlatform()
        platform.reset(seed=seed)
        return [platform.step(np.array([0.7], np.float32))[1] for _ in range(50)]

    assert rewards(3) == rewards(3) != rewards(4)


@pytest.mark.parametrize("start", [(0, 0, 1, 1), (1, 0, 0, 1), (5, 0, 1, -1)])
def test_a_start_without_a_rate_is_refused(start: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="log"):
        OutragePlatform(Account(*start))


def test_an_unknown_option_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="count, each, apart"):
        OutragePlatform(posts_enter="all")  # type: ignore[arg-type]


def test_the_start_decides_how_much_there_is_to_win_and_each_post_wins_more_only_while_the_rate_is_above_one() -> None:
    """What the options that the text leaves open do to a whole episode at full polarity."""

    def reward(start: Account, posts_enter: PostsEnter) -> float:
        platform = OutragePlatform(start, posts_enter)
        platform.reset(seed=2)
        return sum(platform.step(np.array([1.0], np.float32))[1] for _ in range(EPISODE))

    assert 1.2 * reward(Account(), "count") < reward(Account(10_000, 0, 1, 0), "count")
    assert reward(Account(10_000, 0, 100, 0), "each") < 0.3 * reward(Account(10_000, 0, 100, 0), "count")
