"""Pairs by definition: accounts that share at least so many objects within so many seconds of each other.

This is how CooRTweet (Righetti & Balluff 2025), CooRnet (Giglietto et al. 2020) and coordination-network-toolkit
(Graham & QUT Digital Observatory 2020) define coordination: no expectation, no error rate, every pair beyond a
threshold. An object counts once for a pair, however often both acted on it, and times exactly the window apart count.

Memory is bounded, whatever the table: objects are joined with themselves a portion at a time, accounts that cannot
reach the threshold are left out before, and where the pairs themselves would be too many, they are counted in several
passes, each over its share of the accounts. An object with more traces than `max_object` is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_OBJECT: Final = 20_000
"""Traces of an object beyond which it is left out: its pairs grow with the square, and what everybody shares within
minutes says nothing about two of them."""

PORTION: Final = 1_000_000
"""Pairs of traces compared at once: as many as stay near the processor; 50 MB of arrays."""

WAITING: Final = 8 * PORTION
"""Pairs that wait to be counted, at least, so that counts are merged seldom."""

PAIRS_AT_ONCE: Final = 30_000_000
"""Pairs of accounts counted in one pass: half a gigabyte."""

Ints = NDArray[np.int64]


class SharedPairs(NamedTuple):
    """Pairs of accounts, m of them, sorted by (a, b).

    Args:
        a: number of one account, shape (m,).
        b: number of the other, a < b, shape (m,).
        shared: objects that both shared within the window, shape (m,).
        capped: objects left out because too many shared them.
        capped_traces: traces on those.
    """

    a: Ints
    b: Ints
    shared: Ints
    capped: int
    capped_traces: int


def co_sharing(
    at: Ints,
    account: NDArray[np.int32],
    item: Ints,
    *,
    window_ms: int,
    min_shared: int,
    max_object: int = MAX_OBJECT,
) -> SharedPairs:
    """Pairs that share at least `min_shared` objects within `window_ms`.

    Args:
        at: times of traces, ms, in any order, shape (n,).
        account: number of each account, from 0, shape (n,).
        item: number of each object, from 0; objects of two kinds have different ones, shape (n,).
        window_ms: longest lag.
        min_shared: objects that a pair must share, at least 1.
        max_object: traces of an object beyond which it is left out.
    """
    in_time = bool((at[1:] >= at[:-1]).all())  # as tables are read
    order = np.argsort(item, kind="stable") if in_time else np.lexsort((at, item))
    at, who, item = at[order], account[order], item[order]
    del order
    size = np.bincount(item) if len(item) else np.zeros(0, np.int64)
    large = size > max_object
    capped, capped_traces = int(large.sum()), int(size[large].sum())
    places = np.flatnonzero(((size >= 2) & ~large)[item])
    del size, large
    accounts = int(who.max(initial=-1)) + 1
    last = np.zeros(0, np.int64)
    while len(places):
        # Who meets somebody on fewer objects than a pair must share is in no pair; without them others meet fewer.
        at, who, item = at[places], who[places], item[places]
        last = _last_within(at, item, window_ms)
        met = _meets_another(who, last)
        objects = np.bincount(_sorted_once(item[met] * accounts + who[met]) % accounts, minlength=accounts)
        places = np.flatnonzero(objects[who] >= min_shared)
        if len(places) == len(who):
            break
    else:
        empty = np.zeros(0, np.int64)
        return SharedPairs(empty, empty, empty, capped, capped_traces)
    names = _sorted_once(who.astype(np.int64))
    rank, accounts = np.searchsorted(names, who), len(names)
    item = np.cumsum(np.r_[0, item[1:] != item[:-1]])
    comparisons = int((last - np.arange(len(last))).sum())
    passes = max(-(-comparisons // PAIRS_AT_ONCE), 1)
    parts = [
        _count(rank, item, last, accounts, min_shared, (number, passes)) for number in range(passes)
    ]  # fmt: skip
    code, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(code)
    code, count = code[order], count[order]
    return SharedPairs(names[code // accounts], names[code % accounts], count, capped, capped_traces)


def _last_within(at: Ints, item: Ints, window_ms: int) -> Ints:
    """Place of the last trace of the same object that is at most `window_ms` later, for traces by object and time."""
    out = np.empty(len(at), np.int64)
    start = 0
    while start < len(at):
        # Objects lie far apart on one line; portions of them, so that the line stays within 64 bits.
        stop = int(np.searchsorted(item, item[min(start + PORTION, len(at)) - 1], side="right"))
        when, number = at[start:stop], item[start:stop]
        first = int(when.min())
        stride = int(when.max()) - first + window_ms + 1
        rank = np.cumsum(np.r_[0, number[1:] != number[:-1]])
        line = rank * stride + (when - first)
        out[start:stop] = start + np.searchsorted(line, line + window_ms, side="right") - 1
        start = stop
    return out


def _meets_another(who: NDArray[np.int32], last: Ints) -> NDArray[np.bool_]:
    """Whether another account acts on the object within the window, before or after."""
    n = len(who)
    # Runs of one account: the next trace of another one is where the run ends.
    change = np.flatnonzero(np.r_[who[1:] != who[:-1], True])
    next_other = change[np.searchsorted(change, np.arange(n))] + 1
    met = next_other <= last
    # Whom an earlier trace reaches is met too: the furthest reach of those before.
    begun = np.bincount(next_other[met], minlength=n + 1) - np.bincount(last[met] + 1, minlength=n + 1)
    return met | (np.cumsum(begun)[:n] > 0)


def _count(
    who: Ints, item: Ints, last: Ints, accounts: int, min_shared: int, share: tuple[int, int]
) -> tuple[Ints, Ints]:
    """Pairs of the share's accounts, as a * accounts + b, and how many objects they share.

    Args:
        who: account of each trace, by object and time.
        item: object of each.
        last: as `_last_within` gives it.
        accounts: how many there are.
        min_shared: objects that a pair must share.
        share: (number, of how many): pairs are of the share of their lower account.
    """
    number, passes = share
    code, count = np.zeros(0, np.int64), np.zeros(0, np.int64)
    held: list[Ints] = []
    waiting = 0
    for met in _distinct(who, item, last, accounts):
        mine = met if passes == 1 else met[(met // accounts) % passes == number]
        held.append(mine)
        waiting += len(mine)
        if waiting > len(code) + WAITING:
            code, count = _merged(code, count, held)
            held, waiting = [], 0
    code, count = _merged(code, count, held)
    kept = count >= min_shared
    return code[kept], count[kept]


def _distinct(who: Ints, item: Ints, last: Ints, accounts: int) -> Iterator[Ints]:
    """Pairs that meet, as a * accounts + b, each once for every object; a portion of the objects at a time."""
    reach = last - np.arange(len(last))
    once = len(_sorted_once(item * accounts + who)) == len(who)
    total = np.cumsum(reach)
    starts = np.flatnonzero(np.r_[True, item[1:] != item[:-1]])
    ends = np.r_[starts[1:], len(item)]
    sums = total[ends - 1]
    first = 0
    while first < len(starts):
        before = int(sums[first - 1]) if first else 0
        limit = int(np.searchsorted(sums, before + PORTION, side="right"))
        after = max(limit, first + 1)  # an object alone may be larger than a portion, up to max_object squared
        low, high = int(starts[first]), int(ends[after - 1])
        first = after
        yield _met(who, item, reach, (low, high), accounts, once=once)


def _met(who: Ints, item: Ints, reach: Ints, span: tuple[int, int], accounts: int, *, once: bool) -> Ints:
    """The pairs of some objects, each once for every object.

    Args:
        who: account of each trace, by object and time.
        item: object of each.
        reach: how many traces after each are within its window.
        span: of the traces of these objects.
        accounts: how many there are.
        once: whether no account has two traces on one object, so that no pair can come twice.
    """
    low, high = span
    out: list[Ints] = []
    while low < high:
        # A hot object goes in blocks of its traces; what two blocks both hold is sorted out below.
        sums = np.cumsum(reach[low:high])
        stop = low + max(int(np.searchsorted(sums, PORTION, side="right")), 1)
        counts = reach[low:stop]
        left = np.repeat(np.arange(low, stop), counts)
        right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        one, two = who[left], who[right]
        a, b = np.minimum(one, two), np.maximum(one, two)
        if once:
            out.append(a * accounts + b)
            low = stop
            continue
        kept = a != b
        pair = (a * accounts + b)[kept]
        rank = item[left[kept]] - item[span[0]]
        if (int(item[high - 1] - item[span[0]]) + 1) * accounts**2 < 2**63:
            pair = _sorted_once(rank * accounts**2 + pair) % accounts**2
        else:  # too large for one number
            order = np.lexsort((pair, rank))
            pair, rank = pair[order], rank[order]
            pair = pair[np.r_[True, (pair[1:] != pair[:-1]) | (rank[1:] != rank[:-1])]] if len(pair) else pair
        one_object = item[span[0]] == item[high - 1]
        out.append(_sorted_once(np.r_[out.pop(), pair]) if out and one_object else pair)
        low = stop
    return np.concatenate(out) if out else np.zeros(0, np.int64)


def _merged(code: Ints, count: Ints, more: list[Ints]) -> tuple[Ints, Ints]:
    """Counts with those of further pairs added, by code."""
    if not more:
        return code, count
    every = np.sort(np.concatenate(more))
    starts = np.flatnonzero(_first_of_each(every))
    fresh, times = every[starts], np.diff(np.r_[starts, len(every)])
    if not len(code):
        return fresh, times
    every = _sorted_once(np.r_[code, fresh])
    total = np.zeros(len(every), np.int64)
    total[np.searchsorted(every, code)] = count
    total[np.searchsorted(every, fresh)] += times
    return every, total


def _first_of_each(ordered: Ints) -> NDArray[np.bool_]:
    """Which of some ascending numbers differ from the one before."""
    return np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, np.bool_)


def _sorted_once(numbers: Ints) -> Ints:
    """The different numbers, ascending: as `np.unique`, whose hash table is slower than sorting on many numbers."""
    ordered = np.sort(numbers)
    return ordered[_first_of_each(ordered)]
