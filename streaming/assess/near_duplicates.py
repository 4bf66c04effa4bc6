"""Gives every text the key of its cluster of nearly equal texts, from its MinHash alone.

A text joins the cluster of a text in the window with which it shares a band and half of all values; else it begins
its own. A cluster is named by the MinHash of its first text, so only hashes are kept, in two generations.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from detector.text.reading import MINHASH_DIM, READING

NEAR_DUPLICATE_WORDS: Final = 6
"""Words below which two texts are alike by chance ("happy birthday to you")."""

WINDOW_MS: Final = 24 * 3_600_000
"""How long a text is looked for at least, and at most twice as long: the longest bet on nearly equal texts is a day."""

_ROWS: Final = 2
_BANDS: Final = MINHASH_DIM // _ROWS
_WIDTH: Final = 4 * _ROWS
_BYTES: Final = 4 * MINHASH_DIM
_AGREE: Final = MINHASH_DIM // 2
"""Values out of 12 that must agree with a cluster's first text, a Jaccard similarity of about a half: one band that
collides by chance joins nothing, and clusters do not drift."""


def _offset(name: str) -> int:
    fields = READING.fields
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
        self._turn(at_ms // WINDOW_MS)
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
