"""The events of one tick that have an effect, gathered column by column for the arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account.features import language_code
from detector.text.reading import READING, Readings
from streaming.observations import Observation

_BLANK: Final = bytes(READING.itemsize)

_LANGUAGES_KEPT: Final = 4096
"""Tags remembered: a hostile stream can invent tags, there are a few hundred languages."""


@dataclass(frozen=True)
class Columns:
    """Events column by column, each (n,)."""

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    kinds: NDArray[np.int64]
    readings: Readings
    has_text: NDArray[np.bool_]
    languages: NDArray[np.uint16]
    links: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> Columns:
        """Some of the events, by position."""
        columns: dict[str, NDArray[Any]] = vars(self)
        return Columns(**{name: column[chosen] for name, column in columns.items()})


@dataclass
class Seen:
    """Events in order; the row of one whose account was deleted in the same tick is -1."""

    rows: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    readings: list[bytes] = field(default_factory=list)
    languages: list[int] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    by_row: dict[int, list[int]] = field(default_factory=dict)
    """Row -> positions of its events, in order."""

    def add(self, row: int, seen: Observation, language: int) -> None:
        """Append one event."""
        self.by_row.setdefault(row, []).append(len(self.rows))
        self.rows.append(row)
        self.times.append(seen.at)
        self.kinds.append(seen.kind)
        self.readings.append(seen.reading)
        self.languages.append(language)
        self.links.append(len(seen.urls))

    def forget(self, row: int) -> None:
        """The account of `row` was deleted: its events of this tick have had no effect."""
        for position in self.by_row.pop(row, ()):
            self.rows[position] = -1

    def columns(self) -> Columns:
        """All events as arrays."""
        return Columns(
            np.array(self.rows, np.int64),
            np.array(self.times, np.int64),
            np.array(self.kinds, np.int64),
            np.frombuffer(b"".join(reading or _BLANK for reading in self.readings), READING),
            np.array([bool(reading) for reading in self.readings]),
            np.array(self.languages, np.uint16),
            np.array(self.links, np.int64),
        )

    def rounds(self, columns: Columns) -> Iterator[Columns]:
        """The events that have an effect in rounds of distinct accounts: the first of each, the second of each, ..."""
        turns: list[list[int]] = []
        for positions in self.by_row.values():
            for turn, position in enumerate(positions):
                if turn == len(turns):
                    turns.append([])
                turns[turn].append(position)
        for turn_positions in turns:
            yield columns.take(np.array(sorted(turn_positions), np.int64))


class Languages:
    """Codes of language tags, looked up once each."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, tag: str) -> int:
        """`language_code` of the tag."""
        code = self._codes.get(tag)
        if code is None:
            code = language_code(tag)
            if len(self._codes) < _LANGUAGES_KEPT:
                self._codes[tag] = code
        return code
