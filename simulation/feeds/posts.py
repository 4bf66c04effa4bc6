"""What a platform knows of every recent post when it ranks: counts of reactions, how often it was shown, its rating.

The columns stand beside those of the simulator's `actors.Feed`, slot by slot, and are as old as it keeps texts. What
accounts have written or reposted last is kept of each (`carried`): that is what their followers can be shown; and what
each was shown last (`seen`).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulation.actors import Feed, LastOfEach
from simulation.sampling import HOUR_MS, Flags, Floats, Ints
from simulation.world import LIKE, QUOTE, REPLY, REPOST, Chunk, written

Scores: TypeAlias = NDArray[np.float32]

CARRIED: Final = 3
"""Posts of an account, own or reposted, that its followers can still be shown: the top of a profile."""

REMEMBERED: Final = 32
"""Posts that a reader was shown last and is not shown again: three pages."""

_COUNTS: Final = ("likes", "reposts", "replies", "shown")
_COLUMNS: Final = (*_COUNTS, "rating", "hidden")


class Posts:
    """Columns (posts,), slot by slot those of the simulator's feed.

    likes, reposts, replies (quotes among them), shown: whole numbers so far; rating: how far the post goes against
    democratic values, 0 to 1 (`values`); hidden: it is not there for readers.

    Args:
        feed: the simulator's recent texts.
        accounts: how many there are.
    """

    def __init__(self, feed: Feed, accounts: int) -> None:
        self.feed = feed
        self.base = feed.base
        self.likes = np.zeros(0, np.int32)
        self.reposts = np.zeros(0, np.int32)
        self.replies = np.zeros(0, np.int32)
        self.shown = np.zeros(0, np.int32)
        self.rating: Scores = np.zeros(0, np.float32)
        self.hidden: Flags = np.zeros(0, bool)
        self.carried = LastOfEach(accounts, CARRIED)
        self.seen = LastOfEach(accounts, REMEMBERED)

    def __len__(self) -> int:
        return len(self.likes)

    def age_h(self, now_ms: int) -> Floats:
        """Hours since each post was written."""
        result: Floats = (now_ms - self.feed.at[: len(self)]) / HOUR_MS
        return result

    def engagement(self) -> Ints:
        """Reactions of all kinds to each post."""
        return (self.likes + self.reposts + self.replies).astype(np.int64)

    def forget(self) -> None:
        """Drop what the simulator's feed has dropped."""
        cut = min(self.feed.base - self.base, len(self))
        for name in _COLUMNS if cut else ():
            setattr(self, name, getattr(self, name)[cut:])
        self.base = self.feed.base

    def take(self, chunk: Chunk, rating: Scores) -> None:
        """Take in what a step brought: new posts, and reactions to those there are.

        Args:
            chunk: the step's events.
            rating: shape (events,), of what carries words.
        """
        self.forget()
        feed, old = self.feed, len(self)
        new = len(feed.serial) - old
        for name in _COLUMNS:
            column = getattr(self, name)
            setattr(self, name, np.concatenate((column, np.zeros(new, column.dtype))))
        texts = np.flatnonzero(written(chunk.kind))
        slots = self.slots(chunk.serial[texts])
        self.hidden[old:] = True  # a reply that found nothing to reply to was never sent
        self.hidden[slots] = False
        self.rating[slots] = rating[texts]
        target = self.slots(chunk.target)
        for column, kinds in ((self.likes, (LIKE,)), (self.reposts, (REPOST,)), (self.replies, (REPLY, QUOTE))):
            hit = np.isin(chunk.kind, kinds) & (target >= 0)
            np.add.at(column, target[hit], 1)
        carries = np.full(len(chunk), -1, np.int64)
        carries[texts] = slots
        spread = (chunk.kind == REPOST) & (target >= 0)
        carries[spread] = target[spread]
        noted = np.flatnonzero(carries >= 0)
        self.carried.note(chunk.account[noted], carries[noted] + self.base)

    def slots(self, serial: Ints) -> Ints:
        """Where the posts of these events are kept; -1 for those gone or none."""
        kept = self.feed.serial
        if not len(kept):
            return np.full(len(serial), -1, np.int64)
        place = np.minimum(np.searchsorted(kept, serial), len(kept) - 1)
        return np.where(kept[place] == serial, place, -1).astype(np.int64)
