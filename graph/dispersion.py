"""How much more random groups vary than the bets expect: overdispersion by kind, from the shadows' settled bets."""

from __future__ import annotations

from typing import Final

import msgspec

from graph.touches import TOUCH_KINDS

INFLATION_PRIOR: Final = 20.0
"""Expected hits of prior weight at no overdispersion, so that a handful of shadows' bets does not swing it."""

INFLATION_HALF: Final = 5000.0
"""Expected hits per kind after which the shadows' older record is halved: it follows the platform, slowly."""


class Dispersion(msgspec.Struct, array_like=True):
    """Sums over the shadows' bets, by kind, shape (TOUCH_KINDS,) each."""

    squares: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)
    expected: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)
    hits: list[float] = msgspec.field(default_factory=lambda: [0.0] * TOUCH_KINDS)

    def inflation(self) -> list[float]:
        """Overdispersion of the shadows' hits by kind, at least 1, shape (TOUCH_KINDS,).

        The larger of the upper half's variance over the expectation and of hits over the expectation, both shrunk to 1.
        (Where hits fall short of the expectation, bets are safe already.)
        """
        prior = INFLATION_PRIOR
        return [
            max(1.0, (s + prior) / (e + prior), (h + prior) / (e + prior))
            for s, e, h in zip(self.squares, self.expected, self.hits, strict=True)
        ]

    def record(self, kind: int, hits: int, mu: float) -> None:
        """Add one shadow's settled bet: further members met, and how many were expected."""
        self.squares[kind] += max(hits - mu, 0.0) ** 2
        self.expected[kind] += mu
        self.hits[kind] += hits
        if self.expected[kind] > INFLATION_HALF:
            self.squares[kind] /= 2
            self.expected[kind] /= 2
            self.hits[kind] /= 2
