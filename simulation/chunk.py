"""The events of one step, in order of time, as columns; and the kinds by their number in the contract."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from simulation.arrays import Bytes, Flags, Ints
from streaming.observations import Kind

POST: Final = int(Kind.POST)
REPLY: Final = int(Kind.REPLY)
REPOST: Final = int(Kind.REPOST)
QUOTE: Final = int(Kind.QUOTE)
LIKE: Final = int(Kind.LIKE)
FOLLOW: Final = int(Kind.FOLLOW)

OWN: Final = 0
"""Manner: own words. The others say whose words a text is made of."""
VERBATIM: Final = 1
PARAPHRASE: Final = 2
INDEPENDENT: Final = 3
COPIED: Final = 4
HEADLINE: Final = 5


@dataclass
class Chunk:
    """Columns of shape (events,); -1 is none.

    serial: number of the event; at: ms since 1970; account, target_account: rows; kind; target: serial of the event
    reacted to; link, tag: objects; task: the task served; manner: how the words were found; words: the task, link or
    serial they were found in, by manner.
    """

    serial: Ints
    at: Ints
    account: Ints
    kind: Bytes
    target: Ints
    target_account: Ints
    link: Ints
    tag: Ints
    task: Ints
    manner: Bytes
    words: Ints

    def __len__(self) -> int:
        return len(self.serial)

    def where(self, mask: Flags) -> Chunk:
        """The events of `mask`."""
        return Chunk(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    @staticmethod
    def joined(chunks: list[Chunk]) -> Chunk:
        """All events of several chunks, which follow each other in time."""
        return Chunk(**{f.name: np.concatenate([getattr(chunk, f.name) for chunk in chunks]) for f in fields(Chunk)})


def written(kind: Bytes) -> Flags:
    """True for what carries words: posts, replies, quotes."""
    result: Flags = (kind == POST) | (kind == REPLY) | (kind == QUOTE)
    return result
