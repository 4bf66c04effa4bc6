"""Who has which row, and what is known of each account besides its statistics (struct of arrays)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from detector.account.model import BehaviourAbstain
from detector.explain import GraphAbstain
from detector.text.reading import TextAbstain

NEVER: Final = -(2**62)
"""A time (ms) that has not been."""

UNSAID: Final = -1
"""`automated` of an account that has said nothing about itself."""

_COLUMNS: Final[dict[str, tuple[DTypeLike, Any]]] = {
    "last_at": (np.int64, NEVER),
    "first_post": (np.int64, NEVER),
    "last_post": (np.int64, NEVER),
    "posts": (np.int64, 0),
    "automated": (np.int8, UNSAID),
    "text": (np.float64, 0.0),
    "behaviour": (np.float64, 0.0),
    "coordination": (np.float64, 0.0),
    "graph": (np.float64, 0.0),
    "graph_abstain": (np.uint8, GraphAbstain.NOT_YET),
    "total": (np.float64, 0.0),
    "undecided": (np.float64, 0.0),
    "text_abstain": (np.uint8, TextAbstain.NO_TEXT),
    "behaviour_abstain": (np.uint8, BehaviourAbstain.TOO_FEW),
    "language": (np.uint16, 0),
    "flagged": (np.bool_, False),
    "flagged_at": (np.int64, NEVER),
    "posts_at_flag": (np.int64, 0),
    "bar": (np.float64, -np.inf),
    "told": (np.float64, 0.0),
    "told_flag": (np.bool_, False),
    "expert_day": (np.int32, -1),
    "expert_texts": (np.int16, 0),
}

_FIRST_ROWS: Final = 1024


class Accounts:
    """Name <-> row, and the columns. Rows of accounts that left are used again, lowest first.

    Columns, each (capacity,): times of the last event and of the first and last post (ms); `posts` accepted with text;
    the raw parts `text`, `behaviour`, `coordination`, `graph` (nats) and their fused
    `total`; `undecided`, the raw text and behaviour evidence without experts; why parts abstain; main `language`;
    the flag, its tick and `posts` then; `bar`, the raw evidence below which decisions keep the account away; `told` and
    `told_flag`, what was last published; the day `expert_day` and the texts experts read in it.
    """

    last_at: NDArray[np.int64]
    first_post: NDArray[np.int64]
    last_post: NDArray[np.int64]
    posts: NDArray[np.int64]
    automated: NDArray[np.int8]
    text: NDArray[np.float64]
    behaviour: NDArray[np.float64]
    coordination: NDArray[np.float64]
    graph: NDArray[np.float64]
    graph_abstain: NDArray[np.uint8]
    total: NDArray[np.float64]
    undecided: NDArray[np.float64]
    text_abstain: NDArray[np.uint8]
    behaviour_abstain: NDArray[np.uint8]
    language: NDArray[np.uint16]
    flagged: NDArray[np.bool_]
    flagged_at: NDArray[np.int64]
    posts_at_flag: NDArray[np.int64]
    bar: NDArray[np.float64]
    told: NDArray[np.float64]
    told_flag: NDArray[np.bool_]
    expert_day: NDArray[np.int32]
    expert_texts: NDArray[np.int16]

    def __init__(self) -> None:
        self.capacity = _FIRST_ROWS
        self._rows: dict[str, int] = {}
        self._names: list[str | None] = []
        self._free: list[int] = []
        for name, (dtype, blank) in _COLUMNS.items():
            setattr(self, name, np.full(self.capacity, blank, dtype))

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, name: str) -> int | None:
        """The row of `name`, None where it has none."""
        return self._rows.get(name)

    def row(self, name: str) -> int:
        """The row of `name`, a blank one where it had none."""
        row = self._rows.get(name)
        if row is not None:
            return row
        if self._free:
            row = self._free.pop()
            self._names[row] = name
        else:
            row = len(self._names)
            self._names.append(name)
            if row == self.capacity:
                self._grow()
        self._rows[name] = row
        return row

    def name(self, row: int) -> str:
        """Whose row it is. A row that was given up keeps its name until `free`."""
        name = self._names[row]
        assert name is not None
        return name

    def live(self) -> NDArray[np.int64]:
        """Rows in use, ascending."""
        return np.sort(np.fromiter(self._rows.values(), np.int64, len(self._rows)))

    def give_up(self, name: str) -> int:
        """Take the name from its row, which stays as it is until `free`; its next event begins another row."""
        return self._rows.pop(name)

    def free(self, rows: Iterable[int]) -> None:
        """Make rows blank and free to be used again; their names must have been given up."""
        freed = sorted(rows, reverse=True)
        if not freed:
            return
        for name, (_, blank) in _COLUMNS.items():
            getattr(self, name)[freed] = blank
        for row in freed:
            self._names[row] = None
        self._free = sorted([*self._free, *freed], reverse=True)

    def _grow(self) -> None:
        for name, (dtype, blank) in _COLUMNS.items():
            column = np.full(2 * self.capacity, blank, dtype)
            column[: self.capacity] = getattr(self, name)
            setattr(self, name, column)
        self.capacity *= 2

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        used = len(self._names)
        return {"names": list(self._names), "free": list(self._free)} | {
            name: getattr(self, name)[:used] for name in _COLUMNS
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._names = list(state["names"])
        self._free = list(state["free"])
        freed = set(self._free)
        self._rows = {name: row for row, name in enumerate(self._names) if name is not None and row not in freed}
        while self.capacity < len(self._names):
            self.capacity *= 2
        for name, (dtype, blank) in _COLUMNS.items():
            column = np.full(self.capacity, blank, dtype)
            column[: len(self._names)] = state[name]
            setattr(self, name, column)
