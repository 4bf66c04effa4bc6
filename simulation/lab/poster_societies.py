"""Societies of posters who go on learning while somebody sets prices on their reach.

A society is a row of posters on the reward platform, each with its own learning rate, first polarity and audience.
Prices hold for a window of 2,000 steps; after it posters learn from what they won, and the next prices are set. Every
five windows (10,000 steps) a poster's account starts again, as an episode does on the platform.

There are two kinds of poster. `GradientPosters` have one normal policy without an observation, and climb the natural
gradient of what they won: they cost a few array operations for a whole society, so that a moderator can meet thousands
of them. `PpoPosters` are the learners of `polarity_training`.

Societies of gradient posters let an action stand for several steps and read accounts now and then, which changes little
and costs a hundredth; PPO's act in every step.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np

from simulation.lab.outrage_platform import draw_step, observed, step_rate
from simulation.lab.ppo import Ppo, PpoGroup, Rollout
from simulation.lab.reach_prices import BANDS, CELLS, cell, reach
from simulation.sampling import Floats, Ints

WINDOW_STEPS: Final = 2000
"""Between two settings of prices and two updates of posters: about PPO's 2,048, and a fifth of an episode."""

EPISODE_WINDOWS: Final = 5

EPISODES: Final = 20
"""Of a poster's life, as in Rowe's experiment."""

WINDOWS: Final = EPISODES * EPISODE_WINDOWS

LEAST_STD: Final = 0.05
"""Of a gradient poster's policy: whoever posts always the same would never learn again."""

PPO: Final = Ppo(n_steps=WINDOW_STEPS, batch=100)
"""Of posters who learn by PPO: batches of 100 divide a window."""

Kind: TypeAlias = Literal["training", "held-out"]


class Posters(NamedTuple):
    """Posters of societies, shape (societies, posters) each.

    Args:
        rate: how fast a poster learns: the step of a gradient poster; `PpoPosters.RATE` times it is PPO's rate.
        polarity: mean of its policy before it has learned.
        followers: at the beginning of an episode; it has one post and one like.
    """

    rate: Floats
    polarity: Floats
    followers: Floats

    def repeated(self, times: int) -> Posters:
        """These societies again and again, shape (times * societies, posters)."""
        return Posters(*(np.concatenate([each] * times) for each in self))


def drawn(rng: np.random.Generator, societies: int, posters: int, kind: Kind) -> Posters:
    """Posters to train a moderator on, or others that differ from all of those in each of the three respects.

    Args:
        rng: draws them.
        societies: how many.
        posters: in each.
        kind: learning rates of 0.5 to 1.5, first polarity within 0.5 and 1 to 1,000 followers in training; rates of
            0.25 to 0.5 and 1.5 to 3, first polarity of 0.5 to 1 and 1,000 to 100,000 followers among those held out.
    """
    shape = societies, posters
    sign = rng.choice([-1.0, 1.0], shape)
    if kind == "training":
        rate = np.exp(rng.uniform(np.log(0.5), np.log(1.5), shape))
        return Posters(rate, sign * rng.uniform(0, 0.5, shape), np.floor(10 ** rng.uniform(0, 3, shape)))
    slow = rng.random(shape) < 0.5
    rate = np.exp(rng.uniform(np.where(slow, np.log(0.25), np.log(1.5)), np.where(slow, np.log(0.5), np.log(3.0))))
    return Posters(rate, sign * rng.uniform(0.5, 1.0, shape), np.floor(10 ** rng.uniform(3, 5, shape)))


class Report(NamedTuple):
    """What happened in a window, shape (societies,) each but for `bands`.

    Args:
        polarity: mean |p| of the posts that were made.
        seen: mean |p| of what was followed or liked, weighed by how often.
        bands: share of posts in each band of |p|, shape (societies, BANDS).
        engagement: new followers and likes.
        possible: new followers and likes that posts of polarity 1 would have won on average from the same accounts.
    """

    polarity: Floats
    seen: Floats
    bands: Floats
    engagement: Floats
    possible: Floats


class PosterLearner(Protocol):
    """Posters' policies."""

    def act(self, counts: Floats, together: int) -> Floats:
        """Actions, shape (together, societies, posters), of accounts, shape (4, societies, posters)."""

    def won(self, rewards: Floats, counts: Floats, end: bool) -> None:
        """What the last actions won.

        Args:
            rewards: of the actions, of the same shape.
            counts: of accounts afterwards.
            end: whether an episode ends.
        """

    def learn(self) -> None:
        """From all actions since it was last called."""


class GradientPosters:
    """Normal policies without an observation, improved by natural gradients of rewards normalised in each window.

    A step of rate h is h s E[A z] for the mean and h E[A (z^2 - 1)] / 2 for the logarithm of the standard deviation s,
    with z the action as drawn in standard deviations and A the reward: the gradient over Fisher's information.

    If an action stands for k steps there are 1 / k of the actions, with k times the reward each. Where rewards are
    rare, chance is most of their variance, so that the gradient and its error both grow by the root of k: h is divided
    by it, and posters learn as fast and as unsteadily as with an action a step.

    Args:
        posters: who they are.
        rng: draws their actions.
        hold: steps that an action stands for.
    """

    def __init__(self, posters: Posters, rng: np.random.Generator, hold: int = 1) -> None:
        self.mean, self.std = posters.polarity.copy(), np.ones_like(posters.polarity)
        self._rate, self._rng = posters.rate / hold**0.5, rng
        self._noise: list[Floats] = []
        self._rewards: list[Floats] = []

    def act(self, counts: Floats, together: int) -> Floats:
        noise = self._rng.standard_normal((together, *self.mean.shape))
        self._noise.append(noise)
        return np.asarray(self.mean + self.std * noise)

    def won(self, rewards: Floats, counts: Floats, end: bool) -> None:
        """Keep what the last actions won.

        Args:
            rewards: of the actions, of the same shape.
            counts: of accounts afterwards.
            end: whether an episode ends.
        """
        self._rewards.append(rewards)

    def learn(self) -> None:
        noise, rewards = np.concatenate(self._noise), np.concatenate(self._rewards)
        self._noise, self._rewards = [], []
        better = (rewards - rewards.mean(0)) / (rewards.std(0) + 1e-8)
        self.mean = self.mean + self._rate * self.std * (better * noise).mean(0)
        growth = np.exp(self._rate * (better * (noise * noise - 1)).mean(0) / 2)
        self.std = np.maximum(self.std * growth, LEAST_STD)


