"""The few texts that are kept of an account: what an alert quotes, and what an expert may read.

An account's row holds at most `KEPT` texts, the strongest and the newest; of an account with no evidence against it
only the newest. They go with their event, with their account, and after the retention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

STRONGEST: Final = 5
"""Texts kept for their evidence: what a moderator reads first."""

NEWEST: Final = 3
"""Texts kept for being new: what the account does now, and what an expert reads next."""

KEPT: Final = STRONGEST + NEWEST

KEPT_OF_PEOPLE: Final = 2
"""Texts kept of an account whose evidence speaks for a person: nobody is going to be shown them."""


class Kept(msgspec.Struct, array_like=True, gc=False):
    """One text. `llr` and `cheap` in millinats: the cheap reading's, and the one in force (an expert's, once read)."""

    at: int
    id: str
    text: str
    lang: str
    cheap: int
    llr: int
    read: bool = False
    gives: bool = True
    """Whether the text gave evidence; where it did not, no expert is asked."""


class Texts:
    """Row -> its kept texts in order of time."""

    def __init__(self) -> None:
        self._kept: dict[int, list[Kept]] = {}

    def of(self, row: int) -> list[Kept]:
        """The texts of an account, oldest first."""
        return self._kept.get(row, [])

    def add(self, row: int, text: Kept) -> None:
        """Keep a further text; `settle` drops what is too many."""
        self._kept.setdefault(row, []).append(text)

    def settle(self, row: int, *, suspect: bool) -> None:
        """Drop what need not be kept: all but the newest few, and of a suspect the strongest."""
        kept = self._kept.get(row)
        if kept is None:
            return
        if not suspect:
            del kept[:-KEPT_OF_PEOPLE]
        elif len(kept) > KEPT:
            older, newest = kept[:-NEWEST], kept[-NEWEST:]
            strongest = sorted(older, key=lambda text: (-text.llr, text.at, text.id))[:STRONGEST]
            chosen = {id(text) for text in strongest}
            self._kept[row] = [text for text in older if id(text) in chosen] + newest

    def forget_event(self, row: int, event: str) -> None:
        """Drop the text of one event."""
        kept = self._kept.get(row)
        if kept is not None:
            kept[:] = [text for text in kept if text.id != event]
            if not kept:
                del self._kept[row]

    def forget(self, rows: Iterable[int]) -> None:
        """Drop the texts of accounts that left."""
        for row in rows:
            self._kept.pop(row, None)

    def expire(self, before_ms: int) -> None:
        """Drop texts older than `before_ms`."""
        for row in [row for row, kept in self._kept.items() if kept[0].at < before_ms]:
            kept = [text for text in self._kept[row] if text.at >= before_ms]
            if kept:
                self._kept[row] = kept
            else:
                del self._kept[row]

    def __iter__(self) -> Iterator[tuple[int, list[Kept]]]:
        return iter(sorted(self._kept.items()))

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {"kept": msgspec.msgpack.encode(list(self))}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._kept = dict(msgspec.msgpack.decode(state["kept"], type=list[tuple[int, list[Kept]]]))
