"""Habits: how much of what is done with an author's posts a group does anyway.

People who follow one author meet on its posts, day by day, without any agreement. So a member's touch of a post is
expected at least as often as members were among those who touched the author's other posts before.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from graph.touches import HOUR_MS, CoordinationSettings
from graph.window import FREE, NO_AUTHOR, TouchWindow

HABIT_PRIOR: Final = 2.0
"""Touches of the author's other posts at which they count as much as activity and affinity."""

HABIT_LAST: Final = 200
"""Touches of an author's posts that are read, the newest: more say no more."""

REFRESH_MS: Final = HOUR_MS
"""How often the record is read anew."""


class Habits:
    """Who touched whose posts, as of the last full hour before `now_ms`; the same whenever in that hour it is made."""

    def __init__(self, window: TouchWindow, now_ms: int, settings: CoordinationSettings) -> None:
        self.until_ms = now_ms // REFRESH_MS * REFRESH_MS
        at, row, slot = window.view()
        low = int(np.searchsorted(at, self.until_ms - settings.window_ms + REFRESH_MS))
        high = int(np.searchsorted(at, self.until_ms))
        at, row, slot = at[low:high], row[low:high], slot[low:high]
        author = window.author[slot]
        known = np.flatnonzero((author != NO_AUTHOR) & (row != FREE))
        order = known[np.argsort(author[known], kind="stable")]
        self._author: NDArray[np.int64] = author[order]
        self._at, self._row, self._slot = at[order], row[order], slot[order]

    def share(self, author: int, slot: int, before_ms: int, opener: int, members: Collection[int]) -> tuple[int, int]:
        """(touches by `members`, touches by anybody) of the author's posts but the one in `slot`, before `before_ms`;
        those of `opener` left out."""
        low, high = np.searchsorted(self._author, (author, author + 1)).tolist()
        high = low + int(np.searchsorted(self._at[low:high], before_ms))
        low = max(low, high - HABIT_LAST)
        mine = total = 0
        for row, other in zip(self._row[low:high].tolist(), self._slot[low:high].tolist(), strict=True):
            if other != slot and row != opener:
                total += 1
                mine += row in members
        return mine, total
