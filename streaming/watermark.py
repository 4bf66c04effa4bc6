"""The clock of one partition of `posts`: how far its event time has come, and which records come too late.

Pure and record by record, so that every reader of the same records in the same order has the same clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from typing import Final

from detector.errors import LogError
from streaming.schema.observation import NO_TIME

JUMP_MS: Final = 24 * 3_600_000
"""A step of the clock longer than a day is believed only when many events confirm it (CONTRACTS, Late)."""

JUMP_EVENTS: Final = 100
"""Events within `JUMP_MS` of the new time that confirm a jump: one wrong clock must not make everybody else late."""

PENDING_KEPT: Final = 1_000
"""Unconfirmed times that are remembered, the latest seen: ten times what a jump needs, and 8 kB at most."""


class Watermark:
    """Watermark of one partition: highest min(`at`, `stamp`) of its records neither dead nor late, minus the lateness.

    A record more than `JUMP_MS` ahead of that highest time is *not* late: it is accepted and waits like any other, but
    it moves the clock only once `JUMP_EVENTS` such records lie within `JUMP_MS` of the new time, or once the clock has
    come within `JUMP_MS` of it by itself. The very first record sets the clock.

    Args:
        allowed_lateness_ms: how far behind the highest time a record may be without being late.
    """

    __slots__ = ("_allowed", "_arrived", "_high", "_sorted")

    def __init__(self, allowed_lateness_ms: int) -> None:
        self._allowed = allowed_lateness_ms
        self._high = NO_TIME
        self._arrived: deque[int] = deque()
        self._sorted: list[int] = []

    @property
    def value(self) -> int:
        """The watermark, ms since 1970; `NO_TIME` before the first record. It never falls."""
        return NO_TIME if self._high == NO_TIME else self._high - self._allowed

    def see(self, at: int, stamp: int = -1) -> bool:
        """Take note of one record that is not dead; True when it is late (and then nothing else changes).

        Args:
            at: event time, ms since 1970.
            stamp: when the record was written, ms since 1970; -1 where it does not say.
        """
        high = self._high
        if high == NO_TIME:
            self._high = at if stamp < 0 else min(at, stamp)
            return False
        if at < high - self._allowed:
            return True
        time = at if stamp < 0 or at < stamp else stamp
        if time <= high:
            return False
        if time - high <= JUMP_MS:
            self._high = time
        else:
            self._wait(time)
        if self._sorted:
            self._settle(time)
        return False

    def raise_to(self, watermark: int) -> None:
        """The watermark is at least `watermark` (ms) from here on: an idle mark, or what an earlier writer had reached.

        A lower value than the present one changes nothing.
        """
        if watermark != NO_TIME and watermark > self.value:
            self._high = watermark + self._allowed
            if self._sorted:
                self._settle(self._high)

    def state(self) -> tuple[int, list[int]]:
        """(highest time, unconfirmed times in order of arrival): all that `from_state` needs."""
        return self._high, list(self._arrived)

    @classmethod
    def from_state(cls, state: tuple[int, list[int]], allowed_lateness_ms: int) -> Watermark:
        """The watermark that `state()` described.

        Raises:
            LogError: the state is none that `state()` writes.
        """
        high, arrived = state
        if len(arrived) > PENDING_KEPT or any(time - high <= JUMP_MS for time in arrived):
            raise LogError("a snapshot holds a watermark that cannot be; start from an older snapshot or from offset 0")
        watermark = cls(allowed_lateness_ms)
        watermark._high = int(high)
        watermark._arrived = deque(int(time) for time in arrived)
        watermark._sorted = sorted(watermark._arrived)
        return watermark

    def _wait(self, time: int) -> None:
        if len(self._arrived) == PENDING_KEPT:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
        self._arrived.append(time)
        insort(self._sorted, time)

    def _settle(self, time: int) -> None:
        """Move on to waiting times that are no jump any more, or that enough others confirm.

        Only times within `JUMP_MS` of `time`, the latest seen, can have been confirmed by it.
        """
        waiting = self._sorted
        high = self._high
        while True:
            near = bisect_right(waiting, high + JUMP_MS)
            if near:
                high = max(high, waiting[near - 1])
                del waiting[:near]
                continue
            confirmed = self._confirmed(time)
            if confirmed == NO_TIME:
                break
            high = confirmed
        if high != self._high:
            self._high = high
            self._arrived = deque(other for other in self._arrived if other - high > JUMP_MS)

    def _confirmed(self, time: int) -> int:
        """The highest waiting time near `time` with `JUMP_EVENTS` waiting times around it, else `NO_TIME`."""
        waiting = self._sorted
        if len(waiting) < JUMP_EVENTS:
            return NO_TIME
        first, last = bisect_left(waiting, time - JUMP_MS), bisect_right(waiting, time + JUMP_MS)
        for candidate in reversed(waiting[first:last]):
            around = bisect_right(waiting, candidate + JUMP_MS) - bisect_left(waiting, candidate - JUMP_MS)
            if around >= JUMP_EVENTS:
                return candidate
        return NO_TIME
