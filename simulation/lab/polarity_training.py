"""Posters that learn on the reward platform, by PPO, and what they posted, episode by episode.

PPO is that of stable-baselines3 with its defaults but for the learning rate: a network of two hidden layers of 64,
2,048 steps between updates, ten passes over them in batches of 64, discount 0.99. Its policy is a normal distribution
over polarity, starting at mean about 0 and standard deviation 1, and what it draws beyond [-1, 1] is cut off there.

A seed decides everything: equal seeds and options give equal rows, on one version of torch and one kind of processor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final

import gymnasium
import msgspec
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from detector.errors import ConfigError, UsageError
from simulation.lab.environments import EPISODE_STEPS, OUTRAGE_PLATFORM
from simulation.lab.outrage_platform import Account, ObservationScale, PostsEnter
from simulation.sampling import Floats, Ints

LEARNING_RATE: Final = 5e-5
"""Of PPO, in the experiment."""

EPISODES: Final = 20
"""The experiment's last figure is that of episode 19."""


UPDATE_STEPS: Final = 2048
"""Steps between updates: the default of stable-baselines3. A training that is shorter as a whole is one update."""


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
    """

    seed: int
    episodes: int = EPISODES
    steps: int = EPISODE_STEPS
    learning_rate: float = LEARNING_RATE
    start: tuple[int, int, int, int] = (*Account(),)
    posts_enter: PostsEnter = "count"
    observation: ObservationScale = "raw"


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


class _Recorder(BaseCallback):
    """Gathers the steps of each episode and makes a row of them at its end."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rows: list[EpisodeRow] = []
        self._seed = seed
        self._polarity: list[float] = []
        self._posts: list[int] = []
        self._reward = 0.0

    def _on_step(self) -> bool:
        info = self.locals["infos"][0]
        self._polarity.append(info["polarity"])
        self._posts.append(info["posts"])
        self._reward += float(self.locals["rewards"][0])
        if self.locals["dones"][0]:
            deviation = self.model.policy.log_std
            assert isinstance(deviation, torch.Tensor)
            row = measured(
                np.array(self._polarity),
                np.array(self._posts),
                seed=self._seed,
                episode=len(self.rows) + 1,
                reward=self._reward,
                policy_std=float(deviation.exp().item()),
            )
            self.rows.append(row)
            self._polarity, self._posts, self._reward = [], [], 0.0
        return True


def train(options: Training) -> Trained:
    """Let one poster learn; a row for each episode. Uses one thread."""
    began_s = time.process_time()
    torch.set_num_threads(1)
    environment = gymnasium.make(
        OUTRAGE_PLATFORM,
        max_episode_steps=options.steps,
        disable_env_checker=True,
        start=Account(*options.start),
        posts_enter=options.posts_enter,
        observation=options.observation,
    )
    total = options.episodes * options.steps
    model = PPO(
        "MlpPolicy",
        environment,
        learning_rate=options.learning_rate,
        n_steps=min(UPDATE_STEPS, total),
        seed=options.seed,
        device="cpu",
    )
    recorder = _Recorder(options.seed)
    # The last update may come after the last episode; steps beyond it belong to no row.
    model.learn(total, callback=recorder)
    rows = recorder.rows[: options.episodes]
    return Trained(options=options, rows=rows, cpu_s=round(time.process_time() - began_s, 1))


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A poster whose training is finished: a line of the file of results. `cpu_s`: processor seconds it took."""

    options: Training
    rows: list[EpisodeRow]
    cpu_s: float


def read_done(path: Path) -> dict[Training, Trained]:
    """Posters whose training is finished; a last line that was cut off in writing is left out.

    Raises:
        ConfigError: another line is none of this file's.
    """
    if not path.exists():
        return {}
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; name another folder") from None
    done = {}
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            break
        try:
            one = msgspec.json.decode(line, type=Trained)
        except msgspec.DecodeError:
            raise ConfigError(
                f"{path}, line {number}: not a result of this command; name another folder, or remove the file"
            ) from None
        done[one.options] = one
    return done


def train_all(wanted: Sequence[Training], path: Path, processes: int) -> Iterator[Trained]:
    """Train posters, several at once; each is written to `path` when it is finished, and is not trained again.

    Args:
        wanted: the posters.
        path: the file of finished ones; others in it stay.
        processes: how many learn at once.

    Yields:
        Each with its rows: those of the file first, then in the order in which they finish.

    Raises:
        UsageError: the file cannot be written.
        ConfigError: it is another file.
    """
    done = read_done(path)
    yield from (done[one] for one in wanted if one in done)
    left = [one for one in wanted if one not in done]
    if not left:
        return
    try:
        file = path.open("ab")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}; name another file") from None
    with file, ProcessPoolExecutor(min(processes, len(left))) as pool:
        whole = sum(len(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
        file.truncate(whole)
        waiting = [pool.submit(train, one) for one in left]
        try:
            for future in as_completed(waiting):
                trained = future.result()
                file.write(msgspec.json.encode(trained) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                yield trained
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
