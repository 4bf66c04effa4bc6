"""Many normalised texts as one array of code points, with their words found and hashed.

Everything downstream (style, n-grams, sketch, minhash) works on these arrays with exact integer arithmetic per text,
so that a text's reading cannot depend on the texts read beside it, to the last bit.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

BASE: Final = np.uint64(0x9E3779B97F4A7C15)
"""Base of the polynomial hash modulo 2^64: odd, so that it has an inverse and a prefix hash can be shifted back."""

BASE_INVERSE: Final = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
MIX: Final = np.uint64(0xD6E8FEB86659FD93)

PAD: Final = 8
"""Spaces after the last text, so that the longest n-gram window stays inside the array."""

PLANE: Final = 0x10000


class CharClass(IntEnum):
    """What a character is, as far as style and word boundaries care."""

    MARK = 0
    SPACE = 1
    LOWER = 2
    UPPER = 3
    DIGIT = 4
    LETTER = 5
    """A letter without case, or a mark that belongs to one."""
    IDEOGRAPH = 6
    """A character that is a word by itself: Chinese, Japanese kana, and other scripts without spaces."""


_BY_CATEGORY: Final = {"Ll": CharClass.LOWER, "Lu": CharClass.UPPER, "Lt": CharClass.UPPER, "Nd": CharClass.DIGIT}


def _classify(char: str) -> CharClass:
    category = unicodedata.category(char)
    if "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff":
        return CharClass.IDEOGRAPH if category[0] == "L" else CharClass.MARK
    if char.isspace():
        return CharClass.SPACE
    return _BY_CATEGORY.get(category, CharClass.LETTER if category[0] in "LM" else CharClass.MARK)


@lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Class and folded code of every character of the first plane: lower case, digits all `0`."""
    chars = [chr(code) for code in range(PLANE)]
    classes = np.array([_classify(char) for char in chars], dtype=np.uint8)
    lower = [char.lower() for char in chars]
    folded = np.array([ord(low if len(low) == 1 else char) for char, low in zip(chars, lower, strict=True)], np.uint32)
    folded[classes == CharClass.DIGIT] = ord("0")
    return classes, folded


@lru_cache(maxsize=4)
def _powers(length: int) -> tuple[U64, U64]:
    """BASE^i and BASE^-i modulo 2^64 for i < length."""
    out = []
    for base in (BASE, BASE_INVERSE):
        steps = np.full(length, base, dtype=np.uint64)
        steps[0] = 1
        out.append(np.multiply.accumulate(steps))
    return out[0], out[1]


def mix(hashes: U64) -> U64:
    """Spread the entropy of polynomial hashes over all bits (two rounds of multiply and xor-shift)."""
    x = (hashes ^ (hashes >> np.uint64(32))) * MIX
    x = (x ^ (x >> np.uint64(32))) * MIX
    return x ^ (x >> np.uint64(29))


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as arrays. Text i is characters `starts[i]` to `ends[i]`, one space before and after it included.

    `codes`, `folded`, `classes`: (chars,), as written, lower-cased with digits as `0`, and `CharClass`.
    `prefix`, `unshift`: (chars + 1,) prefix sums of the polynomial hash of `folded`, and BASE^-i.
    `word_starts`, `word_ends`, `word_owner`, `word_hash`: (words,) runs of letters and digits (an apostrophe between
    letters belongs to its word), the text they are in, and their mixed 64-bit hash.
    `word_counts`, `word_offsets`: (n,) words of each text, and where they begin.
    """

    size: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    codes: NDArray[np.uint32]
    folded: NDArray[np.uint32]
    classes: NDArray[np.uint8]
    prefix: U64
    unshift: U64
    word_starts: NDArray[np.int64]
    word_ends: NDArray[np.int64]
    word_owner: NDArray[np.int64]
    word_hash: U64
    word_counts: NDArray[np.int64]
    word_offsets: NDArray[np.int64]

    def total(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Sum of per-character integers (or booleans) over each text, shape (n,)."""
        if not self.size:
            return np.zeros(0, dtype=np.int64)
        kept = values[: int(self.ends[-1])]
        return np.add.reduceat(kept, self.starts, dtype=np.int64)

    def word_total(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Sum of per-word integers (or booleans) over each text, shape (n,)."""
        sums = np.zeros(len(values) + 1, dtype=np.int64)
        np.cumsum(values, out=sums[1:])
        total: NDArray[np.int64] = sums[self.word_offsets + self.word_counts] - sums[self.word_offsets]
        return total


def encode(texts: Sequence[str]) -> Encoded:
    """Encode normalised texts (`normalise.normalise`), in order."""
    class_of, fold_of = _tables()
    blob = "".join([f" {text} " for text in texts]) + " " * PAD
    codes = np.frombuffer(blob.encode("utf-32-le", errors="replace"), dtype="<u4").astype(np.uint32)
    lengths = np.fromiter((len(text) + 2 for text in texts), dtype=np.int64, count=len(texts))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    low = np.minimum(codes, PLANE - 1)
    beyond = codes >= PLANE
    classes = class_of[low]
    folded = fold_of[low]
    if beyond.any():
        classes[beyond] = CharClass.LETTER
        folded[beyond] = codes[beyond]

    power, unshift = _powers(1 << (len(codes) + 1).bit_length())
    prefix = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.cumsum((folded + np.uint32(1)).astype(np.uint64) * power[: len(codes)], out=prefix[1:])

    is_word = classes >= CharClass.LOWER
    joint = codes == ord("'")
    joint[1:-1] &= is_word[:-2] & is_word[2:]
    is_word |= joint
    alone = classes == CharClass.IDEOGRAPH
    begins = is_word.copy()
    begins[1:] &= ~is_word[:-1] | alone[1:] | alone[:-1]
    finishes = is_word.copy()
    finishes[:-1] &= ~is_word[1:] | alone[1:] | alone[:-1]
    word_starts = np.flatnonzero(begins)
    word_ends = np.flatnonzero(finishes) + 1
    word_owner = np.searchsorted(ends, word_starts, side="right")
    word_hash = mix((prefix[word_ends] - prefix[word_starts]) * unshift[word_starts])
    word_counts = np.bincount(word_owner, minlength=len(texts))
    return Encoded(
        size=len(texts),
        starts=starts,
        ends=ends,
        codes=codes,
        folded=folded,
        classes=classes,
        prefix=prefix,
        unshift=unshift,
        word_starts=word_starts,
        word_ends=word_ends,
        word_owner=word_owner,
        word_hash=word_hash,
        word_counts=word_counts,
        word_offsets=np.cumsum(word_counts) - word_counts,
    )


def hash_words(words: Sequence[str]) -> U64:
    """The sorted `word_hash` of each of `words` (lower case, single words), for membership tests."""
    return np.unique(encode(words).word_hash)


def among(hashes: U64, known: U64) -> NDArray[np.bool_]:
    """Which of `hashes` are in the sorted array `known`."""
    place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    found: NDArray[np.bool_] = known[place] == hashes
    return found
