"""What accounts left traces on: the last traces of every account, for weeks, with the objects they name.

Coordination is looked for by comparing what accounts used, and a slow campaign meets once in days. So the memory goes
by account, not by time: `TRACES_PER_ACCOUNT` of each, none older than `MAX_AGE_MS`. Appending costs the same whatever
is held; once the memory has doubled, what lies beyond the bounds is dropped, and counted where it was young enough.

Nothing is summed up here: deleting an event or an account takes its traces away, and with them everything that was
concluded from them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector.errors import LogError
from graph.traces import DAY_MS, KIND_NAMES, KIND_TABLE, KINDS, WINDOW_MS, Trace

TRACES_PER_ACCOUNT: Final = 256
"""Traces kept of each account: with some three to an event, days of the busiest person and weeks of others. Half of it
dropped many of what two days brought."""

MAX_AGE_MS: Final = 60 * DAY_MS
"""Age at which a trace is dropped: campaigns of two months show whole."""

FREE: Final = -1
"""Row of a trace that was forgotten, kind of a slot that is free, and `other` where nobody is acted upon."""

_LEAST: Final = 4096
"""Traces from which on the memory is tidied at all."""

Ints = NDArray[np.int64]


class TraceView(NamedTuple):
    """Traces of n accounts in arrays of shape (m,), sorted by time, then account, kind and object.

    Nothing in it depends on the numbers of rows. Objects are numbered from 0 without gaps.

    Args:
        names: of the accounts, sorted, n of them.
        rows: row of each account, shape (n,).
        at: time of a trace, ms.
        account: place in `names`.
        kind: place in `KIND_TABLE`.
        item: number of the object.
        other: place in `names` of the account acted upon, -1 where there is none among these.
        keys: key of each object.
    """

    names: list[str]
    rows: Ints
    at: Ints
    account: Ints
    kind: Ints
    item: Ints
    other: Ints
    keys: list[str]


class TraceMemory:
    """Traces in the order in which they came. Rows are the caller's; nothing depends on their numbers."""

    def __init__(self) -> None:
        self._used = 0
        self._at = np.zeros(_LEAST, np.int64)
        self._row = np.zeros(_LEAST, np.int32)
        self._slot = np.zeros(_LEAST, np.int32)
        self._other = np.zeros(_LEAST, np.int32)
        self._slots: list[dict[str, int]] = [{} for _ in range(KINDS)]
        self._keys: list[str] = []
        self._kinds: list[int] = []
        self._free: list[int] = []
        self._tidy_at = 2 * _LEAST
        self.dropped = 0
        """Traces dropped because their account left more than are kept."""
        self.added = 0
        """Traces ever added."""

    def __len__(self) -> int:
        return self._used

    def add(self, traces: Sequence[Trace]) -> None:
        """Append `traces`, which must be in event order. Constant cost each."""
        n = len(traces)
        if not n:
            return
        slots, keys, kinds, free = self._slots, self._keys, self._kinds, self._free
        found = []
        for _, _, kind, key, _ in traces:
            table = slots[kind]
            slot = table.get(key)
            if slot is None:
                if free:
                    slot = free.pop()
                    keys[slot], kinds[slot] = key, kind
                else:
                    slot = len(keys)
                    keys.append(key)
                    kinds.append(kind)
                table[key] = slot
            found.append(slot)
        self._reserve(n)
        span = slice(self._used, self._used + n)
        self._at[span] = [trace.at_ms for trace in traces]
        self._row[span] = [trace.account for trace in traces]
        self._slot[span] = found
        self._other[span] = [FREE if trace.other == trace.account else trace.other for trace in traces]
        self._used += n
        self.added += n
        if self._used >= self._tidy_at:
            self.tidy(traces[-1].at_ms)

    def _reserve(self, n: int) -> None:
        if self._used + n <= len(self._at):
            return
        for name in ("_at", "_row", "_slot", "_other"):
            old = getattr(self, name)
            new = np.zeros(2 * (self._used + n), old.dtype)
            new[: self._used] = old[: self._used]
            setattr(self, name, new)

    def tidy(self, now_ms: int) -> None:
        """Drop what is too old, what nobody can coincide with any more, and what is beyond an account's share.

        An object that one account alone used, longer ago than its window, is nobody's coincidence; that account's
        dealing with another account is one all the same.
        """
        used = slice(0, self._used)
        row, at, slot = self._row[used], self._at[used], self._slot[used]
        young = np.flatnonzero((row != FREE) & (at >= now_ms - MAX_AGE_MS))
        windows = np.array([0 if kind == FREE else WINDOW_MS[kind] for kind in self._kinds], np.int64)
        shared = _shared(slot[young], row[young], len(self._keys))
        open_still = at[young] >= now_ms - windows[slot[young]]
        young = young[shared[slot[young]] | open_still | (self._other[used][young] != FREE)]
        order = young[np.argsort(row[young], kind="stable")]
        last = np.r_[row[order][1:] != row[order][:-1], True] if len(order) else np.zeros(0, np.bool_)
        ends = np.flatnonzero(last)
        from_end = ends[np.searchsorted(ends, np.arange(len(order)))] - np.arange(len(order))
        kept = np.sort(order[from_end < TRACES_PER_ACCOUNT])
        self.dropped += len(young) - len(kept)
        self._keep(kept)

    def _keep(self, places: Ints) -> None:
        n = len(places)
        for name in ("_at", "_row", "_slot", "_other"):
            column = getattr(self, name)
            column[:n] = column[places]
        self._used = n
        alive = np.zeros(len(self._keys), np.bool_)
        alive[self._slot[:n]] = True
        for slot in np.flatnonzero(~alive).tolist():
            kind = self._kinds[slot]
            if kind != FREE:
                del self._slots[kind][self._keys[slot]]
                self._keys[slot], self._kinds[slot] = "", FREE
                self._free.append(slot)
        self._tidy_at = max(2 * _LEAST, 2 * n)

    # -- reading -----------------------------------------------------------------------------------------------

    def rows(self, now_ms: int) -> Ints:
        """Rows with a trace that is not too old, ascending."""
        used = slice(0, self._used)
        live = (self._row[used] != FREE) & (self._at[used] >= now_ms - MAX_AGE_MS)
        return np.unique(self._row[used][live]).astype(np.int64)

    def view(self, names: Callable[[int], str], now_ms: int, rows: Ints | None = None) -> TraceView:
        """The traces on objects that the accounts of `rows` used, theirs and everybody's.

        Args:
            names: of the accounts, by row.
            now_ms: traces older than `MAX_AGE_MS` before this are left out.
            rows: whose objects; all accounts' where None.
        """
        used = slice(0, self._used)
        row, slot, at = self._row[used], self._slot[used], self._at[used]
        live = (row != FREE) & (at >= now_ms - MAX_AGE_MS) & (at <= now_ms)
        if rows is not None:
            chosen = np.zeros(len(self._keys), np.bool_)
            chosen[slot[live & np.isin(row, rows)]] = True
            live &= chosen[slot]
        places = np.flatnonzero(live)
        held = np.unique(row[places]).astype(np.int64)
        if rows is not None:
            held = np.union1d(held, rows)
        called = [names(one) for one in held.tolist()]
        order = sorted(range(len(called)), key=called.__getitem__)
        by_name = held[order]
        place_of = np.full(int(held.max(initial=0)) + 2, FREE, np.int64)
        place_of[by_name] = np.arange(len(by_name))
        account = place_of[row[places]]
        acted = self._other[used][places].astype(np.int64)
        other = np.where(
            (acted >= 0) & (acted < len(place_of) - 1), place_of[np.minimum(acted, len(place_of) - 1)], FREE
        )
        slots, item = np.unique(slot[places], return_inverse=True)
        kinds = np.array(self._kinds, np.int64)[slots] if len(slots) else np.zeros(0, np.int64)
        keys = [self._keys[one] for one in slots.tolist()]
        by_key = sorted(range(len(keys)), key=lambda n: (kinds[n], keys[n]))
        number = np.empty(len(keys), np.int64)
        number[by_key] = np.arange(len(keys))
        items = number[item] if len(keys) else np.zeros(0, np.int64)
        kind = kinds[item] if len(keys) else np.zeros(0, np.int64)
        when = at[places]
        sort = np.lexsort((items, account, when))
        return TraceView(
            [called[n] for n in order], by_name, when[sort], account[sort], kind[sort], items[sort], other[sort],
            [keys[n] for n in by_key],
        )  # fmt: skip

    def left_at(self, moments: Collection[tuple[int, int]]) -> dict[int, set[tuple[int, str]]]:
        """What rows left traces on at some moments.

        Args:
            moments: (row, time in ms); all are looked for in one pass.

        Returns:
            (kind, key) of the objects, by row.
        """
        used, found = slice(0, self._used), set(moments)
        left: dict[int, set[tuple[int, str]]] = {}
        rows = np.fromiter({row for row, _ in found}, np.int32)
        for place in np.flatnonzero(np.isin(self._row[used], rows)).tolist():
            row, slot = int(self._row[place]), int(self._slot[place])
            if (row, int(self._at[place])) in found:
                left.setdefault(row, set()).add((self._kinds[slot], self._keys[slot]))
        return left

    # -- leaving -----------------------------------------------------------------------------------------------

    def forget(self, rows: Collection[int]) -> None:
        """Forget all that accounts left, and that others acted on them. One pass, however many leave."""
        used = slice(0, self._used)
        gone = np.fromiter(rows, np.int32)
        row, other = self._row[used], self._other[used]
        row[np.isin(row, gone)] = FREE
        other[np.isin(other, gone)] = FREE

    def forget_moments(self, moments: Collection[tuple[int, int]]) -> None:
        """Forget what accounts left at some moments, (row, time in ms). One pass, however many there are."""
        used, wanted = slice(0, self._used), set(moments)
        row, at = self._row[used], self._at[used]
        near = np.flatnonzero(np.isin(row, np.fromiter({row for row, _ in wanted}, np.int32)))
        there = zip(near.tolist(), row[near].tolist(), at[near].tolist(), strict=True)
        row[[place for place, whose, when in there if (whose, when) in wanted]] = FREE

    def forget_names(self, names: Collection[str]) -> None:
        """Forget all traces on objects that are of accounts of these names, whoever left them.

        Looks at every object once, so many names cost as much as one.
        """
        gone = np.zeros(len(self._keys), np.bool_)
        for slot, (kind, key) in enumerate(zip(self._kinds, self._keys, strict=True)):
            read = None if kind == FREE else KIND_TABLE[kind].acted_upon
            acted = None if read is None else read(key)
            gone[slot] = acted is not None and acted[1] in names
        if gone.any():
            used = slice(0, self._used)
            self._row[used][gone[self._slot[used]]] = FREE
            self._keep(np.flatnonzero(self._row[used] != FREE))

    # -- snapshot ----------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """The whole state; arrays are copies."""
        used = slice(0, self._used)
        return {
            "at": self._at[used].copy(),
            "row": self._row[used].copy(),
            "slot": self._slot[used].copy(),
            "other": self._other[used].copy(),
            "objects": msgspec.msgpack.encode(
                (KIND_NAMES, self._keys, self._kinds, self._free, self._tidy_at, self.dropped, self.added)
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> TraceMemory:
        """The memory that `arrays()` described.

        Raises:
            LogError: it is of a run with other kinds of traces.
        """
        memory = cls()
        known, memory._keys, memory._kinds, memory._free, memory._tidy_at, memory.dropped, memory.added = (
            msgspec.msgpack.decode(
                bytes(arrays["objects"]), type=tuple[list[str], list[str], list[int], list[int], int, int, int]
            )
        )
        if tuple(known) != KIND_NAMES:
            raise LogError(
                f"the snapshot is of a run with the kinds of traces {', '.join(known)}, this one has "
                f"{', '.join(KIND_NAMES)}: install the packages that were there, or start from offset 0"
            )
        for name in ("at", "row", "slot", "other"):
            setattr(memory, f"_{name}", np.array(arrays[name]))
        memory._used = len(memory._at)
        for slot, kind in enumerate(memory._kinds):
            if kind != FREE:
                memory._slots[kind][memory._keys[slot]] = slot
        return memory


def _shared(slot: NDArray[np.int32], row: NDArray[np.int32], slots: int) -> NDArray[np.bool_]:
    """Whether more than one account used each object, shape (slots,)."""
    one_of_them = np.full(slots, FREE, np.int32)
    one_of_them[slot] = row
    shared = np.zeros(slots, np.bool_)
    shared[slot[row != one_of_them[slot]]] = True
    return shared
