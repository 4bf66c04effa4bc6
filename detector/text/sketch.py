"""What a text resembles, in constant size: a signed projection for self-similarity, MinHash for near-duplicates."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.text.encode import Encoded, mix
from detector.text.ngrams import char_hashes
from detector.text.reading import MINHASH_DIM, SKETCH_DIM

RARITIES: Final = 1 << 16
"""Buckets of the table of how rare a trigram or word is; common ones say nothing about who resembles whom."""

_SIGN_BITS: Final = np.uint64(32)
_RARITY_BITS: Final = np.uint64(0xFFFF)
_MULTIPLIERS: Final = mix(np.arange(1, MINHASH_DIM + 1, dtype=np.uint64)) | np.uint64(1)
_OFFSETS: Final = mix(np.arange(101, MINHASH_DIM + 101, dtype=np.uint64))
_SHINGLE: Final = np.array([0x9DDFEA08EB382D69, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


def rarity_bucket(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Bucket of the rarity table for mixed hashes."""
    return (hashes & _RARITY_BITS).astype(np.int64)


def _signed(hashes: NDArray[np.uint64], weight: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(k, SKETCH_DIM): the weight where the hash's sign bit is set, else 0."""
    bits = np.unpackbits((hashes >> _SIGN_BITS).astype("<u4").view(np.uint8).reshape(-1, 4), axis=1)
    return bits * weight[:, None]


def sketches(encoded: Encoded, rarity: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Signed hashed projection of words and character trigrams, weighed by rarity, unit length times 127.

    Args:
        encoded: n texts.
        rarity: (RARITIES,) weight 0-255 of each bucket of trigrams and words.

    Returns:
        (n, SKETCH_DIM); zeros for a text without words. Dot product of two rows / 127^2 estimates their cosine
        (Charikar 2002, with counts in place of sets).
    """
    n = encoded.size
    out = np.zeros((n, SKETCH_DIM), dtype=np.int64)
    if not n:
        return out.astype(np.int8)
    hashes, valid = char_hashes(encoded, 3)
    place = np.flatnonzero(valid)
    owner = np.searchsorted(encoded.ends, place, side="right")
    for found, owners in ((hashes[place], owner), (encoded.word_hash, encoded.word_owner)):
        counts = np.bincount(owners, minlength=n)
        some = np.flatnonzero(counts)
        if not len(some):
            continue
        weight = rarity[rarity_bucket(found)]
        offsets = (np.cumsum(counts) - counts)[some]
        positive = np.add.reduceat(_signed(found, weight), offsets, axis=0, dtype=np.int64)
        total = np.add.reduceat(weight, offsets, dtype=np.int64)
        out[some] += 2 * positive - total[:, None]
    out[encoded.word_counts == 0] = 0
    norm = np.sqrt((out * out).sum(axis=1))
    unit: NDArray[np.int8] = np.rint(out * 127 / np.maximum(norm, 1)[:, None]).astype(np.int8)
    return unit


def minhashes(encoded: Encoded) -> NDArray[np.uint32]:
    """MinHash of the set of word 3-shingles (lower case, without punctuation), (n, MINHASH_DIM).

    A text of one or two words is one shingle; a text without words is all zeros. Two texts agree in each value with
    probability of about their Jaccard similarity (Broder 1997).
    """
    n = encoded.size
    out = np.zeros((n, MINHASH_DIM), dtype=np.uint32)
    words = encoded.word_hash
    if not len(words):
        return out
    counts = encoded.word_counts
    rank = np.arange(len(words)) - encoded.word_offsets[encoded.word_owner]
    left = counts[encoded.word_owner] - rank
    second = np.where(left >= 2, np.roll(words, -1), 0).astype(np.uint64)
    third = np.where(left >= 3, np.roll(words, -2), 0).astype(np.uint64)
    kept = (left >= 3) | (rank == 0)
    shingles = mix(words * _SHINGLE[0] + second * _SHINGLE[1] + third * _SHINGLE[2])[kept]
    owner = encoded.word_owner[kept]
    some, offsets = np.unique(owner, return_index=True)
    values = ((shingles[:, None] * _MULTIPLIERS + _OFFSETS) >> np.uint64(32)).astype(np.uint32)
    out[some] = np.minimum.reduceat(values, offsets, axis=0)
    return out
