"""Who is followed: from an account to the groups it is in, and to the activity that its touches add to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from graph.group import Group


class Followers:
    """Looks accounts up in `groups` (number -> group), which the caller changes and then calls `reset`."""

    def __init__(self, groups: Mapping[int, Group]) -> None:
        self._groups = groups
        self._members: tuple[NDArray[np.int64], list[tuple[int, bool]]] | None = None
        self._lookup: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._targets: list[dict[int, int]] = []

    def count_activity(self, row: NDArray[np.int32], cells: NDArray[np.int64]) -> None:
        """Add the new touches to the activity of every group, shadow and pool that their account is in."""
        rows, codes = self._index()
        order = np.argsort(row, kind="stable")
        ordered = row[order]
        left, right = np.searchsorted(rows, ordered, "left"), np.searchsorted(rows, ordered, "right")
        times = right - left
        total = int(times.sum())
        if not total:
            return
        offset = np.arange(total) - np.repeat(np.cumsum(times) - times, times)
        code = codes[np.repeat(left, times) + offset]
        base = int(cells.min())
        span = int(cells.max()) - base + 1
        key, count = np.unique(code * span + np.repeat(cells[order] - base, times), return_counts=True)
        for k, n in zip(key.tolist(), count.tolist(), strict=True):
            target = self._targets[k // span]
            cell = k % span + base
            target[cell] = target.get(cell, 0) + n

    def _index(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(rows in ascending order, place in `_targets` of the activity they add to)."""
        if self._lookup is None:
            rows: list[int] = []
            codes: list[int] = []
            self._targets = []
            for number in sorted(self._groups):
                group = self._groups[number]
                for bets in (group.bets, group.shadow):
                    if bets is None:
                        continue
                    for accounts, target in ((list(bets.members), bets.active), (list(bets.pool), bets.pool_active)):
                        rows += accounts
                        codes += [len(self._targets)] * len(accounts)
                        self._targets.append(target)
            order = np.argsort(np.array(rows, np.int64), kind="stable")
            self._lookup = np.array(rows, np.int64)[order], np.array(codes, np.int64)[order]
        return self._lookup

    def reset(self) -> None:
        """Groups changed: who is followed is to be looked up anew."""
        self._lookup = None
        self._members = None

    def memberships(
        self, row: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], list[tuple[int, bool]]]:
        """Which groups the accounts of `row` are in: of place n, those of the list from start[n] to stop[n], as (group
        number, whether as a shadow), in order of their numbers.

        Returns:
            start, stop, shape (n,) each, and the list.
        """
        if self._members is None:
            rows: list[int] = []
            each: list[tuple[int, bool]] = []
            for number in sorted(self._groups):
                group = self._groups[number]
                for shadow, bets in ((False, group.bets), (True, group.shadow)):
                    if bets is not None:
                        rows += bets.members
                        each += [(number, shadow)] * len(bets.members)
            found = np.array(rows, np.int64)
            order = np.argsort(found, kind="stable")
            self._members = found[order], [each[place] for place in order.tolist()]
        known, groups = self._members
        return np.searchsorted(known, row, "left"), np.searchsorted(known, row, "right"), groups
