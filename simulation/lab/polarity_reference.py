"""Posters on the reward platform who learn by stable-baselines3 itself: slower, and what `ppo` is held to."""

from __future__ import annotations

import math
import time

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from simulation.lab.environments import OUTRAGE_PLATFORM
from simulation.lab.outrage_platform import Account
from simulation.lab.polarity_training import EpisodeRow, Trained, Training, measured


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
    """Let one poster learn by stable-baselines3; a row for each episode. Uses one thread."""
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
        n_steps=min(options.ppo.n_steps, total),
        batch_size=options.ppo.batch,
        n_epochs=options.ppo.epochs,
        gamma=options.ppo.discount,
        policy_kwargs={"log_std_init": math.log(options.ppo.first_std)},
        seed=options.seed,
        device="cpu",
    )
    recorder = _Recorder(options.seed)
    # The last update may come after the last episode; steps beyond it belong to no row.
    model.learn(total, callback=recorder)
    rows = recorder.rows[: options.episodes]
    return Trained(options=options, rows=rows, cpu_s=round(time.process_time() - began_s, 1))
