"""The decayed statistics of accounts: one fixed-size row each, updated in place with every event."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account import features as at_
from detector.account.features import AccountFeatures, features_of
from detector.errors import UsageError
from detector.evidence import MILLINAT
from detector.text.features import TextAbstain, TextFeatures

NEVER: Final = -(2**62)
"""`last_ms` of a row without events."""

_POST_DECAY: Final = np.float32(2.0 ** (-1.0 / at_.HALF_LIFE_POSTS))
_ARRAYS: Final = ("table", "last_ms", "wrote_ms", "events", "posts", "language", "recent")


class AccountStatistics:
    """Decayed statistics of accounts as struct of arrays; the caller decides which account has which row.

    Args:
        capacity: rows to begin with.

    Every update is a function of the row's own past and its own event: neither the other rows of a call nor how
    events are spread over calls change a bit of it.
    """

    table: NDArray[np.float32]
    """(capacity, COLUMNS), columns as in `detector.account.features`."""
    last_ms: NDArray[np.int64]
    """(capacity,) time of the last event, `NEVER` before the first."""
    wrote_ms: NDArray[np.int64]
    """(capacity,) time of the last post, reply or quote, `NEVER` before the first."""
    events: NDArray[np.uint32]
    """(capacity,) events observed, not decayed."""
    posts: NDArray[np.uint32]
    """(capacity,) texts that gave evidence, not decayed."""
    language: NDArray[np.uint16]
    """(capacity, LANGUAGES) language codes of the slots in `LANGUAGE_WEIGHT`."""
    recent: NDArray[np.uint32]
    """(capacity, RECENT) fingerprints of the last texts, 0 where there is none."""

    def __init__(self, capacity: int = 1024) -> None:
        self.table = np.zeros((capacity, at_.COLUMNS), np.float32)
        self.last_ms = np.full(capacity, NEVER, np.int64)
        self.wrote_ms = np.full(capacity, NEVER, np.int64)
        self.events = np.zeros(capacity, np.uint32)
        self.posts = np.zeros(capacity, np.uint32)
        self.language = np.zeros((capacity, at_.LANGUAGES), np.uint16)
        self.recent = np.zeros((capacity, at_.RECENT), np.uint32)

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self.last_ms)

    def grow(self, capacity: int) -> None:
        """Make room for at least `capacity` rows; what is there stays."""
        if capacity <= self.capacity:
            return
        larger = AccountStatistics(capacity)
        for name in _ARRAYS:
            old = getattr(self, name)
            new = getattr(larger, name)
            new[: len(old)] = old
            setattr(self, name, new)

    def observe(
        self,
        rows: NDArray[np.int64],
        at_ms: NDArray[np.int64],
        kinds: NDArray[np.integer[Any]],
        text_features: TextFeatures,
        has_text: NDArray[np.bool_],
        lang_codes: NDArray[np.uint16],
        link_counts: NDArray[np.integer[Any]],
    ) -> None:
        """One event per row; rows distinct within a call, events of one account in order over calls.

        Args:
            rows: (n,) rows, distinct.
            at_ms: (n,) event times.
            kinds: (n,) kinds in the order of the observation log; deletions must not be passed.
            text_features: (n,) dtype TEXT_FEATURES; ignored where there is no text.
            has_text: (n,) whether the event has text.
            lang_codes: (n,) `language_code` of the post's language.
            link_counts: (n,) links in the event.
        """
        n = len(rows)
        if n == 0:
            return
        kinds = kinds.astype(np.intp)  # they index columns: a narrow type would overflow
        table = self.table[rows]
        last = self.last_ms[rows]
        elapsed = np.where(last == NEVER, 0, np.maximum(at_ms - last, 0))
        forgot = np.exp2(elapsed * (-1.0 / at_.HALF_LIFE_MS)).astype(np.float32)
        gives = has_text & (text_features["abstain"] == TextAbstain.NONE)

        events = table[:, at_.EVENT_BLOCK]
        events *= (forgot * _POST_DECAY)[:, None]
        wrote = self.wrote_ms[rows]
        writes = at_.WRITES[kinds]
        self._add_event(table, at_ms, kinds, writes, wrote, link_counts)
        reason = np.where(has_text, text_features["abstain"], TextAbstain.NO_TEXT)
        index = np.arange(n)
        table[index, at_.ABSTAINED.start + reason] += 1

        text_forgot = np.where(gives, forgot * _POST_DECAY, forgot)
        table[:, at_.TEXT_BLOCK] *= text_forgot[:, None]
        table[:, at_.WEIGHT_SQUARED] *= text_forgot
        if gives.any():
            chosen = np.flatnonzero(gives)
            if len(chosen) == n:
                self._add_texts(rows, table, text_features, lang_codes)
            else:
                part = table[chosen]
                self._add_texts(rows[chosen], part, text_features[chosen], lang_codes[chosen])
                table[chosen] = part
        self.table[rows] = table
        self.last_ms[rows] = np.maximum(at_ms, last)
        self.wrote_ms[rows] = np.where(writes, np.maximum(at_ms, wrote), wrote)
        self.events[rows] += np.uint32(1)

    @staticmethod
    def _add_event(
        table: NDArray[np.float32],
        at_ms: NDArray[np.int64],
        kinds: NDArray[np.integer[Any]],
        writes: NDArray[np.bool_],
        wrote: NDArray[np.int64],
        link_counts: NDArray[np.integer[Any]],
    ) -> None:
        index = np.arange(len(at_ms))
        table[:, at_.EVENTS] += 1
        written = writes.astype(np.float32)
        table[:, at_.WRITTEN] += written
        first = wrote == NEVER
        pause = np.where(first, 0, np.maximum(at_ms - wrote, 0))
        seconds = pause * 1e-3
        again = written * ~first
        table[index, at_.GAP_BINS.start + np.searchsorted(at_.GAP_EDGES_S, seconds, side="right")] += again
        log_gap = np.log1p(seconds).astype(np.float32) * again
        table[:, at_.GAP_SUM] += log_gap
        table[:, at_.GAP_SQUARED] += log_gap * log_gap
        table[:, at_.SESSIONS] += writes & (first | (pause > at_.SESSION_GAP_MS))
        table[index, at_.HOURS.start + at_ms // 3_600_000 % 24] += written
        table[index, at_.KIND_BINS.start + kinds] += 1
        table[:, at_.LINKED] += link_counts > 0

    def _add_texts(
        self,
        rows: NDArray[np.int64],
        table: NDArray[np.float32],
        text_features: TextFeatures,
        lang_codes: NDArray[np.uint16],
    ) -> None:
        """Add texts that give evidence to `table`, the decayed rows of `rows`."""
        index = np.arange(len(rows))
        llr = text_features["llr"] * np.float32(1 / MILLINAT)
        style = text_features["style"].astype(np.float32)
        table[:, at_.WEIGHT] += 1
        table[:, at_.WEIGHT_SQUARED] += 1
        table[:, at_.LLR_SUM] += llr
        table[:, at_.LLR_SQUARED] += llr * llr
        table[index, at_.LLR_BINS.start + np.searchsorted(at_.LLR_EDGES, llr, side="right")] += 1
        table[:, at_.STYLE_SUM] += style
        table[:, at_.STYLE_SQUARED] += style * style
        table[:, at_.SKETCH_SUM] += text_features["sketch"] * np.float32(1 / 127)

        fingerprint = text_features["minhash"][:, 0]
        recent = self.recent[rows]
        table[:, at_.REPEATS] += ((recent == fingerprint[:, None]) & (fingerprint[:, None] != 0)).any(axis=1)
        self.recent[rows, self.posts[rows] % at_.RECENT] = fingerprint
        self.posts[rows] += np.uint32(1)

        # Heaviest languages by Misra and Gries (1982): a match counts up, an empty slot is taken, else all count down.
        slots = self.language[rows]
        weights = table[:, at_.LANGUAGE_WEIGHT]
        match = (slots == lang_codes[:, None]) & (weights > 0)
        known = match.any(axis=1)
        slot = np.where(known, match.argmax(axis=1), weights.argmin(axis=1))
        room = known | (weights[index, slot] < _EMPTY)
        slots[index, slot] = np.where(room, lang_codes, slots[index, slot])
        taken = weights[index, slot] * known + 1
        weights -= (~room)[:, None]
        np.maximum(weights, 0, out=weights)
        weights[index, slot] = np.where(room, taken, weights[index, slot])
        self.language[rows] = slots

    def observe_second_stage(
        self, rows: NDArray[np.int64], llr_millinats: NDArray[np.int16], first_stage_millinats: NDArray[np.int16]
    ) -> None:
        """The second stage's evidence of one text per row; rows distinct within a call.

        Args:
            rows: (n,) rows, distinct.
            llr_millinats: (n,) the second stage's LLR of the text.
            first_stage_millinats: (n,) the first-stage LLR of the same text.
        """
        if len(rows) == 0:
            return
        llr = llr_millinats * np.float32(1 / MILLINAT)
        gain = llr - first_stage_millinats * np.float32(1 / MILLINAT)
        table = self.table[rows]
        table[:, at_.SECOND_STAGE_COUNT] += 1
        table[:, at_.SECOND_STAGE_SUM] += llr
        table[:, at_.SECOND_STAGE_SQUARED] += llr * llr
        table[:, at_.GAIN_SUM] += gain
        table[:, at_.GAIN_SQUARED] += gain * gain
        self.table[rows] = table

    def clear(self, rows: NDArray[np.int64]) -> None:
        """Forget everything of `rows`; they are as new."""
        self.table[rows] = 0
        self.last_ms[rows] = NEVER
        self.wrote_ms[rows] = NEVER
        self.events[rows] = 0
        self.posts[rows] = 0
        self.language[rows] = 0
        self.recent[rows] = 0

    def features(self, rows: NDArray[np.int64]) -> AccountFeatures:
        """What the model reads, for (n,) rows in their order; rows may repeat."""
        return features_of(self.table[rows], self.posts[rows], self.language[rows])

    def mean_log_words(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n,) mean of the style feature `log_words` over the texts that gave evidence; 0 without any."""
        weight = self.table[rows, at_.WEIGHT]
        known = weight > at_.FORGOTTEN
        words = self.table[rows, at_.STYLE_SUM.start]
        return np.where(known, words / np.where(known, weight, np.float32(1)), np.float32(0)).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The whole state by name, without copies; `from_arrays` is its exact inverse."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> AccountStatistics:
        """The statistics whose `arrays` these are.

        Raises:
            UsageError: an array is missing or of another shape or type than this version keeps.
        """
        missing = [name for name in _ARRAYS if name not in arrays]
        if missing:
            raise UsageError(
                f"account statistics lack {', '.join(missing)}: the snapshot is of another version; start from offset 0"
            )
        fresh = cls(len(arrays["last_ms"]))
        for name in _ARRAYS:
            expected = getattr(fresh, name)
            given = arrays[name]
            if given.shape != expected.shape or given.dtype != expected.dtype:
                raise UsageError(
                    f"account statistics: {name} is {given.dtype}{list(given.shape)}, "
                    f"expected {expected.dtype}{list(expected.shape)}: the snapshot is of another version"
                )
            setattr(fresh, name, np.array(given))
        return fresh


_EMPTY: Final = np.float32(0.05)
"""Weight under which a language's slot is free: it was last seen more than 200 posts ago."""
