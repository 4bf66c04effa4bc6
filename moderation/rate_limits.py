"""How often somebody may ask. Counts are kept in memory by the library `limits`, so they are per process.

A limit is a sliding window: at most so many requests within its length, the window before counting with the share of it
that is still covered. It lets a burst through and then about one request in (length / number) seconds. The library's
moving window would be exact, but keeps a list for every key it ever saw, and login names are chosen by strangers.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

MAX_KEYS: Final = 10_000
"""Keys counted at once; beyond that the oldest is dropped, so that invented names and addresses fill no memory."""


class RateLimit:
    """At most `requests` of one key within `seconds`.

    Args:
        requests: how many.
        seconds: length of the window.
    """

    def __init__(self, requests: int, seconds: int) -> None:
        self._item = RateLimitItemPerSecond(requests, seconds)
        self._storage = MemoryStorage()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    def admit(self, key: str) -> bool:
        """Count a request of `key`; False, counting nothing, where its limit is reached."""
        admitted = self._limiter.hit(self._item, key)
        self._forget_oldest()
        return admitted

    def _forget_oldest(self) -> None:
        while len(self._storage.storage) > MAX_KEYS:
            oldest = next(iter(self._storage.storage), None)
            if oldest is not None:
                self._storage.clear(oldest)


class FailureLimit(RateLimit):
    """At most `requests` failures of one key within `seconds`; what succeeds counts nothing.

    Attempts that have begun and not ended count as if they had failed, so that many at once get no further than one
    after the other.
    """

    def __init__(self, requests: int, seconds: int) -> None:
        super().__init__(requests, seconds)
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()

    def used_up(self, key: str) -> bool:
        """Whether no more failures of `key` are admitted now."""
        return not self._limiter.test(self._item, key)

    def begin(self, key: str) -> bool:
        """Begin an attempt of `key`, to be settled; False where its limit is reached."""
        with self._lock:
            if self._limiter.get_window_stats(self._item, key).remaining <= self._begun[key]:
                return False
            self._begun[key] += 1
            return True

    def settle(self, key: str, *, failed: bool) -> None:
        """End an attempt of `key` that was begun."""
        with self._lock:
            self._begun[key] -= 1
            if self._begun[key] <= 0:
                del self._begun[key]
            if failed:
                self.fail(key)

    def fail(self, key: str) -> None:
        """Count a failure of `key`."""
        self._limiter.hit(self._item, key)
        self._forget_oldest()
