"""What is kept of each account besides its statistics: a table of accounts, their recent events, a few of their texts.

Every account has a row number; all parts of the state name accounts by it. Numbers are given in the order in which
accounts first appear, and a number that became free is given again, lowest first.
"""

# ruff: noqa: RUF009
# `column` declares a field, as `dataclasses.field` does.

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from detector.account.model import BehaviourAbstain
from detector.reasons import GraphAbstain
from detector.text.features import TextAbstain

NEVER: Final = -(2**62)
"""A time (ms) that has not been."""

UNSAID: Final = -1
"""`automated` of an account that has said nothing about itself."""


PERMITTED: Final = float("inf")
"""Suppression threshold of permitted automation: no evidence exceeds it."""


def column(dtype: DTypeLike, blank: Any) -> Any:
    """The declaration of a column in a `Table`: its type, and what stands in rows that are not in use."""
    return field(default_factory=lambda: np.zeros(0, dtype), metadata={"blank": blank}, repr=False)


@dataclass(eq=False)
class Table:
    """Columns of equal length with room to grow. Subclasses declare each column with `column`.

    Columns given to the constructor may hold the first `used` entries only, as a snapshot has them.

    Args:
        used: entries in use; what lies beyond them has no meaning.
        capacity: entries there is room for.
    """

    used: int = 0
    capacity: int = 0

    def __post_init__(self) -> None:
        self.resize(self.capacity)

    @classmethod
    def columns(cls) -> dict[str, Any]:
        """Name of every column, and its blank value."""
        return {each.name: each.metadata["blank"] for each in fields(cls) if "blank" in each.metadata}

    def resize(self, capacity: int) -> None:
        """Make room for exactly `capacity` entries, at least those in use."""
        for name, blank in self.columns().items():
            old = getattr(self, name)
            new = np.full(capacity, blank, old.dtype)
            new[: self.used] = old[: self.used]
            setattr(self, name, new)
        self.capacity = capacity


FIRST_ROWS: Final = 1024
"""Accounts there is room for at the beginning."""


