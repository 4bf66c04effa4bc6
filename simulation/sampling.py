"""What all generators share: names of array types, units of time, seeded random streams, and fast draws from tables."""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = NDArray[np.int32]
Bytes: TypeAlias = NDArray[np.int8]
Flags: TypeAlias = NDArray[np.bool_]

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def stream(seed: int, *names: str) -> np.random.Generator:
    """The random stream of one part: a function of the seed and its name, so that parts do not disturb each other."""
    digest = hashlib.sha256("/".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def segments(starts: Ints, counts: Ints) -> Ints:
    """The indices `starts[i] .. starts[i] + counts[i] - 1` of every i, one after another."""
    total = int(counts.sum())
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(total, dtype=np.int64)


def weighted(cumulative: Floats, low: Ints, high: Ints, uniform: Floats) -> Ints:
    """One index in `[low, high)` for each entry, drawn by weight; -1 where the stretch weighs nothing.

    Args:
        cumulative: shape (n + 1,), running sum of the weights, starting with 0.
        low, high: shape (k,), stretches of it.
        uniform: shape (k,), in [0, 1).
    """
    base, top = cumulative[low], cumulative[high]
    found = np.searchsorted(cumulative, base + uniform * (top - base), side="right") - 1
    found = np.minimum(np.maximum(found, low), high - 1)
    result: Ints = np.where(top > base, found, -1)
    return result


def running(weights: Floats) -> Floats:
    """`[0, w0, w0 + w1, ...]`."""
    total: Floats = np.zeros(len(weights) + 1)
    np.cumsum(weights, out=total[1:])
    return total


def first_of_each(keys: Ints) -> Flags:
    """True at the first occurrence of every value."""
    mask: Flags = np.zeros(len(keys), bool)
    mask[np.unique(keys, return_index=True)[1]] = True
    return mask


Json: TypeAlias = dict[str, Any]
