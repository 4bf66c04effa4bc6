"""The traces of the last two days in flat arrays, chained by object, and the table of objects they name.

Every trace has an ordinal (a count since the start that is never reused); the arrays hold ordinals [`base`, `end`).
An object's traces are a linked list through `prev`, newest first, so that looking at one object costs its own
traces only. Slots of objects that nobody used for a window are reused under a new generation; a `uid` (slot and
generation) therefore names an object for good.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from graph.traces import KINDS, Trace

FREE: Final = -1
"""Row of a trace that was forgotten, and kind of a slot that is free."""

GENERATION_BITS: Final = 32

NO_AUTHOR: Final = 0
"""In `TraceWindow.author`: the object is nobody's post."""


class TraceWindow:
    """Traces in event order, with their objects. Rows are the caller's; nothing depends on their numbers."""

    def __init__(self) -> None:
        self.base = 0
        self.end = 0
        self._at = np.zeros(1024, np.int64)
        self._row = np.zeros(1024, np.int32)
        self._slot = np.zeros(1024, np.int32)
        self._prev = np.zeros(1024, np.int64)
        self._offset = 0  # position of ordinal `base` in the arrays
        self._slots: list[dict[str, int]] = [{} for _ in range(KINDS)]
        self._keys: list[str] = []
        self.kind = np.zeros(1024, np.int8)
        self.last = np.full(1024, -1, np.int64)
        self.count = np.zeros(1024, np.int32)
        self.generation = np.zeros(1024, np.int32)
        self.author = np.zeros(1024, np.int64)  # of the object: a hash of the account whose post it is
        self._free: list[int] = []
        self._direct = np.zeros((1024, 3), np.int64)
        self._directs = 0

    # -- adding ------------------------------------------------------------------------------------------------

    def add(self, traces: Sequence[Trace]) -> None:
        """Append `traces`, which must be in event order. O(1) each."""
        n = len(traces)
        if not n:
            return
        self._reserve(n)
        slots, keys, free = self._slots, self._keys, self._free
        direct: list[tuple[int, int, int]] = []
        ats, rows, found = [], [], []
        for at, row, kind, key, other in traces:
            table = slots[kind]
            slot = table.get(key)
            if slot is None:
                if free:
                    slot = free.pop()
                    keys[slot] = key
                else:
                    slot = len(keys)
                    keys.append(key)
                    if slot >= len(self.kind):
                        self._grow_objects()
                table[key] = slot
                self.kind[slot] = kind
                self.author[slot] = _author(key)
            ats.append(at)
            rows.append(row)
            found.append(slot)
            if other >= 0 and other != row:
                direct.append((at, row, other))
        start = self._offset + self.end - self.base
        self._at[start : start + n] = ats
        self._row[start : start + n] = rows
        slot_array = np.array(found, np.int64)
        self._slot[start : start + n] = slot_array
        self._chain(slot_array, start)
        self.end += n
        self._add_direct(direct)

    def _add_direct(self, acts: Sequence[tuple[int, int, int]]) -> None:
        if not acts:
            return
        held, need = self._directs, self._directs + len(acts)
        if need > len(self._direct):
            grown = np.zeros((2 * need, 3), np.int64)
            grown[:held] = self._direct[:held]
            self._direct = grown
        self._direct[held:need] = acts
        self._directs = need

    def _chain(self, slots: NDArray[np.int64], start: int) -> None:
        """Link the new traces to the traces of the same object before them."""
        n = len(slots)
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        ordinals = order + self.end
        first = np.r_[True, ordered[1:] != ordered[:-1]]
        previous = np.empty(n, np.int64)
        previous[1:] = ordinals[:-1]
        previous[first] = self.last[ordered[first]]
        self._prev[start + order] = previous
        final = np.r_[first[1:], True]
        self.last[ordered[final]] = ordinals[final]
        starts = np.flatnonzero(first)
        self.count[ordered[first]] += np.diff(np.r_[starts, n]).astype(np.int32)

    def _reserve(self, n: int) -> None:
        used = self.end - self.base
        if self._offset + used + n <= len(self._at):
            return
        capacity = max(1024, 2 * (used + n))
        for name in ("_at", "_row", "_slot", "_prev"):
            old = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            new[:used] = old[self._offset : self._offset + used]
            setattr(self, name, new)
        self._offset = 0

    def _grow_objects(self) -> None:
        capacity = max(1024, 2 * len(self.kind))
        for name, empty in (("kind", FREE), ("last", -1), ("count", 0), ("generation", 0), ("author", NO_AUTHOR)):
            old = getattr(self, name)
            new = np.full(capacity, empty, old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    # -- reading -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.end - self.base

    def view(self, start: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """(at, row, slot) of ordinals [start, end), each of shape (n,); forgotten traces have row -1."""
        first = self.base if start is None else max(start, self.base)
        span = slice(self._offset + first - self.base, self._offset + self.end - self.base)
        return self._at[span], self._row[span], self._slot[span]

    @property
    def direct(self) -> NDArray[np.int64]:
        """Who acted upon whom: (at, row, other) of every such trace, in event order, shape (n, 3)."""
        return self._direct[: self._directs]

    def uid(self, slot: int) -> int:
        """A number that names the object in `slot` for good."""
        return slot | (int(self.generation[slot]) << GENERATION_BITS)

    def alive(self, uid: int) -> bool:
        """Whether the object is still in the window."""
        slot = uid & (1 << GENERATION_BITS) - 1
        return int(self.generation[slot]) == uid >> GENERATION_BITS and bool(self.last[slot] >= self.base)

    def uids(self, slots: NDArray[Any]) -> NDArray[np.int64]:
        """`uid` of each of `slots`."""
        out: NDArray[np.int64] = slots.astype(np.int64) | (self.generation[slots].astype(np.int64) << GENERATION_BITS)
        return out

    def living(self, uids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the objects are still in the window."""
        slots = uids & (1 << GENERATION_BITS) - 1
        alive: NDArray[np.bool_] = (self.generation[slots] == uids >> GENERATION_BITS) & (self.last[slots] >= self.base)
        return alive

    def before(self, slots: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often the object of each of `places` in `slots`, the newest traces, was acted on before that trace."""
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        new = np.r_[True, ordered[1:] != ordered[:-1]]
        starts = np.flatnonzero(new)
        size = np.diff(np.r_[starts, len(slots)])
        rank = np.empty(len(slots), np.int64)
        rank[order] = np.arange(len(slots)) - np.repeat(starts + size, size)
        out: NDArray[np.int64] = self.count[slots[places]] + rank[places]
        return out

    def key(self, slot: int) -> str:
        """The object's key."""
        return self._keys[slot]

    def slot_of(self, kind: int, key: str) -> int | None:
        """The slot of an object in the window, None where nobody acted on it."""
        return self._slots[kind].get(key)

    def chain(self, slot: int) -> Iterator[tuple[int, int, int]]:
        """(ordinal, at, row) of the object's traces that are in the window, newest first."""
        ordinal = int(self.last[slot])
        shift = self._offset - self.base
        while ordinal >= self.base:
            position = ordinal + shift
            row = int(self._row[position])
            if row != FREE:
                yield ordinal, int(self._at[position]), row
            ordinal = int(self._prev[position])

    # -- leaving -----------------------------------------------------------------------------------------------

    def expire(self, before_ms: int) -> None:
        """Drop traces older than `before_ms` and free the objects that nobody acted on since."""
        at, rows, slots = self.view()
        drop = int(np.searchsorted(at, before_ms))
        if drop:
            gone, counts = np.unique(slots[:drop][rows[:drop] != FREE], return_counts=True)
            self.count[gone] -= counts.astype(np.int32)
            seen = np.unique(slots[:drop])
            self._offset += drop
            self.base += drop
            self._release(seen[(self.last[seen] < self.base) & (self.kind[seen] != FREE)])
        if self._directs and self._direct[0, 0] < before_ms:
            self._keep_direct(self.direct[:, 0] >= before_ms)

    def _keep_direct(self, kept: NDArray[np.bool_]) -> None:
        left = self.direct[kept]
        self._directs = len(left)
        self._direct[: self._directs] = left

    def _release(self, slots: NDArray[Any]) -> None:
        for slot in slots.tolist():
            table = self._slots[int(self.kind[slot])]
            if table.get(self._keys[slot]) == slot:
                del table[self._keys[slot]]
            self._keys[slot] = ""
            self.kind[slot] = FREE
            self.last[slot] = -1
            self.count[slot] = 0
            self.generation[slot] += 1
            self._free.append(slot)

    def forget(self, row: int, at_ms: int | None = None) -> None:
        """Forget what `row` acted on, all of it or at `at_ms` alone, and the objects that nobody else acted on."""
        at, rows, slots = self.view()
        hit = rows == row if at_ms is None else (rows == row) & (at == at_ms)
        if hit.any():
            slots_hit, counts = np.unique(slots[hit], return_counts=True)
            self.count[slots_hit] -= counts.astype(np.int32)
            rows[hit] = FREE
            empty = [slot for slot in slots_hit.tolist() if next(self.chain(slot), None) is None]
            self._release(np.array(empty, np.int64))
        at, actor, other = self.direct.T
        self._keep_direct(~((actor == row) | (other == row)) if at_ms is None else ~((actor == row) & (at == at_ms)))

    # -- snapshot ----------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """The whole state. Prefix-free names; arrays are copies."""
        span = slice(self._offset, self._offset + len(self))
        objects = slice(0, len(self._keys))
        return {
            "at": self._at[span].copy(),
            "row": self._row[span].copy(),
            "slot": self._slot[span].copy(),
            "prev": self._prev[span].copy(),
            "kind": self.kind[objects].copy(),
            "last": self.last[objects].copy(),
            "count": self.count[objects].copy(),
            "generation": self.generation[objects].copy(),
            "author": self.author[objects].copy(),
            "free": np.array(self._free, np.int64),
            "direct": self.direct.copy(),
            "span": np.array([self.base, self.end], np.int64),
            "keys": msgspec.msgpack.encode(self._keys),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> TraceWindow:
        """The window that `arrays()` described."""
        window = cls()
        window.base, window.end = (int(v) for v in arrays["span"])
        for name in ("at", "row", "slot", "prev"):
            setattr(window, f"_{name}", np.array(arrays[name]))
        for name in ("kind", "last", "count", "generation", "author"):
            setattr(window, name, np.array(arrays[name]))
        window._keys = msgspec.msgpack.decode(bytes(arrays["keys"]), type=list[str])
        window._free = np.asarray(arrays["free"]).tolist()
        window._direct = np.array(arrays["direct"], np.int64).reshape(-1, 3)
        window._directs = len(window._direct)
        for slot, kind in enumerate(window.kind.tolist()):
            if kind != FREE:
                window._slots[kind][window._keys[slot]] = slot
        window._grow_objects()
        return window


def _author(key: str) -> int:
    """A number for the account whose post an object is (keys of posts are `account`, a line break, `id`)."""
    account, found, _ = key.partition("\n")
    return zlib.crc32(account.encode("utf-8", "surrogatepass")) + 1 if found else NO_AUTHOR
