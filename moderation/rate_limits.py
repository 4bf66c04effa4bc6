"""How often somebody may ask. Counts are kept in memory by the library `limits`, so they are per process.

A limit is a sliding window: at most so many requests within its length, the window before counting with the share of it
that is still covered. It lets a burst through and then about one request in (length / number) seconds. The library's
moving window would be exact, but keeps a list for every key it ever saw, and login names are chosen by strangers.
"""

from __future__ import annotations

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
        while len(self._storage.storage) > MAX_KEYS:
            oldest = next(iter(self._storage.storage), None)
            if oldest is not None:
                self._storage.clear(oldest)
        return admitted
