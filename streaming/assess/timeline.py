"""The last events of every account, as (row, time, kind, hash of the id) in flat arrays.

They are what an alert's details show, and how a deletion finds the time of the event it names. Appending is all that
an event costs. When the arrays have doubled, they are compacted to the last `KEPT` events of each account within
`WINDOW_MS` and all events that traces are kept of; so memory follows live accounts and windows, at 17 bytes an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

KEPT: Final = 64
"""Events of an account that the details show (contract)."""

WINDOW_MS: Final = 7 * 86_400_000
"""Events older than a week show no moderator what an account does now."""

TRACES_MS: Final = 48 * 3_600_000
"""How long coordination keeps traces, so that a deletion must find their event whatever came after it."""

_SMALLEST: Final = 65_536
"""Entries below which compacting is not worth a sort."""


class Timeline:
    """Events in the order in which they were handled, so times never decrease."""

    def __init__(self) -> None:
        self._rows = np.zeros(_SMALLEST, np.int32)
        self._times = np.zeros(_SMALLEST, np.int64)
        self._kinds = np.zeros(_SMALLEST, np.int8)
        self._hashes = np.zeros(_SMALLEST, np.uint32)
        self._used = 0
        self._limit = _SMALLEST

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.int64],
        kinds: NDArray[np.int8],
        hashes: NDArray[np.uint32],
    ) -> None:
        """Append n events; `hashes` are of their ids."""
        end = self._used + len(rows)
        if end > self._limit:
            self._compact(int(times[0]))
            end = self._used + len(rows)
            self._limit = max(_SMALLEST, 2 * self._used, end)
            self._resize(self._limit)
        self._rows[self._used : end] = rows
        self._times[self._used : end] = times
        self._kinds[self._used : end] = kinds
        self._hashes[self._used : end] = hashes
        self._used = end

    def find(self, events: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """(row, time) of the events named by (row, hash of id), as far as they are kept."""
        wanted = np.fromiter((row << 32 | name for row, name in events), np.int64)
        if not len(wanted):
            return []
        used = self._used
        keys = self._rows[:used].astype(np.int64) << 32 | self._hashes[:used]
        found = np.flatnonzero(np.isin(keys, wanted))
        return list(zip(self._rows[found].tolist(), self._times[found].tolist(), strict=True))

    def forget(self, rows: Iterable[int]) -> None:
        """Remove all events of accounts that left."""
        gone = np.fromiter(rows, np.int32)
        if len(gone):
            self._keep(~np.isin(self._rows[: self._used], gone))

    def last(self, row: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]:
        """(rows, times, kinds) of the last `KEPT` events of each of the accounts, in order of time."""
        index = np.flatnonzero(np.isin(self._rows[: self._used], row))
        index = index[_rank_from_end(self._rows[index]) < KEPT]
        return self._rows[index], self._times[index], self._kinds[index]

    def _compact(self, now_ms: int) -> None:
        times = self._times[: self._used]
        keep = times >= now_ms - WINDOW_MS
        keep[keep] = _rank_from_end(self._rows[: self._used][keep]) < KEPT
        self._keep(keep | (times >= now_ms - TRACES_MS))

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        kept = int(keep.sum())
        for array in (self._rows, self._times, self._kinds, self._hashes):
            array[:kept] = array[: self._used][keep]
        self._used = kept

    def _resize(self, size: int) -> None:
        for name in ("_rows", "_times", "_kinds", "_hashes"):
            old = getattr(self, name)
            new = np.zeros(size, old.dtype)
            new[: self._used] = old[: self._used]
            setattr(self, name, new)

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        used = self._used
        return {
            "rows": self._rows[:used],
            "times": self._times[:used],
            "kinds": self._kinds[:used],
            "hashes": self._hashes[:used],
            "size": self._limit,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._used = 0
        self._limit = state["size"]
        self._resize(self._limit)
        self._used = len(state["rows"])
        self._rows[: self._used] = state["rows"]
        self._times[: self._used] = state["times"]
        self._kinds[: self._used] = state["kinds"]
        self._hashes[: self._used] = state["hashes"]


def _rank_from_end(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) how many later entries each entry's row has."""
    order = np.argsort(rows[::-1], kind="stable")
    ordered = rows[::-1][order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(rows) else np.zeros(0, np.int64)
    within = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    rank = np.empty(len(rows), np.int64)
    rank[order] = within
    return rank[::-1]
