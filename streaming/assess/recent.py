"""Remembers keys for a while of event time, in two generations, so that forgetting costs nothing per key."""

from __future__ import annotations

import hashlib
from typing import Any, Final

KEY_BYTES: Final = 12
"""96 bits: among 10^9 keys remembered at once, two collide with probability 10^-11."""


def event_key(account: str, event: str) -> bytes:
    """The identity of an event (contract: the pair of account and id) in a fixed size."""
    name = account.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(
        b"%d:%b%b" % (len(name), name, event.encode("utf-8", "surrogatepass")), digest_size=KEY_BYTES
    ).digest()


class Recent:
    """Key -> time, forgotten `window_ms` of event time later. Times put must not decrease.

    Args:
        window_ms: how long a key is remembered (inclusive).
    """

    def __init__(self, window_ms: int) -> None:
        self._window = window_ms
        self._width = max(window_ms, 1)
        self._generation = -(2**62)
        self._now: dict[bytes, int] = {}
        self._before: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def get(self, key: bytes, at_ms: int) -> int | None:
        """The time under which `key` was put, if that is at most the window before `at_ms`."""
        put = self._now.get(key)
        if put is None:
            put = self._before.get(key)
        return put if put is not None and at_ms - put <= self._window else None

    def put(self, key: bytes, at_ms: int) -> None:
        """Remember `key`; an older time of it is replaced."""
        generation = at_ms // self._width
        if generation != self._generation:
            self._before = self._now if generation == self._generation + 1 else {}
            self._now = {}
            self._generation = generation
        self._now[key] = at_ms

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {
            "generation": self._generation,
            "now": [b"".join(self._now), list(self._now.values())],
            "before": [b"".join(self._before), list(self._before.values())],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._generation = state["generation"]
        self._now, self._before = (
            {keys[i * KEY_BYTES : (i + 1) * KEY_BYTES]: at for i, at in enumerate(times)}
            for keys, times in (state["now"], state["before"])
        )
