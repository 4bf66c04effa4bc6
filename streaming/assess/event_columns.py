"""The events of one tick that have an effect, gathered column by column for the arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.text.features import TEXT_FEATURES, TextFeatures
from streaming.schema.observation import Observation

_NO_FEATURES: Final = bytes(TEXT_FEATURES.itemsize)


@dataclass(frozen=True)
class EventColumns:
    """Events column by column, each (n,).

    Args:
        rows: whose events they are.
        times: ms.
        kinds: as in the observation log.
        features: of the texts; zeros where there is none.
        has_text: whether there is a text.
        languages: `language_code` of each event's language.
        links: how many links each event has.
    """

    rows: NDArray[np.int64]
    times: NDArray[np.int64]
    kinds: NDArray[np.int64]
    features: TextFeatures
    has_text: NDArray[np.bool_]
    languages: NDArray[np.uint16]
    links: NDArray[np.int64]

    def take(self, chosen: NDArray[np.int64]) -> EventColumns:
        """Some of the events, by position."""
        columns: dict[str, NDArray[Any]] = vars(self)
        return EventColumns(**{name: column[chosen] for name, column in columns.items()})


@dataclass
class TickEvents:
    """Events in order; the row of one whose account was deleted in the same tick is -1.

    Args:
        rows: whose events they are.
        times: ms.
        kinds: as in the observation log.
        features: packed features of the texts, b"" where there is none.
        languages: `language_code` of each event's language.
        links: how many links each event has.
        by_row: row -> positions of its events, in order.
    """

    rows: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)
    languages: list[int] = field(default_factory=list)
    links: list[int] = field(default_factory=list)
    by_row: dict[int, list[int]] = field(default_factory=dict)

    def add(self, row: int, event: Observation, language: int) -> None:
        """Append one event.

        Args:
            row: whose event it is.
            event: no deletion.
            language: `language_code` of its language.
        """
        self.by_row.setdefault(row, []).append(len(self.rows))
        self.rows.append(row)
        self.times.append(event.at)
        self.kinds.append(event.kind)
        self.features.append(event.text_features)
        self.languages.append(language)
        self.links.append(len(event.urls))

    def forget(self, row: int) -> None:
        """The account of `row` was deleted: its events of this tick have had no effect."""
        for position in self.by_row.pop(row, ()):
            self.rows[position] = -1

    def columns(self) -> EventColumns:
        """All events as arrays."""
        return EventColumns(
            np.array(self.rows, np.int64),
            np.array(self.times, np.int64),
            np.array(self.kinds, np.int64),
            np.frombuffer(b"".join(packed or _NO_FEATURES for packed in self.features), TEXT_FEATURES),
            np.array([bool(packed) for packed in self.features]),
            np.array(self.languages, np.uint16),
            np.array(self.links, np.int64),
        )

    def rounds(self, columns: EventColumns) -> Iterator[EventColumns]:
        """The events that have an effect in rounds of distinct accounts: the first of each, the second of each, ..."""
        turns: list[list[int]] = []
        for positions in self.by_row.values():
            for turn, position in enumerate(positions):
                if turn == len(turns):
                    turns.append([])
                turns[turn].append(position)
        for turn_positions in turns:
            yield columns.take(np.array(sorted(turn_positions), np.int64))
