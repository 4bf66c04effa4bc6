"""What a live source is, what it gives, and where a broken connection is taken up again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol

import msgspec

from streaming.sources.base import FileRecord

MICROSECONDS: Final = 1_000_000
"""In a second: positions are in the unit of Jetstream's cursor."""

SKEW_US: Final = 60 * MICROSECONDS
"""How far ahead of our clock a position may be: a minute for clocks that are roughly kept. One from further ahead would
move the cursor beyond records that are still to come."""


class LiveRecord(NamedTuple):
    """One record of a stream.

    Args:
        value: its bytes, in the input format of the source.
        position: when it was seen, in microseconds since 1970, as the platform counts; -1 where it does not say.
        token: the platform's own name of this place in the stream, where it has names; "" where not.
    """

    value: bytes
    position: int
    token: str = ""


class StreamPosition(msgspec.Struct, frozen=True):
    """Where to go on: everything up to it was taken.

    Args:
        position: microseconds since 1970; -1 for the present.
        token: the platform's name of the place; "" where there is none.
    """

    position: int = -1
    token: str = ""


PRESENT: Final = StreamPosition()
"""From now on."""


class Lost(NamedTuple):
    """What cannot be read any more: where a source says so in place of records.

    Args:
        what: a sentence for people.
    """

    what: str


class LiveSource(Protocol):
    """A public stream."""

    name: str
    """Of the platform: `bluesky`, `mastodon`."""

    host: str
    """Named in messages."""

    identity: str
    """What is followed: a checkpoint of another is not gone on from."""

    overlap_us: int
    """How much is asked for again after a cut, since the end of what came is not sharp."""

    def connect(self, place: StreamPosition) -> AbstractContextManager[Iterator[LiveRecord | Lost]]:
        """Connect, and give records from a place on until the connection breaks.

        Raises:
            DeliveryError: no connection, or it broke; while iterating as well.
        """
        ...

    def interrupt(self) -> None:
        """Have the connection end; called from another thread."""
        ...

    def converting(self) -> Callable[[bytes], FileRecord]:
        """A function that makes post events of records in their order; it may remember earlier ones."""
        ...


class Progress:
    """How far a stream was taken, and where to go on: a little before the newest record.

    Args:
        place: where it begins.
        overlap_us: how far before.
    """

    def __init__(self, place: StreamPosition, overlap_us: int) -> None:
        self._overlap_us = overlap_us
        self._begun = place
        self.newest = place.position
        """Highest position so far; -1 before the first."""
        self._recent: deque[tuple[int, str]] = deque()
        self._token = place.token

    def take(self, position: int, token: str) -> None:
        """Note a record."""
        self.newest = max(self.newest, position)
        if not token:
            return
        # Before one is as old as the overlap, the first that came is the best there is.
        self._token = self._token or token
        self._recent.append((position, token))
        floor = self.newest - self._overlap_us
        while self._recent and self._recent[0][0] < floor:
            self._token = self._recent.popleft()[1]

    @property
    def place(self) -> StreamPosition:
        """Where to go on."""
        if self.newest < 0:
            return self._begun
        return StreamPosition(max(self.newest - self._overlap_us, self._begun.position), self._token)
