"""The clock of one partition of `posts`: how far its event time has come, and which records come too late.

Pure and record by record, so that every reader of the same records in the same order has the same clock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final

import msgspec

from detector.errors import LogError
from streaming.schema.observation import NO_TIME

JUMP_MS: Final = 24 * 3_600_000
"""A step of the clock longer than a day is believed only when many events confirm it (CONTRACTS, Late)."""

JUMP_EVENTS: Final = 100
"""Events within `JUMP_MS` of the new time that confirm a jump: one wrong clock must not make everybody else late."""

AGREE_MS: Final = 600_000
"""How near the broker's clock has to be to an event's own time to confirm a jump at once: ten minutes cover queues and
clocks that are roughly kept. Two clocks that do not know of each other are not wrong by the same days."""

LASTING_EVENTS: Final = 10
"""Unconfirmed events, more than those of the old time among them, after which a jump that lasts is believed: of a topic
with few posts a hundred never lie within a day. An account whose clock is wrong is outvoted by all the others."""

LASTING_MS: Final = 6 * 3_600_000
"""How long a jump has to last by its own events' times for that: no single burst, and within half a day's silence."""

SUSPECT_EVENTS: Final = 3
"""The same after which somebody should know that a partition decides nothing: an odd one or two are a wrong clock."""

PENDING_KEPT: Final = 1_000
"""Unconfirmed times that are remembered, the latest seen: ten times what a jump needs, and 8 kB at most."""


class Watermark(msgspec.Struct):
    """Watermark of one partition: highest min(`at`, `stamp`) of its records neither dead nor late, minus the lateness.

    A record more than `JUMP_MS` ahead of that highest time is *not* late: it is accepted and waits like any other, but
    it moves the clock only
    - at once, where the broker stamped it and the stamp is within `AGREE_MS` of the event's time; or
    - when `JUMP_EVENTS` such records lie within `JUMP_MS` of the new time; or
    - when the jump lasts: such records have outnumbered those of the old time by `LASTING_EVENTS`, and one lies
      `LASTING_MS` behind the first of them, to which the clock then goes; or
    - when it has come within `JUMP_MS` of it by itself.
    The very first record sets the clock.

    Args:
        allowed_lateness_ms: how far behind the highest time a record may be without being late.
        high: the highest time, ms; `NO_TIME` before the first record.
        arrived: unconfirmed times, ms, in the order in which they came.
        ahead: how many more records lately had an unconfirmed time than one near the clock.
        ascending: the same in ascending order.

    Raises:
        LogError: the unconfirmed times are none that a watermark can have.
    """

    allowed_lateness_ms: int
    high: int = NO_TIME
    arrived: list[int] = []
    ahead: int = 0
    ascending: list[int] = []

    def __post_init__(self) -> None:
        possible = self.ahead in range(len(self.arrived) + 1) and len(self.arrived) <= PENDING_KEPT
        if not possible or any(time - self.high <= JUMP_MS for time in self.arrived):
            raise LogError("a snapshot holds a watermark that cannot be; start from an older snapshot or from offset 0")
        self.ascending = sorted(self.arrived)

    @property
    def value(self) -> int:
        """The watermark, ms since 1970; `NO_TIME` before the first record. It never falls."""
        return NO_TIME if self.high == NO_TIME else self.high - self.allowed_lateness_ms

    @property
    def unconfirmed(self) -> int:
        """Events so far ahead of the clock that it has not followed them; the oldest are forgotten."""
        return len(self.arrived)

    @property
    def suspect(self) -> bool:
        """Whether lately most records were so far ahead that this clock is likely the wrong one."""
        return self.ahead >= SUSPECT_EVENTS

    def see(self, at: int, stamp: int = -1, broker_stamp: bool = False) -> bool:
        """Take note of one record that is not dead; True when it is late (and then nothing else changes).

        Args:
            at: event time, ms since 1970.
            stamp: when the record was written, ms since 1970; -1 where it does not say.
            broker_stamp: whether the broker, not the record's writer, said so.
        """
        high = self.high
        if high == NO_TIME:
            self.high = at if stamp < 0 else min(at, stamp)
            return False
        if at < high - self.allowed_lateness_ms:
            return True
        time = at if stamp < 0 or at < stamp else stamp
        if time - high <= JUMP_MS:
            if self.ahead:
                self.ahead -= 1
            if time <= high:
                return False
            self.high = time
        elif broker_stamp and -AGREE_MS <= at - stamp <= AGREE_MS:
            self.high = time
        else:
            self._wait(time)
        if self.ascending:
            self._settle(time)
        return False

    def raise_to(self, watermark: int) -> None:
        """The watermark is at least `watermark` (ms) from here on: an idle mark, or what an earlier writer had reached.

        A lower value than the present one changes nothing.
        """
        if watermark != NO_TIME and watermark > self.value:
            self.high = watermark + self.allowed_lateness_ms
            if self.ascending:
                self._settle(self.high)

    def state(self) -> tuple[int, list[int], int]:
        """(highest time, unconfirmed times in order of arrival, their majority): all that `from_state` needs."""
        return self.high, list(self.arrived), self.ahead

    @classmethod
    def from_state(cls, state: tuple[int, list[int], int], allowed_lateness_ms: int) -> Watermark:
        """The watermark that `state()` described.

        Raises:
            LogError: the state is none that `state()` writes.
        """
        high, arrived, ahead = state
        return cls(allowed_lateness_ms, int(high), [int(time) for time in arrived], int(ahead))

    def _wait(self, time: int) -> None:
        self.ahead = min(self.ahead + 1, PENDING_KEPT)
        if len(self.arrived) == PENDING_KEPT:
            del self.ascending[bisect_left(self.ascending, self.arrived.pop(0))]
        self.arrived.append(time)
        insort(self.ascending, time)

    def _settle(self, time: int) -> None:
        """Move on to waiting times that are no jump any more, or that enough others confirm.

        Only times within `JUMP_MS` of `time`, the latest seen, can have been confirmed by it.
        """
        waiting = self.ascending
        left = len(waiting)
        while True:
            near = bisect_right(waiting, self.high + JUMP_MS)
            if near:
                self.high = max(self.high, waiting[near - 1])
                del waiting[:near]
                continue
            confirmed = self._confirmed(time)
            if confirmed == NO_TIME:
                break
            self.high = confirmed
        if len(waiting) < left:
            self.arrived = [other for other in self.arrived if other - self.high > JUMP_MS]
            self.ahead = min(self.ahead, len(self.arrived))

    def _confirmed(self, time: int) -> int:
        """The time to which the clock may jump, else `NO_TIME`.

        It is the highest waiting time near `time` with `JUMP_EVENTS` waiting times around it, or, where the jump has
        lasted, the lowest one: those that go further follow from there, if they are not wrong themselves.
        """
        waiting = self.ascending
        if self.ahead >= LASTING_EVENTS and waiting and time - waiting[0] >= LASTING_MS:
            return waiting[0]
        if len(waiting) < JUMP_EVENTS:
            return NO_TIME
        first, last = bisect_left(waiting, time - JUMP_MS), bisect_right(waiting, time + JUMP_MS)
        for candidate in reversed(waiting[first:last]):
            around = bisect_right(waiting, candidate + JUMP_MS) - bisect_left(waiting, candidate - JUMP_MS)
            if around >= JUMP_EVENTS:
                return candidate
        return NO_TIME
