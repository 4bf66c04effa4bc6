"""Posters that learn on the reward platform, by PPO, and what they posted, episode by episode.

PPO has the defaults of stable-baselines3 but for the learning rate: a network of two hidden layers of 64, 2,048 steps
between updates, ten passes over them in batches of 64, discount 0.99. Its policy is a normal distribution over
polarity, starting at mean about 0 and standard deviation 1, and what it draws beyond [-1, 1] is cut off there. It is
computed for five posters side by side (`simulation.lab.ppo`), or for each by stable-baselines3 (`polarity_reference`).

A seed decides everything: equal seeds and options give equal rows, on one version of the libraries and one kind of
processor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np
from msgspec.structs import replace

from simulation.lab.environments import EPISODE_STEPS
from simulation.lab.finished import finish_all
from simulation.lab.outrage_platform import Account, ObservationScale, PostsEnter, draw_step, observed, step_rate
from simulation.lab.ppo import Ppo, PpoGroup, Rollout
from simulation.sampling import Floats, Ints, stream

LEARNING_RATE: Final = 5e-5
"""Of PPO, in the experiment."""

EPISODES: Final = 20
"""The experiment's last figure is that of episode 19."""


GROUP: Final = 5
"""Posters that learn side by side in a process: ten are two groups, one a core."""

Learner: TypeAlias = Literal["group", "stable-baselines3"]
Bounds: TypeAlias = Literal["clip", "squash"]


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """How one poster is trained; options of the environment as there.

    Args:
        seed: of network, environment and batches.
        episodes: to learn in.
        steps: of an episode.
        learning_rate: of PPO.
        start: followers, following, posts and likes at the beginning of an episode.
        posts_enter: what new posts do.
        observation: what the network sees.
        learner: `group` (`simulation.lab.ppo`), or stable-baselines3, which takes the default of the last two alone.
        ppo: settings that experiments vary.
        bounds: what is drawn is cut off beyond [-1, 1] (`clip`), or goes through tanh (`squash`).
        reward_scale: what the learner's reward is multiplied by.
    """

    seed: int
    episodes: int = EPISODES
    steps: int = EPISODE_STEPS
    learning_rate: float = LEARNING_RATE
    start: tuple[int, int, int, int] = (*Account(),)
    posts_enter: PostsEnter = "count"
    observation: ObservationScale = "raw"
    learner: Learner = "group"
    ppo: Ppo = Ppo()
    bounds: Bounds = "clip"
    reward_scale: float = 1.0


def variants(options: Training) -> dict[str, Training]:
    """What the text of the experiment leaves open, and what it does not name of the learner, each varied by itself."""
    settings = options.ppo

    def ppo(**changed: float) -> Training:
        return replace(options, ppo=replace(settings, **changed))

    return {
        "as it is": options,
        "start with 10,000 followers": replace(options, start=(10_000, 0, 1, 1)),
        "start with 100 posts": replace(options, start=(1, 0, 100, 1)),
        "each new post wins its own": replace(options, posts_enter="each"),
        "new posts are not added": replace(options, posts_enter="apart"),
        "logarithms are observed": replace(options, observation="log"),
        "tanh in place of cutting off": replace(options, bounds="squash"),
        "reward times 10": replace(options, reward_scale=10.0),
        "discount 0": ppo(discount=0.0),
        "updates every 512 steps": ppo(n_steps=512),
        "learning rate 3e-4, PPO's default": replace(options, learning_rate=3e-4),
    }


class EpisodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one poster did in one episode. `episode` counts from 1.

    Args:
        posts: new posts; the measures below that begin with `posts_` count the polarity of a step once for each.
        steps_polarity: mean absolute polarity of all steps, whether they brought about a post or not.
        steps_variance: variance of their polarity, with its sign.
        posts_polarity: mean absolute polarity of posts.
        posts_variance: variance of their polarity, with its sign.
        one_sign: share of posts that have the sign that most have.
        reward: new followers and likes.
        policy_std: standard deviation of the policy at the end of the episode.
    """

    seed: int
    episode: int
    posts: int
    steps_polarity: float
    steps_variance: float
    posts_polarity: float
    posts_variance: float
    one_sign: float
    reward: float
    policy_std: float


def measured(polarity: Floats, posts: Ints, *, seed: int, episode: int, reward: float, policy_std: float) -> EpisodeRow:
    """The row of an episode, from what happened in its steps. Where nothing was posted, measures of posts are nan.

    Args:
        polarity: of each step, shape (steps,).
        posts: new posts of each step, shape (steps,).
        seed: of the poster.
        episode: which, from 1.
        reward: of the episode.
        policy_std: standard deviation of the policy at its end.
    """
    of_posts = np.repeat(polarity, posts)
    positive = float((of_posts > 0).mean()) if len(of_posts) else float("nan")
    return EpisodeRow(
        seed=seed,
        episode=episode,
        posts=len(of_posts),
        steps_polarity=float(np.abs(polarity).mean()),
        steps_variance=float(polarity.var()),
        posts_polarity=float(np.abs(of_posts).mean()) if len(of_posts) else float("nan"),
        posts_variance=float(of_posts.var()) if len(of_posts) else float("nan"),
        one_sign=max(positive, 1 - positive),
        reward=reward,
        policy_std=policy_std,
    )


def train_group(group: Sequence[Training]) -> list[Trained]:
    """Let posters learn side by side by `simulation.lab.ppo`; options but for the seed are those of the first."""
    began_s = time.process_time()
    options = group[0]
    rngs = [stream(each.seed, "lab", "poster") for each in group]
    settings = options.ppo
    learners = PpoGroup(np.full(len(group), options.learning_rate), 4, rngs, settings)
    polarity = np.zeros((options.steps, len(group)))
    posts = np.zeros((options.steps, len(group)), np.int64)
    reward = np.zeros((options.steps, len(group)))
    batch = Rollout(settings.n_steps, len(group), 4)
    start = np.array(options.start, float)[:, None].repeat(len(group), axis=1)
    rows: list[list[EpisodeRow]] = [[] for _ in group]

    def draw(mean: Floats) -> Ints:
        return np.stack([rng.poisson(mean[..., poster]) for poster, rng in enumerate(rngs)], axis=-1)

    noise = learners.noise()
    for episode in range(1, options.episodes + 1):
        counts = start.copy()
        seen = observed(counts.T, options.observation)
        for step in range(options.steps):
            action = learners.mean(seen) + np.exp(learners.log_std) * noise[batch.filled]
            does = np.tanh(action) if options.bounds == "squash" else action.clip(-1, 1)
            new_posts, new_followers, new_likes = draw_step(draw, step_rate(counts), np.abs(does), options.posts_enter)
            counts[[0, 3]] += new_followers, new_likes
            counts[2] += new_posts * (options.posts_enter != "apart")
            polarity[step], posts[step], reward[step] = does, new_posts, new_followers + new_likes
            after = observed(counts.T, options.observation)
            batch.add(seen, action, options.reward_scale * reward[step], after, step == options.steps - 1)
            seen = after
            if batch.filled == settings.n_steps:
                learners.update(*batch.taken())
                noise = learners.noise()
        for poster, one in enumerate(group):
            row = measured(
                polarity[:, poster],
                posts[:, poster],
                seed=one.seed,
                episode=episode,
                reward=float(reward[:, poster].sum()),
                policy_std=float(np.exp(learners.log_std[poster])),
            )
            rows[poster].append(row)
    cpu_s = round((time.process_time() - began_s) / len(group), 1)
    return [Trained(options=one, rows=rows[poster], cpu_s=cpu_s) for poster, one in enumerate(group)]


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A poster whose training is finished: a line of the file of results. `cpu_s`: processor seconds it took."""

    options: Training
    rows: list[EpisodeRow]
    cpu_s: float


def train_all(wanted: Sequence[Training], path: Path, processes: int) -> Iterator[Trained]:
    """Train posters, or take them from the file; errors as `finish_all`.

    Args:
        wanted: which.
        path: the file of finished ones; others in it stay.
        processes: at once.
    """
    return finish_all(_chunks(wanted), _train_chunk, Trained, path, processes)


def _chunks(wanted: Sequence[Training]) -> list[list[Training]]:
    """Posters that are trained together: up to `GROUP` whose options differ by their seed alone."""
    alike: dict[Training, list[Training]] = {}
    for one in wanted:
        alike.setdefault(replace(one, seed=0), []).append(one)
    size = {"group": GROUP, "stable-baselines3": 1}
    return [
        same[begin : begin + size[kind.learner]]
        for kind, same in alike.items()
        for begin in range(0, len(same), size[kind.learner])
    ]


def _train_chunk(chunk: Sequence[Training]) -> list[Trained]:
    if chunk[0].learner == "group":
        return train_group(chunk)
    from simulation.lab.polarity_reference import train  # torch takes seconds to import, and a group does without

    return [train(one) for one in chunk]
