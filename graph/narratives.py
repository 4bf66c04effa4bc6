"""What accounts talk about: of each account up to sixteen vectors of meaning, the newest.

Nothing is compared here. The vectors are made from texts, so they leave with their events and accounts and after the
retention of texts. What is kept follows from what was put and taken away, not from where in memory it lies: equal
narratives give equal arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

VECTORS_KEPT: Final = 16
"""Vectors of one account: enough for the four best-matching posts of a pair, at 6 kB an account."""

VECTOR_DIM: Final = 384
"""Numbers of a vector, one byte each."""

KEY_BYTES: Final = 12
"""Bytes of an event's key."""

FEWEST: Final = 1024
"""Vectors there is room for at least."""

Rows = NDArray[np.int64]


class GatheredVectors(NamedTuple):
    """The vectors of some accounts, account by account as asked for, each account's in order of time.

    Args:
        owner: (m,) row of the account of each vector.
        matrix: (m, `VECTOR_DIM`).
        at_ms: (m,) times of the events.
        keys: m keys of the events.
    """

    owner: Rows
    matrix: NDArray[np.int8]
    at_ms: NDArray[np.int64]
    keys: list[bytes]


class Narratives:
    """The vectors of all accounts. Rows are those of the caller's table of accounts."""

    def __init__(self) -> None:
        self._places: dict[int, dict[bytes, int]] = {}
        """Key of the event -> place in the arrays, by row."""
        self._free: list[int] = []
        self._at = np.zeros(FEWEST, np.int64)
        self._vectors = np.zeros((FEWEST, VECTOR_DIM), np.int8)
        self._used = 0
        self._swept = 0

    def __len__(self) -> int:
        """Vectors kept."""
        return self._used - len(self._free)

    @property
    def swept(self) -> int:
        """Vectors there were when `sweep` was last called."""
        return self._swept

    def put(self, row: int, at_ms: int, key: bytes, vector: NDArray[np.int8]) -> bool:
        """Keep the vector of an event; of a full account it takes the place of the oldest.

        Args:
            row: of the account.
            at_ms: time of the event.
            key: of the event, `KEY_BYTES` long; what was kept under it is replaced.
            vector: (`VECTOR_DIM`,); zeros, which stand for a text that was not read, are not kept.

        Returns:
            Whether it is kept: not where it is of zeros, or older than all that a full account has.

        Raises:
            ValueError: key or vector are of another size or type.
        """
        if len(key) != KEY_BYTES or vector.shape != (VECTOR_DIM,) or vector.dtype != np.int8:
            raise ValueError(f"a key of {len(key)} bytes, a vector of {vector.dtype}{list(vector.shape)}")
        if not vector.any():
            return False
        places = self._places.get(row, {})
        if key not in places and len(places) >= VECTORS_KEPT:
            oldest = min(places, key=lambda each: (self._at[places[each]], each))
            if (at_ms, key) < (int(self._at[places[oldest]]), oldest):
                return False
            self.forget_event(row, oldest)
            places = self._places.get(row, {})
        place = places.get(key)
        if place is None:
            place = self._place()
        self._at[place], self._vectors[place] = at_ms, vector
        places[key] = place
        self._places[row] = places
        return True

    def _place(self) -> int:
        if self._free:
            return self._free.pop()
        if self._used == len(self._at):
            self._at = np.concatenate([self._at, np.zeros_like(self._at)])
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
        self._used += 1
        return self._used - 1

    def has(self, row: int, key: bytes) -> bool:
        """Whether the vector of an event is kept."""
        return key in self._places.get(row, ())

    def count(self, row: int) -> int:
        """Vectors kept of an account."""
        return len(self._places.get(row, ()))

    def newest_ms(self, row: int) -> int | None:
        """Time of an account's newest event with a vector, None where it has none."""
        places = self._places.get(row)
        return max(int(self._at[place]) for place in places.values()) if places else None

    def rows(self) -> Rows:
        """Accounts with vectors, ascending."""
        return np.sort(np.fromiter(self._places, np.int64, len(self._places)))

    def drop(self, rows: Iterable[int]) -> None:
        """Let go of all vectors of accounts."""
        for row in rows:
            self._free += self._places.pop(row, {}).values()

    def forget_event(self, row: int, key: bytes) -> None:
        """Let go of the vector of one event, if there is one."""
        places = self._places.get(row)
        if places is None or key not in places:
            return
        self._free.append(places.pop(key))
        if not places:
            del self._places[row]

    def expire(self, before_ms: int) -> None:
        """Let go of the vectors of events before `before_ms`."""
        for row in list(self._places):
            for key in [key for key, place in self._places[row].items() if self._at[place] < before_ms]:
                self.forget_event(row, key)

    def sweep(self, rows: Iterable[int]) -> None:
        """Let go of all vectors of accounts, as `drop`, and remember how many are left: what growth is held against."""
        self.drop(rows)
        self._swept = len(self)

    def gather(self, rows: Iterable[int]) -> GatheredVectors:
        """The vectors of accounts; an account without any is left out.

        Args:
            rows: distinct accounts; vectors come in their order.
        """
        found = [
            (row, int(self._at[place]), key, place)
            for row in map(int, rows)
            for _, key, place in sorted(
                (int(self._at[place]), key, place) for key, place in self._places.get(row, {}).items()
            )
        ]
        return GatheredVectors(
            np.array([row for row, *_ in found], np.int64),
            self._vectors[[place for *_, place in found]],
            np.array([at for _, at, _, _ in found], np.int64),
            [key for _, _, key, _ in found],
        )

    def arrays(self) -> dict[str, NDArray[Any] | bytes]:
        """Everything as arrays by name, in order of row, time and key: `from_arrays` is the inverse."""
        all_of = self.gather(self.rows().tolist())
        return {
            "row": all_of.owner,
            "at": all_of.at_ms,
            "key": np.frombuffer(b"".join(all_of.keys), np.uint8).reshape(-1, KEY_BYTES),
            "vector": all_of.matrix,
            "swept": np.array([self._swept], np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """The narratives that `arrays` describe.

        Raises:
            ValueError: they do not fit together.
            KeyError: one is missing.
        """
        row, at, key, vector, swept = (arrays[name] for name in ("row", "at", "key", "vector", "swept"))
        given = [(each.dtype, each.shape) for each in (row, at, key, vector, swept)]
        n = len(row)
        fitting = [
            (np.dtype(np.int64), (n,)),
            (np.dtype(np.int64), (n,)),
            (np.dtype(np.uint8), (n, KEY_BYTES)),
            (np.dtype(np.int8), (n, VECTOR_DIM)),
            (np.dtype(np.int64), (1,)),
        ]
        if given != fitting:
            raise ValueError(f"narratives are {given}, not {fitting}")
        made = cls()
        made._used, made._swept = n, int(swept[0])
        made._at = np.concatenate([at, np.zeros(FEWEST, np.int64)])
        made._vectors = np.concatenate([vector, np.zeros((FEWEST, VECTOR_DIM), np.int8)])
        for place, (owner, name) in enumerate(zip(row.tolist(), key, strict=True)):
            made._places.setdefault(owner, {})[name.tobytes()] = place
        if sum(map(len, made._places.values())) != n or any(len(each) > VECTORS_KEPT for each in made._places.values()):
            raise ValueError("narratives name an event twice, or hold too many of one account")
        return made