class PpoPosters:
    """Posters who learn by PPO from the logarithm of their counts; each acts in every step.

    Args:
        posters: who they are.
        rng: seeds them.
    """

    RATE: Final = 2e-4
    """PPO's rate for a poster of rate 1; at 0.25 it is that of Rowe's experiment."""

    def __init__(self, posters: Posters, rng: np.random.Generator) -> None:
        self._shape = posters.rate.shape
        rates = self.RATE * posters.rate.ravel()
        self._group = PpoGroup(rates, 4, rng.spawn(len(rates)), PPO, posters.polarity.ravel())
        self._rollout = Rollout(PPO.n_steps, len(rates), 4)
        self._noise = self._group.noise()

    def _seen(self, counts: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return observed(counts.reshape(4, -1).T, "log")

    def act(self, counts: Floats, together: int) -> Floats:
        self._before = self._seen(counts)
        group = self._group
        self._action = group.mean(self._before) + np.exp(group.log_std) * self._noise[self._rollout.filled]
        return np.asarray(self._action, float).reshape(1, *self._shape)

    def won(self, rewards: Floats, counts: Floats, end: bool) -> None:
        """Keep what the last actions won.

        Args:
            rewards: of the actions, of the same shape.
            counts: of accounts afterwards.
            end: whether an episode ends.
        """
        self._rollout.add(self._before, self._action, rewards.ravel(), self._seen(counts), end)

    def learn(self) -> None:
        self._group.update(*self._rollout.taken())
        self._noise = self._group.noise()


class Societies:
    """Societies side by side, each under its own prices.

    Args:
        posters: who they are.
        learner: their policies.
        rng: draws posts, followers and likes.
        hold: steps that an action stands for; 1 is the platform as it is.
        together: actions that are drawn before accounts are read again; 1 is the platform as it is.
        worth: of reach that a bonus gives, see `reach_prices.Limits`.
    """

    def __init__(
        self,
        posters: Posters,
        learner: PosterLearner,
        rng: np.random.Generator,
        hold: int = 1,
        together: int = 1,
        worth: float = 1.0,
    ) -> None:
        self._posters, self._learner, self._rng = posters, learner, rng
        self._hold, self._together, self._worth = hold, together, worth
        self._window = 0

    def _rate(self) -> Floats:
        """New posts on average in the steps that an action stands for."""
        if self._hold * self._together == 1:
            return step_rate(self._counts)
        # d posts / d steps = log(followers + likes) / posts, solved for the steps until accounts are read again.
        steps = self._hold * self._together
        posts = self._counts[2]
        grown = np.sqrt(posts**2 + 2 * steps * posts * step_rate(self._counts))
        return np.asarray((grown - posts) / self._together)

    def window(self, multipliers: Floats) -> Report:
        """Let posters post under prices, shape (societies, CELLS), and learn from it."""
        if self._window % EPISODE_WINDOWS == 0:
            one = np.ones_like(self._posters.followers)
            self._counts = np.stack([self._posters.followers, 0 * one, one, one])
        self._window += 1
        rounds = WINDOW_STEPS // self._hold // self._together
        shape = rounds, self._together, *self._posters.rate.shape
        absolute, new, won = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        possible = np.zeros(shape[2:])
        for number in range(rounds):
            does = np.abs(self._learner.act(self._counts, self._together)).clip(0, 1)
            rate = np.broadcast_to(self._rate(), does.shape)
            posts, followers, likes = draw_step(self._rng.poisson, rate, reach(does, multipliers, self._worth))
            self._counts[0] += followers.sum(0)
            self._counts[2] += posts.sum(0)
            self._counts[3] += likes.sum(0)
            absolute[number], new[number], won[number] = does, posts, followers + likes
            possible += 2 * rate.sum(0)
            end = number == rounds - 1 and self._window % EPISODE_WINDOWS == 0
            self._learner.won(won[number].astype(float), self._counts, end)
        self._learner.learn()
        return _report(absolute, new, won, possible.sum(-1))


def _report(absolute: Floats, new: Ints, won: Ints, possible: Floats) -> Report:
    societies = absolute.shape[2]
    made = np.maximum(new.sum((0, 1, 3)), 1)
    engagement = won.sum((0, 1, 3))
    index = np.arange(societies)[:, None] * BANDS + cell(absolute) // (CELLS // BANDS)
    counted = np.bincount(index.ravel(), new.ravel(), societies * BANDS).reshape(societies, BANDS)
    return Report(
        polarity=(absolute * new).sum((0, 1, 3)) / made,
        seen=(absolute * won).sum((0, 1, 3)) / np.maximum(engagement, 1),
        bands=counted / made[:, None],
        engagement=engagement.astype(float),
        possible=possible,
    )
