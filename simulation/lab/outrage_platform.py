"""The reward platform of Rowe's experiment: one account, whose reach grows with the polarity of what it posts.

A step is one action p in [-1, 1], the polarity of what the account posts. With F followers, L likes and P posts so far,

    rate = log(F + L) / P
    new posts      ~ Poisson(rate)
    new followers  ~ Poisson(|p| rate)
    new likes      ~ Poisson(|p| rate)
    reward         = new followers + new likes

The text leaves three things open. Each is an option of the environment, with what was chosen as its default:

- **start**: with no posts and no followers the rate is not defined. An account starts with one follower, one post and
  one like, the smallest whole numbers that give each a value and the rate one above 0.
- **posts_enter**: the formulas of followers and likes do not name the number n of new posts. `count` takes them as
  they are written: n is added to the posts and does nothing else in its step. `each`: every new post wins followers and
  likes of its own, so that these are Poisson(n |p| rate). `apart`: n is drawn and never added, so that the rate is
  divided by the posts of the start.
- **observation**: `raw` gives the four counts as they are, `log` the logarithm of 1 + each, as a network's input of
  about 1. The distributions are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import gymnasium
import numpy as np
import numpy.typing as npt

from detector.errors import UsageError
from simulation.sampling import Floats, Ints

PostsEnter: TypeAlias = Literal["count", "each", "apart"]
ObservationScale: TypeAlias = Literal["raw", "log"]
Observation: TypeAlias = npt.NDArray[np.float32]
Action: TypeAlias = npt.NDArray[np.float32]


class Account(NamedTuple):
    """Counts of an account, in the order in which they are observed. Nothing uses or changes `following`."""

    followers: int = 1
    following: int = 0
    posts: int = 1
    likes: int = 1


def step_rate(counts: Floats) -> Floats:
    """New posts that a step brings about on average, log(followers + likes) / posts, of each account.

    Args:
        counts: followers, following, posts and likes, shape (4, ...).
    """
    followers, _, posts, likes = counts
    return np.asarray(np.log(followers + likes) / posts)


def draw_step(
    draw: Callable[[Floats], Ints], rate: Floats, reach: Floats, posts_enter: PostsEnter = "count"
) -> tuple[Ints, Ints, Ints]:
    """Draw new posts, followers and likes of one step, each of the shape of `rate`.

    Args:
        draw: Poisson variables of the means that it is given.
        rate: `step_rate`.
        reach: share of the rate that wins followers and likes: the absolute polarity, where nobody sets a price on it.
        posts_enter: what new posts do, `count`, `each` or `apart`.
    """
    new_posts = draw(rate)
    won = reach * rate * (new_posts if posts_enter == "each" else 1)
    new_followers, new_likes = draw(np.stack([won, won]))
    return new_posts, new_followers, new_likes


def observed(counts: npt.NDArray[Any], scale: ObservationScale) -> Observation:
    """What a network sees of counts: themselves, or the logarithm of 1 + each."""
    return np.asarray(np.log1p(counts) if scale == "log" else counts, np.float32)


class OutragePlatform(gymnasium.Env[Observation, Action]):
    """One account on the reward platform. An episode ends by truncation alone, which `gymnasium.make` adds.

    Args:
        start: the account at the beginning of an episode; it needs a post, and two of followers and likes together.
        posts_enter: what new posts do, `count`, `each` or `apart`.
        observation: `raw` counts, or `log` of 1 + each.

    Raises:
        UsageError: the rate of the first step would not be above 0, or an option has no such value.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # Gymnasium declares it as an instance's

    def __init__(
        self,
        start: Account = Account(),  # noqa: B008  # immutable
        posts_enter: PostsEnter = "count",
        observation: ObservationScale = "raw",
    ) -> None:
        start = Account(*start)
        if min(start) < 0 or start.posts < 1 or start.followers + start.likes < 2:
            raise UsageError(
                f"OutragePlatform: start {tuple(start)}: the first step's log(followers + likes) / posts has to be "
                "above 0; give at least one post, and two of followers and likes together"
            )
        for name, value, known in (
            ("posts_enter", posts_enter, get_args(PostsEnter)),
            ("observation", observation, get_args(ObservationScale)),
        ):
            if value not in known:
                raise UsageError(f"OutragePlatform: {name} {value!a}: there are {', '.join(known)}")
        self.observation_space = gymnasium.spaces.Box(0.0, np.inf, (4,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.start = start
        self.posts_enter = posts_enter
        self.observation = observation
        self.account = start

    def _observed(self) -> Observation:
        return observed(np.array(self.account, np.float32), self.observation)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """The account as it starts; `options` has none."""
        super().reset(seed=seed)
        self.account = self.start
        return self._observed(), {}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Post at polarity `action[0]`. `info` has it as `polarity`, and the step's new `posts`."""
        polarity = float(action[0])
        followers, following, posts, likes = self.account
        rate = step_rate(np.array(self.account, float)[:, None])
        drawn = draw_step(self.np_random.poisson, rate, np.array([abs(polarity)]), self.posts_enter)
        new_posts, new_followers, new_likes = (int(each[0]) for each in drawn)
        self.account = Account(
            followers + new_followers, following, posts + new_posts * (self.posts_enter != "apart"), likes + new_likes
        )
        info = {"polarity": polarity, "posts": new_posts}
        return self._observed(), float(new_followers + new_likes), False, False, info
