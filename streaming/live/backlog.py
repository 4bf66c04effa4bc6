"""What was received and is not yet dealt with: a queue between two threads that is bounded in bytes.

Where it is full, whoever receives waits, and does not read its socket; then the server's own buffers fill, and it waits
or hangs up. So nothing is dropped here, whatever comes in, and memory has a bound.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from streaming.live.base import LiveRecord, Lost

BACKLOG_BYTES: Final = 16 << 20
"""Half a minute of Bluesky's posts, and the longest record that there may be."""

RECORD_COST: Final = 200
"""Bytes that a record takes beside its value, so that a flood of empty ones has a bound as well."""


class Backlog:
    """The queue.

    Args:
        limit: bytes; one record is always taken, whatever its size.
    """

    def __init__(self, limit: int = BACKLOG_BYTES) -> None:
        self._limit = limit
        self._waiting: deque[LiveRecord | Lost] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.held = 0
        """Bytes that wait."""
        self.highest = 0
        """The most there were."""

    def put(self, record: LiveRecord | Lost) -> bool:
        """Add a record, once there is room; False where the queue was closed."""
        cost = _cost(record)
        with self._changed:
            while self.held and self.held + cost > self._limit and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            self._waiting.append(record)
            self.held += cost
            self.highest = max(self.highest, self.held)
            self._changed.notify_all()
            return True

    def take(self, most: int, timeout_s: float) -> list[LiveRecord | Lost]:
        """Up to `most` records, in order; none after `timeout_s` without any."""
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(timeout_s)
            taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self.held -= sum(map(_cost, taken))
            if taken:
                self._changed.notify_all()
            return taken

    def close(self) -> None:
        """Take nothing more; what waits can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _cost(record: LiveRecord | Lost) -> int:
    return RECORD_COST + (len(record.value) if isinstance(record, LiveRecord) else 0)
