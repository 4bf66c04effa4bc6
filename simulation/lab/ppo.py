"""PPO for many posters at once: the algorithm of stable-baselines3, with a leading axis for the poster.

Posters do not see each other, so that the same step of ten networks is one matrix product of ten matrices. What is done
is what stable-baselines3 does for one of them with its defaults (Schulman and others 2017, "Proximal policy
optimization algorithms"): two networks of two hidden layers of 64 with tanh, for the mean of a normal policy and for
the value; generalised advantages; ten passes over the steps in batches of 64, advantages normalised in each; Adam;
gradients cut to a norm of 0.5. `tests/simulation/lab/test_ppo.py` holds an update to its own. Ten posters take
about a tenth of the time, because an update of networks this small is mostly the calls around it.

Each poster has a generator of its own, so that what it does is the same in whatever group it learns, but for rounding;
the same group gives the same result to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from simulation.sampling import Flags, Floats

Singles: TypeAlias = npt.NDArray[np.float32]

HIDDEN: Final = 64
"""Units of each of the two hidden layers: the default of stable-baselines3, as all that follows but for `Ppo`."""

TRACE_DECAY: Final = 0.95
"""Lambda of generalised advantages."""

CLIP: Final = 0.2
"""How far the ratio of probabilities is from 1 before it is cut off."""

VALUE_WEIGHT: Final = 0.5
MAX_NORM: Final = 0.5
ADAM_DECAY: Final = (0.9, 0.999)
ADAM_EPSILON: Final = 1e-5
ADVANTAGE_EPSILON: Final = 1e-8

POLICY, VALUE = 0, 1
"""The two networks of a poster, as indices of the first axis of weights."""


class Ppo(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a learner that experiments vary.

    Args:
        n_steps: steps between updates.
        batch: steps of a batch; the last one of a pass is smaller where it does not divide `n_steps`.
        epochs: passes over the steps of an update.
        first_std: standard deviation of the policy before it has learned.
        discount: of the reward of the next step.
    """

    n_steps: int = 2048
    batch: int = 64
    epochs: int = 10
    first_std: float = 1.0
    discount: float = 0.99


class Rollout:
    """Steps of posters until the next update.

    Args:
        size: steps it holds.
        posters: who take them.
        observed: numbers in an observation.
    """

    def __init__(self, size: int, posters: int, observed: int) -> None:
        self.filled = 0
        self._seen, self._following = (np.zeros((size, posters, observed), np.float32) for _ in range(2))
        self._actions = np.zeros((size, posters), np.float32)
        self._rewards = np.zeros((size, posters))
        self._ends = np.zeros(size, np.bool_)

    def add(self, seen: Singles, actions: Singles, rewards: Floats, following: Singles, end: bool) -> None:
        """One step of all posters.

        Args:
            seen: before it, shape (posters, observed).
            actions: as drawn, before they are cut off, shape (posters,).
            rewards: shape (posters,).
            following: seen after it, before a new episode begins, shape (posters, observed).
            end: whether the episode was cut off after it.
        """
        at = self.filled
        self._seen[at], self._actions[at], self._rewards[at], self._following[at] = seen, actions, rewards, following
        self._ends[at] = end
        self.filled += 1

    def taken(self) -> tuple[Singles, Singles, Floats, Singles, Flags]:
        """What `PpoGroup.update` takes; the next step is then the first."""
        self.filled = 0
        return (
            np.ascontiguousarray(self._seen.swapaxes(0, 1)),
            self._actions.T.copy(),
            self._rewards.T.copy(),
            np.ascontiguousarray(self._following.swapaxes(0, 1)),
            self._ends.copy(),
        )


