"""How often somebody may ask: token buckets in memory, so per process; the clock is an argument."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

MOST_KEYS: Final = 10_000
"""Buckets remembered; beyond that the one unused for longest is forgotten."""


class Limiter:
    """Lets `burst` requests of one key through at once, and then `per_s` a second."""

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, key: str, now_s: float) -> bool:
        """Take one from the bucket of `key`; False where it is empty."""
        with self._lock:
            left, at = self._buckets.pop(key, (float(self._burst), now_s))
            left = min(float(self._burst), left + max(0.0, now_s - at) * self._per_s)
            good = left >= 1
            self._buckets[key] = (left - 1 if good else left, now_s)
            while len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
            return good

    def forgive(self, key: str) -> None:
        """Fill a bucket: whoever it belongs to has shown who they are."""
        with self._lock:
            self._buckets.pop(key, None)
