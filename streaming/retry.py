"""How long to wait before something that failed is tried again: doubling waits, each drawn at random below its bound.

What tries again (a webhook, a public stream) gives its own bounds; the draw spreads many clients of one service that
failed at the same moment, which would otherwise all come back together (M. Brooker, "Exponential Backoff And Jitter",
AWS Architecture Blog, 2015; this is its "equal jitter": half of the wait is certain, so that none is nearly 0).
"""

from __future__ import annotations

import random
from typing import Final

DOUBLINGS: Final = 30
"""After so many failures the wait has long reached any bound; more would only make a number too large to use."""


class Backoff:
    """Waits after failures in a row.

    Args:
        first_s: bound of the first wait, seconds.
        longest_s: bound that no wait passes, unless the other side asked for more.
        draw: gives a number in [0, 1).
    """

    def __init__(self, first_s: float, longest_s: float, draw: random.Random | None = None) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._draw = draw if draw is not None else random.Random()
        self.failures = 0
        """In a row, so far."""

    def failed(self, asked_s: float | None = None) -> float:
        """Note a failure; the seconds to wait now.

        Args:
            asked_s: what the other side asked for (`Retry-After`); the wait is not shorter, and at most ten times
                `longest_s`, so that no answer can stop us for good.
        """
        bound = min(self._longest_s, self._first_s * 2.0 ** min(self.failures, DOUBLINGS))
        self.failures += 1
        wait = bound / 2 + self._draw.random() * bound / 2
        return wait if asked_s is None else max(wait, min(asked_s, 10 * self._longest_s))

    def succeeded(self) -> None:
        """Begin with the shortest wait again."""
        self.failures = 0