class PpoGroup:
    """Networks of posters, and their updates.

    Args:
        learning_rate: of Adam, one a poster, shape (posters,).
        observed: numbers in an observation.
        rngs: of each poster, for its first weights, its actions and the order of its batches.
        settings: see `Ppo`.
        first_mean: mean of each poster's policy before it has learned, shape (posters,); 0 if it is not given.
    """

    def __init__(
        self,
        learning_rate: Floats,
        observed: int,
        rngs: Sequence[np.random.Generator],
        settings: Ppo,
        first_mean: Floats | None = None,
    ) -> None:
        self.posters = len(learning_rate)
        self.settings = settings
        self._rngs = rngs
        self._rate = learning_rate.astype(np.float32)[None, :, None]
        shapes = ((observed, HIDDEN), (1, HIDDEN), (HIDDEN, HIDDEN), (1, HIDDEN), (HIDDEN, 1), (1, 1))
        size = sum(rows * columns for rows, columns in shapes) + 1  # the last one is log_std, unused by value networks
        self.weights: Singles = np.zeros((2, self.posters, size), np.float32)
        self._gradient = np.zeros_like(self.weights)
        self._first, self._second = np.zeros_like(self.weights), np.zeros_like(self.weights)
        self._updates = 0

        def layers(of: Singles) -> list[Singles]:
            ends = np.cumsum([rows * columns for rows, columns in shapes])
            return [
                of[:, :, end - rows * columns : end].reshape(2, self.posters, rows, columns)
                for end, (rows, columns) in zip(ends, shapes, strict=True)
            ]

        self.layers, self._gradients = layers(self.weights), layers(self._gradient)
        gains = ((2**0.5, 2**0.5), (2**0.5, 2**0.5), (0.01, 1.0))
        for poster, rng in enumerate(rngs):
            for layer, gain in zip(self.layers[::2], gains, strict=True):
                for network in (POLICY, VALUE):
                    layer[network, poster] = gain[network] * _orthogonal(rng, *layer.shape[2:])
        if first_mean is not None:
            self.layers[5][POLICY, :, 0, 0] = first_mean
        self.log_std[:] = np.log(settings.first_std)

    @property
    def log_std(self) -> Singles:
        """Logarithm of the standard deviation of each poster's policy, shape (posters,): a view that can be set."""
        return self.weights[POLICY, :, -1]

    def noise(self) -> Singles:
        """Standard normal draws for the actions until the next update, shape (n_steps, posters)."""
        return np.stack([rng.standard_normal(self.settings.n_steps, np.float32) for rng in self._rngs], axis=1)

    def mean(self, seen: Singles) -> Singles:
        """Mean of the policies, shape (posters,), for what each poster sees, shape (posters, observed)."""
        hidden = seen[:, None, :]
        for weight, bias in ((self.layers[0], self.layers[1]), (self.layers[2], self.layers[3])):
            hidden = np.tanh(hidden @ weight[POLICY] + bias[POLICY])
        return np.asarray((hidden @ self.layers[4][POLICY] + self.layers[5][POLICY])[:, 0, 0], np.float32)

    def _forward(self, seen: Singles) -> tuple[Singles, Singles, Singles]:
        """Both networks' hidden layers and outputs for seen, shape (posters, steps, observed)."""
        one = np.tanh(seen @ self.layers[0] + self.layers[1])
        two = np.tanh(one @ self.layers[2] + self.layers[3])
        return one, two, (two @ self.layers[4] + self.layers[5])[..., 0]

    def value(self, seen: Singles) -> Singles:
        """Values, shape (posters, steps), of what is seen, shape (posters, steps, observed)."""
        return np.asarray(self._forward(seen)[2][VALUE], np.float32)

    def update(self, seen: Singles, actions: Singles, rewards: Floats, following: Singles, ends: Flags) -> None:
        """Learn from the steps since the last update.

        Args:
            seen: before each step, shape (posters, steps, observed).
            actions: as drawn, before they are cut off, shape (posters, steps).
            rewards: shape (posters, steps).
            following: seen after each step, before a new episode begins, shape (posters, steps, observed).
            ends: whether an episode was cut off after a step, shape (steps,); its value then counts as what follows.
        """
        _, _, (mean, value) = self._forward(seen)
        advantages = self._advantages(value, self.value(following), rewards, ends)
        returns = advantages + value
        before = _log_probability(actions, mean, self.log_std[:, None])
        steps = actions.shape[1]
        row = np.arange(self.posters)[:, None]
        for _ in range(self.settings.epochs):
            order = np.stack([rng.permutation(steps) for rng in self._rngs])
            for begin in range(0, steps, self.settings.batch):
                of = row, order[:, begin : begin + self.settings.batch]
                self._descend(seen[of], actions[of], advantages[of], returns[of], before[of])

    def _advantages(self, value: Singles, after: Singles, rewards: Floats, ends: Flags) -> Singles:
        discount = self.settings.discount
        difference = rewards + discount * after - value
        found = np.zeros_like(difference)
        last = np.zeros(self.posters)
        for step in range(difference.shape[1] - 1, -1, -1):
            last = difference[:, step] + (0.0 if ends[step] else discount * TRACE_DECAY) * last
            found[:, step] = last
        return found.astype(np.float32)

    def _descend(self, seen: Singles, actions: Singles, advantages: Singles, returns: Singles, before: Singles) -> None:
        """One step of Adam against the gradient of the loss of a batch."""
        one, two, (mean, value) = self._forward(seen)
        count = np.float32(actions.shape[1])
        log_std = self.log_std[:, None]
        advantages = (advantages - advantages.mean(1, keepdims=True)) / (
            advantages.std(1, ddof=1, keepdims=True) + np.float32(ADVANTAGE_EPSILON)
        )
        ratio = np.exp(_log_probability(actions, mean, log_std) - before)
        used = advantages * ratio <= advantages * np.clip(ratio, 1 - CLIP, 1 + CLIP)
        of_log = -advantages * ratio * used / count
        away = (actions - mean) / np.exp(log_std)
        outer = np.stack([of_log * away / np.exp(log_std), 2 * VALUE_WEIGHT * (value - returns) / count])[..., None]
        gradients = self._gradients
        np.matmul(two.swapaxes(2, 3), outer, out=gradients[4])
        outer.sum(2, keepdims=True, out=gradients[5])
        inner = (outer @ self.layers[4].swapaxes(2, 3)) * (1 - two * two)
        np.matmul(one.swapaxes(2, 3), inner, out=gradients[2])
        inner.sum(2, keepdims=True, out=gradients[3])
        inner = (inner @ self.layers[2].swapaxes(2, 3)) * (1 - one * one)
        np.matmul(seen.swapaxes(1, 2), inner, out=gradients[0])
        inner.sum(2, keepdims=True, out=gradients[1])
        self._gradient[POLICY, :, -1] = (of_log * (away * away - 1)).sum(1)
        norm = np.sqrt(np.einsum("npw,npw->p", self._gradient, self._gradient))[None, :, None]
        self._gradient *= np.minimum(MAX_NORM / (norm + 1e-6), 1)
        self._updates += 1
        for average, decay, gradient in (
            (self._first, ADAM_DECAY[0], self._gradient),
            (self._second, ADAM_DECAY[1], self._gradient * self._gradient),
        ):
            average *= decay
            average += (1 - decay) * gradient
        spread = np.sqrt(self._second) / (1 - ADAM_DECAY[1] ** self._updates) ** 0.5 + ADAM_EPSILON
        self.weights -= self._rate / (1 - ADAM_DECAY[0] ** self._updates) * self._first / spread


def _log_probability(actions: Singles, mean: Singles, log_std: Singles) -> Singles:
    """Of actions under normal policies, but for the constant -log(2 pi) / 2, which every ratio cancels."""
    away = (actions - mean) / np.exp(log_std)
    return np.asarray(-away * away / 2 - log_std, np.float32)


def _orthogonal(rng: np.random.Generator, rows: int, columns: int) -> Floats:
    """A matrix whose shorter side's vectors are orthonormal, drawn uniformly."""
    long, short = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(rng.standard_normal((long, short)))
    q *= np.sign(np.diag(r))
    return np.asarray(q.T if rows < columns else q)
