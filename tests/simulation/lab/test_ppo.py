"""PPO of many posters at once does to each of them what stable-baselines3 does to one."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger

from simulation.lab.environments import OUTRAGE_PLATFORM
from simulation.lab.ppo import Ppo, PpoGroup, Rollout, Singles

STEPS = 128
SETTINGS = Ppo(n_steps=STEPS, epochs=3)
RATE = 3e-3


def rngs(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def rollout(posters: int) -> tuple[Any, ...]:
    """Random steps, an episode ending among them, as `PpoGroup.update` takes them."""
    rng = np.random.default_rng(1)
    batch = Rollout(STEPS, posters, 4)
    for step in range(STEPS):
        seen, following = rng.standard_normal((2, posters, 4)).astype(np.float32)
        batch.add(
            seen,
            rng.standard_normal(posters).astype(np.float32),
            rng.poisson(1.0, posters).astype(np.float64),
            following,
            step == 70,
        )
    return batch.taken()


def reference(group: PpoGroup, poster: int) -> PPO:
    """A learner of stable-baselines3 with the weights of a poster."""
    model = PPO(
        "MlpPolicy", gymnasium.make(OUTRAGE_PLATFORM), learning_rate=RATE, n_steps=STEPS, n_epochs=3, device="cpu"
    )
    model.set_logger(Logger(None, []))
    model.policy.load_state_dict(weights(group, poster))
    return model


def weights(group: PpoGroup, poster: int) -> dict[str, torch.Tensor]:
    """Of a poster, under the names of stable-baselines3."""
    found = {"log_std": group.log_std[poster : poster + 1]}
    for network, name, last in ((0, "policy", "action"), (1, "value", "value")):
        names = f"mlp_extractor.{name}_net.0", f"mlp_extractor.{name}_net.2", f"{last}_net"
        for number, layer in enumerate(names):
            found[f"{layer}.weight"] = group.layers[2 * number][network, poster].T
            found[f"{layer}.bias"] = group.layers[2 * number + 1][network, poster, 0]
    return {name: torch.tensor(np.ascontiguousarray(value)) for name, value in found.items()}


def test_an_update_is_that_of_stable_baselines3(monkeypatch: pytest.MonkeyPatch) -> None:
    group = PpoGroup(np.array([RATE, RATE]), 4, rngs(3, 4), SETTINGS)
    models = [reference(group, poster) for poster in range(2)]
    seen, actions, rewards, following, ends = rollout(2)
    group.update(seen, actions, rewards, following, ends)
    assert len(models) == 2
    for poster, model in enumerate(models):
        before = {name: value.clone() for name, value in model.policy.state_dict().items()}
        buffer = model.rollout_buffer
        with torch.no_grad():
            values, logs, _ = model.policy.evaluate_actions(
                torch.tensor(seen[poster]), torch.tensor(actions[poster])[:, None]
            )
            after = model.policy.predict_values(torch.tensor(following[poster]))
        buffer.observations[:, 0], buffer.actions[:, 0, 0] = seen[poster], actions[poster]
        # Where an episode is cut off, the value of what follows is part of the reward; elsewhere it is the next step's.
        # Here nothing that follows is the next thing seen, so that every step is made one: delta is the same.
        buffer.values, buffer.log_probs = values.numpy(), logs.numpy()[:, None]
        advantages = group_advantages(rewards[poster], values[:, 0].numpy(), after[:, 0].numpy(), ends)
        buffer.advantages, buffer.returns = advantages[:, None], (advantages + values[:, 0].numpy())[:, None]
        buffer.full, buffer.generator_ready = True, False
        same = rngs(3, 4)[poster]
        drawn_before_the_first_batch(same)
        monkeypatch.setattr(np.random, "permutation", same.permutation)
        model.train()
        for name, value in weights(group, poster).items():
            assert torch.allclose(value, model.policy.state_dict()[name], atol=2e-5), name
            assert not torch.allclose(value, before[name], atol=2e-4), name


def drawn_before_the_first_batch(rng: np.random.Generator) -> None:
    """First weights take draws from a poster's generator."""
    PpoGroup(np.array([RATE]), 4, [rng], SETTINGS)


def group_advantages(rewards: Any, values: Singles, after: Singles, ends: Any) -> Singles:
    """Generalised advantages by their definition: the sum of decayed differences up to the end of the episode."""
    difference = rewards + 0.99 * after - values
    found = np.zeros(STEPS, np.float32)
    for step in range(STEPS):
        for ahead in range(step, STEPS):
            found[step] += (0.99 * 0.95) ** (ahead - step) * difference[ahead]
            if ends[ahead]:
                break
    return found


def test_a_poster_is_the_same_in_any_group_but_for_rounding() -> None:
    def learned(*seeds: int) -> Singles:
        group = PpoGroup(np.full(len(seeds), RATE), 4, rngs(*seeds), SETTINGS)
        group.update(*(part[: len(seeds)] if part.ndim > 1 else part for part in rollout(2)))
        return group.weights[:, 0]

    assert np.allclose(learned(5, 6), learned(5), atol=1e-4)
    assert not np.allclose(learned(5), learned(6), atol=1e-2)
    assert np.array_equal(learned(5, 6), learned(5, 6))


def test_a_poster_learns_what_it_is_rewarded_for() -> None:
    group = PpoGroup(np.array([1e-2]), 1, rngs(0), Ppo(n_steps=256), first_mean=np.array([0.5]))
    seen = np.ones((1, 256, 1), np.float32)
    assert group.mean(seen[:, 0])[0] == pytest.approx(0.5, abs=0.1)
    for _ in range(12):
        drawn = group.mean(seen[:, 0])[:, None] + np.exp(group.log_std) * group.noise().T
        actions = np.asarray(drawn, np.float32)
        group.update(seen, actions, -np.square(actions + 1.0).astype(float), seen, np.zeros(256, np.bool_))
    assert group.mean(seen[:, 0])[0] < -0.5
