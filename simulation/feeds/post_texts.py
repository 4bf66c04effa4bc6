"""What the posts of a society with feeds say: each is one of the rated posts that ship, and has its author's ratings.

A post goes against democratic values with its account's probability, which is Beta over accounts; then it is one of the
shipped posts that go against some value, otherwise one that goes against none. Which, is a function of the seed and
the number of the event, so that nothing has to be kept.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detector.text.tokenize import mix
from simulation.feeds.posts import Scores
from simulation.feeds.values import RatedPost, intended, on_scale, shipped_posts
from simulation.population import beta
from simulation.sampling import Floats, Ints, stream
from simulation.world import Chunk, World

HEATED: Final = 0.06
"""Mean share of an account's posts that go against some value. Assumed: what is written is calmer than what is seen."""

HEATED_CONCENTRATION: Final = 1.0
"""a + b of the Beta over accounts: most write no such posts, few write many. Assumed."""


class Content:
    """The words of posts. `texts` and `ratings` (texts, 8): the shipped posts.

    Args:
        world: whose accounts write.
        heated: mean share of posts that go against some value.
    """

    def __init__(self, world: World, heated: float = HEATED) -> None:
        self.texts: tuple[RatedPost, ...] = shipped_posts()
        self.ratings = intended(self.texts)
        self.scale: Scores = on_scale(self.ratings)
        rng = stream(world.seed, "content")
        self.heat: Floats = beta(heated, HEATED_CONCENTRATION, len(world.people), rng)
        self._salt = np.uint64(rng.integers(0, 2**63))
        self._hot = np.flatnonzero(self.scale > 0)
        self._calm = np.flatnonzero(self.scale == 0)

    def index(self, serial: Ints, account: Ints) -> Ints:
        """Which of `texts` the posts of these events and accounts are, shape of `serial`."""
        first = mix(serial.astype(np.uint64) + self._salt)
        uniform = (first >> np.uint64(11)).astype(np.float64) / 2**53
        hot = uniform < self.heat[account]
        drawn = mix(first ^ self._salt) >> np.uint64(1)
        hot_one = self._hot[(drawn % np.uint64(len(self._hot))).astype(np.int64)]
        calm_one = self._calm[(drawn % np.uint64(len(self._calm))).astype(np.int64)]
        return np.where(hot, hot_one, calm_one)

    def __call__(self, chunk: Chunk) -> Scores:
        """Ratings of a step's events, as `society.Rated`."""
        return self.scale[self.index(chunk.serial, chunk.account)]
