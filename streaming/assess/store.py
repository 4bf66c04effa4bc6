"""Who has which row, and what is known of each account besides its statistics (struct of arrays).

The last events of every account, as (row, time, kind, hash of the id) in flat arrays.

They are what an alert's details show, and how a deletion finds the time of the event it names. Appending is all that
an event costs. When the arrays have doubled, they are compacted to the last `KEPT` events of each account within
`WINDOW_MS` and all events that traces are kept of; so memory follows live accounts and windows, at 17 bytes an event.

The few texts that are kept of an account: what an alert quotes, and what an expert may read.

An account's row holds at most `KEPT` texts, the strongest and the newest; of an account with no evidence against it
only the newest. They go with their event, with their account, and after the retention.

Gives every text the key of its cluster of nearly equal texts, from its MinHash alone.

A text joins the cluster of a text in the window with which it shares a band and half of all values; else it begins
its own. A cluster is named by the MinHash of its first text, so only hashes are kept, in two generations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from detector.account.model import BehaviourAbstain
from detector.reasons import GraphAbstain
from detector.text.features import MINHASH_DIM, TEXT_FEATURES, TextAbstain

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


EVENTS_KEPT: Final = 64
"""Events of an account that the details show (contract)."""

TIMELINE_MS: Final = 7 * 86_400_000
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
        index = index[_rank_from_end(self._rows[index]) < EVENTS_KEPT]
        return self._rows[index], self._times[index], self._kinds[index]

    def _compact(self, now_ms: int) -> None:
        times = self._times[: self._used]
        keep = times >= now_ms - TIMELINE_MS
        keep[keep] = _rank_from_end(self._rows[: self._used][keep]) < EVENTS_KEPT
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


STRONGEST: Final = 5
"""Texts kept for their evidence: what a moderator reads first."""

NEWEST: Final = 3
"""Texts kept for being new: what the account does now, and what an expert reads next."""

TEXTS_KEPT: Final = STRONGEST + NEWEST

TEXTS_KEPT_OF_PEOPLE: Final = 2
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
            del kept[:-TEXTS_KEPT_OF_PEOPLE]
        elif len(kept) > TEXTS_KEPT:
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


NEAR_DUPLICATE_WORDS: Final = 6
"""Words below which two texts are alike by chance ("happy birthday to you")."""

NEAR_DUPLICATE_MS: Final = 24 * 3_600_000
"""How long a text is looked for at least, and at most twice as long: the longest bet on nearly equal texts is a day."""

_ROWS: Final = 2
_BANDS: Final = MINHASH_DIM // _ROWS
_WIDTH: Final = 4 * _ROWS
_BYTES: Final = 4 * MINHASH_DIM
_AGREE: Final = MINHASH_DIM // 2
"""Values out of 12 that must agree with a cluster's first text, a Jaccard similarity of about a half: one band that
collides by chance joins nothing, and clusters do not drift."""


def _offset(name: str) -> int:
    fields = TEXT_FEATURES.fields
    assert fields is not None
    return int(fields[name][1])


_MINHASH_AT: Final = _offset("minhash")
_WORDS_AT: Final = _offset("words")


class NearDuplicates:
    """Clusters of nearly equal texts. Times given must not decrease."""

    def __init__(self) -> None:
        self._generation = -(2**62)
        self._now: dict[bytes, bytes] = {}
        self._before: dict[bytes, bytes] = {}

    def key(self, reading: bytes, at_ms: int) -> str | None:
        """The cluster of a text by its packed reading; None where it has too few words to be compared."""
        if int.from_bytes(reading[_WORDS_AT : _WORDS_AT + 2], "little") < NEAR_DUPLICATE_WORDS:
            return None
        minhash = reading[_MINHASH_AT : _MINHASH_AT + _BYTES]
        if not any(minhash):
            return None
        self._turn(at_ms // NEAR_DUPLICATE_MS)
        bands = [bytes((i,)) + minhash[i * _WIDTH : (i + 1) * _WIDTH] for i in range(_BANDS)]
        first = self._cluster(bands, minhash)
        now = self._now
        for band in bands:
            now.setdefault(band, first)
        return hashlib.blake2b(first, digest_size=8).hexdigest()

    def _cluster(self, bands: list[bytes], minhash: bytes) -> bytes:
        best, agreeing = minhash, _AGREE - 1
        for band in bands:
            first = self._now.get(band) or self._before.get(band)
            if first is not None and first is not best:
                agree = sum(minhash[i : i + 4] == first[i : i + 4] for i in range(0, _BYTES, 4))
                if agree > agreeing:
                    best, agreeing = first, agree
        return best

    def _turn(self, generation: int) -> None:
        if generation != self._generation:
            self._before = self._now if generation == self._generation + 1 else {}
            self._now = {}
            self._generation = generation

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        firsts: dict[bytes, int] = {}
        generations = [
            [b"".join(bands), [firsts.setdefault(first, len(firsts)) for first in bands.values()]]
            for bands in (self._now, self._before)
        ]
        return {"generation": self._generation, "bands": generations, "firsts": b"".join(firsts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        raw: bytes = state["firsts"]
        firsts = [raw[i : i + _BYTES] for i in range(0, len(raw), _BYTES)]
        width = 1 + _WIDTH
        self._generation = state["generation"]
        self._now, self._before = (
            {bands[i * width : (i + 1) * width]: firsts[first] for i, first in enumerate(index)}
            for bands, index in state["bands"]
        )