@dataclass(eq=False)
class AccountTable(Table):
    """The accounts: whose row is whose, and one value per row in every column, shape (capacity,).

    Args:
        names: name of the account in each row, None where the row is free.
        free_rows: rows to be used again, highest first.
        last_at: time of the last event, ms.
        first_post: time of the first post with text, ms.
        last_post: time of the last post with text, ms.
        posts: posts with text, of whatever outcome.
        automated: whether the profile declares automation: 1 yes, 0 no, `UNSAID`.
        created_at: when the profile says that the account was made, ms, or `UNSAID`; shown, and no evidence.
        followers: how many the profile says it has, or `UNSAID`; shown, and no evidence.
        text: raw evidence component, nats.
        behaviour: raw evidence component, nats.
        coordination: raw evidence component, nats.
        graph: raw evidence component, nats.
        graph_abstain: why the graph component abstains.
        total: the fused components, nats: what the threshold is compared with.
        rerank_evidence: raw text and behaviour evidence without the second stage, nats: who is a reranking candidate.
        text_abstain: why the text component abstains.
        behaviour_abstain: why the behaviour component abstains.
        language: code of the main language.
        flagged: whether the account is flagged.
        flagged_at: tick of the flag, ms.
        posts_at_flag: `posts` at that tick.
        suppression_threshold: raw evidence (nats) below which moderators' decisions keep the account away.
        published_total: total last published in an account summary, nats.
        published_flag: flag last published in an account summary.
        second_stage_hour: hour of event time in which the second stage was last asked about a text of the account.
        second_stage_texts: texts it was asked about in that hour.
        second_stage_asked: texts it was asked about, halved every `HALF_LIFE_POSTS` texts since.
        second_stage_posts: texts with evidence when that was counted.
    """

    capacity: int = FIRST_ROWS
    names: list[str | None] = field(default_factory=list)
    free_rows: list[int] = field(default_factory=list)
    last_at: NDArray[np.int64] = column(np.int64, NEVER)
    first_post: NDArray[np.int64] = column(np.int64, NEVER)
    last_post: NDArray[np.int64] = column(np.int64, NEVER)
    posts: NDArray[np.int64] = column(np.int64, 0)
    automated: NDArray[np.int8] = column(np.int8, UNSAID)
    created_at: NDArray[np.int64] = column(np.int64, UNSAID)
    followers: NDArray[np.int64] = column(np.int64, UNSAID)
    text: NDArray[np.float64] = column(np.float64, 0.0)
    behaviour: NDArray[np.float64] = column(np.float64, 0.0)
    coordination: NDArray[np.float64] = column(np.float64, 0.0)
    graph: NDArray[np.float64] = column(np.float64, 0.0)
    graph_abstain: NDArray[np.uint8] = column(np.uint8, GraphAbstain.NOT_YET)
    total: NDArray[np.float64] = column(np.float64, 0.0)
    rerank_evidence: NDArray[np.float64] = column(np.float64, 0.0)
    text_abstain: NDArray[np.uint8] = column(np.uint8, TextAbstain.NO_TEXT)
    behaviour_abstain: NDArray[np.uint8] = column(np.uint8, BehaviourAbstain.TOO_FEW)
    language: NDArray[np.uint16] = column(np.uint16, 0)
    flagged: NDArray[np.bool_] = column(np.bool_, False)
    flagged_at: NDArray[np.int64] = column(np.int64, NEVER)
    posts_at_flag: NDArray[np.int64] = column(np.int64, 0)
    suppression_threshold: NDArray[np.float64] = column(np.float64, -np.inf)
    published_total: NDArray[np.float64] = column(np.float64, 0.0)
    published_flag: NDArray[np.bool_] = column(np.bool_, False)
    second_stage_hour: NDArray[np.int32] = column(np.int32, -1)
    second_stage_texts: NDArray[np.int16] = column(np.int16, 0)
    second_stage_asked: NDArray[np.float64] = column(np.float64, 0.0)
    second_stage_posts: NDArray[np.int64] = column(np.int64, 0)
    rows: dict[str, int] = field(init=False, repr=False)
    """Row of every live account: `names` the other way round."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rows = {name: row for row, name in enumerate(self.names) if name is not None}

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, name: str) -> int | None:
        """The row of `name`, None where it has none."""
        return self.rows.get(name)

    def row(self, name: str) -> int:
        """The row of `name`, a blank one where it had none."""
        row = self.rows.get(name)
        if row is not None:
            return row
        if self.free_rows:
            row = self.free_rows.pop()
            self.names[row] = name
        else:
            row = self.used
            self.names.append(name)
            if row == self.capacity:
                self.resize(2 * self.capacity)
            self.used += 1
        self.rows[name] = row
        return row

    def name(self, row: int) -> str:
        """The name of the account in a row. A row that was given up keeps its name until `free`."""
        name = self.names[row]
        assert name is not None
        return name

    def live(self) -> NDArray[np.int64]:
        """Rows in use, ascending."""
        return np.sort(np.fromiter(self.rows.values(), np.int64, len(self.rows)))

    def give_up(self, name: str) -> int:
        """Take the name from its row, which stays as it is until `free`; its next event begins another row."""
        return self.rows.pop(name)

    def free(self, rows: Iterable[int]) -> None:
        """Make rows blank and free to be used again; their names must have been given up."""
        freed = sorted(rows, reverse=True)
        if not freed:
            return
        for name, blank in self.columns().items():
            getattr(self, name)[freed] = blank
        for row in freed:
            self.names[row] = None
        self.free_rows = sorted([*self.free_rows, *freed], reverse=True)


EVENTS_KEPT: Final = 64
"""Events of an account that the details show (contract)."""

EVENTS_MS: Final = 7 * 86_400_000
"""Events older than a week show no moderator what an account does now."""

TRACES_MS: Final = 48 * 3_600_000
"""How long coordination keeps traces, so that a deletion must find their event whatever came after it."""

FEWEST_ENTRIES: Final = 65_536
"""Entries below which compacting is not worth a sort."""


@dataclass(eq=False)
class RecentEvents(Table):
    """The last events of every account in the order in which they were handled, so times never decrease.

    They are what an alert's details show, and how a deletion finds the time of the event it names. Appending is all
    that an event costs. When the columns are full, they are compacted to the last `EVENTS_KEPT` events of each account
    within `EVENTS_MS` and all events that traces are kept of; so memory follows live accounts and windows, at 17 bytes
    an event.

    Args:
        event_rows: account of each event.
        times: of the events, ms.
        kinds: of the events, as in the observation log.
        hashes: of the events' ids.
    """

    capacity: int = FEWEST_ENTRIES
    event_rows: NDArray[np.int32] = column(np.int32, 0)
    times: NDArray[np.int64] = column(np.int64, 0)
    kinds: NDArray[np.int8] = column(np.int8, 0)
    hashes: NDArray[np.uint32] = column(np.uint32, 0)

    def add(
        self,
        rows: NDArray[np.int64],
        times: NDArray[np.int64],
        kinds: NDArray[np.int8],
        hashes: NDArray[np.uint32],
    ) -> None:
        """Append events.

        Args:
            rows: (n,) accounts.
            times: (n,) ms, not before those already there.
            kinds: (n,) as in the observation log.
            hashes: (n,) of the ids.
        """
        end = self.used + len(rows)
        if end > self.capacity:
            self.compact(int(times[0]))
            end = self.used + len(rows)
            self.resize(max(FEWEST_ENTRIES, 2 * self.used, end))
        self.event_rows[self.used : end] = rows
        self.times[self.used : end] = times
        self.kinds[self.used : end] = kinds
        self.hashes[self.used : end] = hashes
        self.used = end

    def find(self, events: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """(row, time) of the events named by (row, hash of id), as far as they are kept."""
        wanted = np.fromiter((row << 32 | name for row, name in events), np.int64)
        if not len(wanted):
            return []
        used = self.used
        keys = self.event_rows[:used].astype(np.int64) << 32 | self.hashes[:used]
        found = np.flatnonzero(np.isin(keys, wanted))
        return list(zip(self.event_rows[found].tolist(), self.times[found].tolist(), strict=True))

    def names(self, rows: Iterable[int]) -> list[int]:
        """The kept events of accounts, each as row * 2^32 + hash of its id."""
        rows_of, hashes = self.event_rows[: self.used], self.hashes[: self.used]
        of = np.isin(rows_of, np.fromiter(rows, np.int32))
        found: list[int] = (rows_of[of].astype(np.int64) << 32 | hashes[of]).tolist()
        return found

    def forget(self, rows: Iterable[int]) -> None:
        """Remove all events of accounts that left."""
        gone = np.fromiter(rows, np.int32)
        if len(gone):
            self._keep(~np.isin(self.event_rows[: self.used], gone))

    def last(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int8]]:
        """(rows, times, kinds) of the last `EVENTS_KEPT` events of each of the accounts, in order of time."""
        index = np.flatnonzero(np.isin(self.event_rows[: self.used], rows))
        index = index[_later_of_same_row(self.event_rows[index]) < EVENTS_KEPT]
        return self.event_rows[index], self.times[index], self.kinds[index]

    def compact(self, now_ms: int) -> None:
        """Drop what need not be kept at `now_ms`."""
        times = self.times[: self.used]
        keep = times >= now_ms - EVENTS_MS
        keep[keep] = _later_of_same_row(self.event_rows[: self.used][keep]) < EVENTS_KEPT
        self._keep(keep | (times >= now_ms - TRACES_MS))

    def _keep(self, keep: NDArray[np.bool_]) -> None:
        kept = int(keep.sum())
        for array in (self.event_rows, self.times, self.kinds, self.hashes):
            array[:kept] = array[: self.used][keep]
        self.used = kept


def _later_of_same_row(rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) how many later entries each entry's row has."""
    order = np.argsort(rows[::-1], kind="stable")
    ordered = rows[::-1][order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(rows) else np.zeros(0, np.int64)
    within = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    rank = np.empty(len(rows), np.int64)
    rank[order] = within
    return rank[::-1]


STRONGEST: Final = 5
"""Texts kept for their evidence: what a moderator reads first."""

NEWEST: Final = 3
"""Texts kept for being new: what the account does now, and what the second stage reads next."""

TEXTS_KEPT: Final = STRONGEST + NEWEST

TEXTS_KEPT_OF_PEOPLE: Final = 2
"""Texts kept of an account whose evidence speaks for a person: nobody is going to be shown them."""


class KeptText(msgspec.Struct, array_like=True, gc=False):
    """One text.

    Args:
        at: time of its event, ms.
        id: of its event.
        text: cut at 500 characters.
        lang: its language, "" where unknown.
        first_stage: LLR of the first-stage model, millinats.
        llr: LLR that counts, millinats: the second stage's once that has read the text.
        reranked: whether the second stage was asked about it.
        gives: whether the text gave evidence; where it did not, the second stage is not asked.
    """

    at: int
    id: str
    text: str
    lang: str
    first_stage: int
    llr: int
    reranked: bool = False
    gives: bool = True


class KeptTexts(msgspec.Struct):
    """The few texts kept of each account: what an alert quotes, and what the second stage may read.

    Of a suspect at most `TEXTS_KEPT`, the strongest and the newest; of an account with no evidence against it only
    the newest. They go with their event, with their account, and after the retention.

    Args:
        of_row: texts by row of the account, in order of time.
    """

    of_row: dict[int, list[KeptText]] = {}

    def of(self, row: int) -> list[KeptText]:
        """The texts of an account, oldest first."""
        return self.of_row.get(row, [])

    def add(self, row: int, text: KeptText) -> None:
        """Keep a further text; `settle` drops what is too many."""
        self.of_row.setdefault(row, []).append(text)

    def settle(self, row: int, *, suspect: bool) -> None:
        """Drop what need not be kept: all but the newest few, and of a suspect the strongest."""
        kept = self.of_row.get(row)
        if kept is None:
            return
        if not suspect:
            del kept[:-TEXTS_KEPT_OF_PEOPLE]
        elif len(kept) > TEXTS_KEPT:
            older, newest = kept[:-NEWEST], kept[-NEWEST:]
            strongest = sorted(older, key=lambda text: (-text.llr, text.at, text.id))[:STRONGEST]
            chosen = {id(text) for text in strongest}
            self.of_row[row] = [text for text in older if id(text) in chosen] + newest

    def revise(self, row: int, event: str, text: str, lang: str) -> None:
        """Let another text stand for an event: shown, and read by the second stage where that has not read the first.

        What the first-stage model gave stays what the account's statistics hold of this event.

        Args:
            row: of the account.
            event: its id.
            text: cut at 500 characters; "" drops the one that is kept.
            lang: its language, "" where unknown.
        """
        if not text:
            self.forget_event(row, event)
        for kept in self.of(row):
            if kept.id == event:
                kept.text, kept.lang = text, lang

    def forget_event(self, row: int, event: str) -> None:
        """Drop the text of one event."""
        kept = self.of_row.get(row)
        if kept is not None:
            kept[:] = [text for text in kept if text.id != event]
            if not kept:
                del self.of_row[row]

    def forget(self, rows: Iterable[int]) -> None:
        """Drop the texts of accounts that left."""
        for row in rows:
            self.of_row.pop(row, None)

    def expire(self, before_ms: int) -> None:
        """Drop texts older than `before_ms`."""
        for row in [row for row, kept in self.of_row.items() if kept[0].at < before_ms]:
            kept = [text for text in self.of_row[row] if text.at >= before_ms]
            if kept:
                self.of_row[row] = kept
            else:
                del self.of_row[row]
