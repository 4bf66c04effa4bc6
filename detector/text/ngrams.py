"""Hashed n-grams: characters 2-5 within words (their surrounding spaces included) and words 1-2, in 2^18 buckets."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.text.encode import CharClass, Encoded, mix

BUCKETS: Final = 1 << 18
"""Buckets of the hash: half a megabyte of float16 weights; twice as many changed no figure by more than the noise."""

CHAR_SIZES: Final = (2, 3, 4, 5)

_SHIFT: Final = np.uint64(64 - 18)
_SALTS: Final = {size: np.uint64(0xA24BAED4963EE407 * (size + 1) % 2**64) for size in (1, 2, 3, 4, 5, 12)}

Buckets = NDArray[np.int32]


def char_hashes(encoded: Encoded, size: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Mixed hash of the window of `size` characters at every position, and whether it is an n-gram of one word.

    An n-gram may begin or end with the space beside its word and holds no other, so none spans two texts.
    """
    count = len(encoded.codes) - size
    raw = (encoded.prefix[size : size + count] - encoded.prefix[:count]) * encoded.unshift[:count]
    space = encoded.classes == CharClass.SPACE
    inside = np.zeros(count, dtype=bool)
    for k in range(1, size - 1):
        inside |= space[k : k + count]
    if size == 2:
        inside = space[:count] & space[1 : 1 + count]
    return mix(raw + _SALTS[size]), ~inside


def char_buckets(encoded: Encoded, size: int) -> tuple[Buckets, NDArray[np.bool_]]:
    """Bucket of every window of `size` characters, and whether it is an n-gram, both (chars - size,)."""
    hashes, valid = char_hashes(encoded, size)
    return (hashes >> _SHIFT).astype(np.int32), valid


def word_buckets(encoded: Encoded) -> tuple[Buckets, Buckets, NDArray[np.bool_]]:
    """Bucket of every word, of every word with its next, (words,); and whether that pair is in one text."""
    single = (mix(encoded.word_hash + _SALTS[1]) >> _SHIFT).astype(np.int32)
    following = np.roll(encoded.word_hash, -1)
    pair = (mix(encoded.word_hash * np.uint64(3) + following + _SALTS[12]) >> _SHIFT).astype(np.int32)
    valid = encoded.word_owner == np.roll(encoded.word_owner, -1)
    if len(valid):
        valid[-1] = False
    return single, pair, valid


def sums(encoded: Encoded, weights: NDArray[np.int32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of each text's character and word n-grams, each divided by the root of how many there are, (n,) both.

    Args:
        encoded: the texts.
        weights: (BUCKETS,) whole numbers; the sums are exact, so no text's sum depends on another's.
    """
    size = encoded.size
    chars = np.zeros(size, dtype=np.int64)
    char_count = np.zeros(size, dtype=np.int64)
    padded = len(encoded.codes)
    for n in CHAR_SIZES:
        buckets, valid = char_buckets(encoded, n)
        value = np.zeros(padded, dtype=np.int32)
        np.multiply(weights[buckets], valid, out=value[: len(buckets)])
        chars += encoded.total(value)
        kept = np.zeros(padded, dtype=bool)
        kept[: len(valid)] = valid
        char_count += encoded.total(kept)
    single, pair, valid = word_buckets(encoded)
    words = encoded.word_total(weights[single].astype(np.int64) + weights[pair] * valid.astype(np.int64))
    word_count = encoded.word_counts + encoded.word_total(valid)
    return chars / np.sqrt(np.maximum(char_count, 1)), words / np.sqrt(np.maximum(word_count, 1))


def entries(encoded: Encoded) -> tuple[NDArray[np.int64], Buckets, NDArray[np.float32]]:
    """The same as (text, bucket, value) triples for training: `sums` is their product with the weights, summed.

    Character and word n-grams share the buckets and are scaled apart, as in `sums`.
    """
    owners, buckets = [], []
    position = np.searchsorted(encoded.ends, np.arange(len(encoded.codes)), side="right")
    char_count = np.zeros(encoded.size, dtype=np.int64)
    for n in CHAR_SIZES:
        bucket, valid = char_buckets(encoded, n)
        owner = position[: len(bucket)][valid]
        owners.append(owner)
        buckets.append(bucket[valid])
        char_count += np.bincount(owner, minlength=encoded.size)[: encoded.size]
    chars = sum(map(len, owners))
    single, pair, valid = word_buckets(encoded)
    owners += [encoded.word_owner, encoded.word_owner[valid]]
    buckets += [single, pair[valid]]
    word_count = encoded.word_counts + encoded.word_total(valid)
    owner = np.concatenate(owners)
    scale = np.empty(len(owner), dtype=np.float32)
    scale[:chars] = (1 / np.sqrt(np.maximum(char_count, 1)))[owner[:chars]]
    scale[chars:] = (1 / np.sqrt(np.maximum(word_count, 1)))[owner[chars:]]
    return owner, np.concatenate(buckets), scale
