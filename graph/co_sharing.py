"""Pairs by definition: accounts that share at least so many objects within so many seconds of each other.

This is how CooRTweet (Righetti & Balluff 2025), CooRnet (Giglietto et al. 2020) and coordination-network-toolkit
(Graham & QUT Digital Observatory 2020) define coordination: no expectation, no error rate, every pair beyond a
threshold. An object counts once for a pair, however often both acted on it, and times exactly the window apart count.

Memory is bounded, whatever the table: objects are joined with themselves a portion at a time, accounts that cannot
reach the threshold are left out before, and where the pairs themselves would be too many, they are counted in several
passes, each over its share of the accounts. An object with more traces than `max_object` is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from graph.exports import Network
from graph.trace_table import TraceTable, Wanted

MAX_OBJECT: Final = 20_000
"""Traces of an object beyond which it is left out: its pairs grow with the square, and what everybody shares within
minutes says nothing about two of them."""

PORTION: Final = 200_000
"""Pairs of traces compared at once: as many as stay in the processor's cache; 10 MB of arrays."""

PAIRS_AT_ONCE: Final = 30_000_000
"""Pairs of accounts counted in one pass: a quarter of a gigabyte."""

WORTH_LOOKING: Final = 0.95
"""Share of the traces left from which looking for such as meet nobody is not repeated: it costs more than it saves."""

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


class NamedPairs(Sequence[dict[str, Any]]):
    """Pairs as records of `a`, `b` (names) and `count`, made when they are asked for: millions take no memory as such.

    Args:
        names: of all accounts, by number.
        found: the pairs by number.
    """

    def __init__(self, names: Sequence[str], found: SharedPairs) -> None:
        self._names, self._found = names, found

    def __len__(self) -> int:
        return len(self._found.a)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        a, b, shared = (int(column[index]) for column in self._found[:3])
        return {"a": self._names[a], "b": self._names[b], "count": shared}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for begin in range(0, len(self), PORTION):
            columns = (column[begin : begin + PORTION].tolist() for column in self._found[:3])
            for a, b, shared in zip(*columns, strict=True):
                yield {"a": self._names[a], "b": self._names[b], "count": shared}

    def most(self, count: int) -> list[dict[str, Any]]:
        """Those that share the most, the most first; of equal ones those of the lower numbers."""
        return [self[place] for place in np.argsort(-self._found.shared, kind="stable")[:count].tolist()]


class PairsFound(NamedTuple):
    """Pairs that share objects within a window.

    Args:
        pairs: a, b, count.
        left_out: objects that too many shared, and their traces.
        network: of the pairs; its groups are the connected parts, the largest first.
    """

    pairs: NamedPairs
    left_out: dict[str, int]
    network: Network


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
    at, who, item = _by_object(at, account, item)
    begins = np.flatnonzero(_first_of_each(item))
    size = np.diff(np.r_[begins, len(item)])
    large = size > max_object
    capped, capped_traces = int(large.sum()), int(size[large].sum())
    if capped:
        kept = np.repeat(~large, size)
        at, who, item = at[kept], who[kept], item[kept]
    at, who, item = _reachable(at, who, item, window_ms, min_shared)
    if not len(who):
        empty = np.zeros(0, np.int64)
        return SharedPairs(empty, empty, empty, capped, capped_traces)
    names = np.flatnonzero(np.bincount(who))
    accounts = len(names)
    rank = np.zeros(int(names[-1]) + 1, np.int64)
    rank[names] = np.arange(accounts)
    places = rank[who]
    item = np.cumsum(_first_of_each(item)) - 1
    last = _last_within(at, item, window_ms)
    comparisons = int((last - np.arange(len(last))).sum())
    passes = max(-(-comparisons // PAIRS_AT_ONCE), 1)
    parts = [
        _count(places, item, last, accounts, min_shared, (number, passes)) for number in range(passes)
    ]  # fmt: skip
    code, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    if passes > 1:
        order = np.argsort(code)
        code, count = code[order], count[order]
    return SharedPairs(names[code // accounts], names[code % accounts], count, capped, capped_traces)


def pairs_want(window_s: float = 60.0, max_object: int = MAX_OBJECT) -> Wanted:
    """The traces that `find_pairs` looks at; with them alone it finds the same as with all."""
    return Wanted(within_ms=round(window_s * 1000), max_object=max_object)


def find_pairs(table: TraceTable, min_shared: int, window_s: float = 60.0, max_object: int = MAX_OBJECT) -> PairsFound:
    """Pairs that share at least so many objects within a window.

    Args:
        table: traces.
        min_shared: objects.
        window_s: within which both share an object, seconds.
        max_object: objects shared more often are left out.
    """
    found = co_sharing(
        table.at, table.account, table.object, window_ms=round(window_s * 1000), min_shared=min_shared,
        max_object=max_object,
    )  # fmt: skip
    left = {"objects": table.capped[0] + found.capped, "traces": table.capped[1] + found.capped_traces}
    return PairsFound(NamedPairs(table.accounts, found), left, _pair_network(table, found))


def _pair_network(table: TraceTable, found: SharedPairs) -> Network:
    who = np.unique(np.r_[found.a, found.b])
    source, target = np.searchsorted(who, found.a), np.searchsorted(who, found.b)
    n = len(who)
    _, part = connected_components(csr_matrix((np.ones(len(source)), (source, target)), shape=(n, n)), directed=False)
    size = np.bincount(part, minlength=1)
    first = np.full(len(size), n)
    np.minimum.at(first, part, np.arange(n))
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(1, len(size) + 1)
    weight = found.shared.astype(np.float64)
    strength = np.bincount(source, weight, n) + np.bincount(target, weight, n)
    return Network(
        [table.accounts[int(one)] for one in who], [table.label(int(one)) for one in who], rank[part],
        strength / max(float(strength.max(initial=0.0)), 1.0), source, target, found.shared, weight,
    )  # fmt: skip


def _by_object(at: Ints, account: NDArray[np.int32], item: Ints) -> tuple[Ints, NDArray[np.int32], Ints]:
    """Traces by object, and each object's by time."""
    n = len(at)
    bits = n.bit_length()
    if (at[1:] >= at[:-1]).all() and int(item.max(initial=0)) < 1 << (63 - bits):
        # As tables are read. Sorting plain numbers is several times faster than sorting places by them.
        key = item << bits
        key |= np.arange(n)
        key.sort()
        place = key & ((1 << bits) - 1)
        key >>= bits
        return at[place], account[place], key
    place = np.lexsort((at, item))
    return at[place], account[place], item[place]


def _reachable(
    at: Ints, who: NDArray[np.int32], item: Ints, window_ms: int, min_shared: int
) -> tuple[Ints, NDArray[np.int32], Ints]:
    """The traces that can be part of a pair, and a few more.

    A trace with no other one of its object within the window, before or after, meets nobody, and an account with fewer
    other traces than a pair must share is in no pair. Without them others meet fewer, so it is looked again.

    Args:
        at: times of traces by object and time, ms.
        who: account of each.
        item: object of each.
        window_ms: longest lag.
        min_shared: objects that a pair must share.
    """
    while True:
        near = (item[1:] == item[:-1]) & (at[1:] - at[:-1] <= window_ms)
        met = np.zeros(len(at), np.bool_)
        met[1:] = near
        met[:-1] |= near
        met &= (np.bincount(who[met], minlength=int(who.max(initial=-1)) + 1) >= min_shared)[who]
        left = int(met.sum())
        if left > WORTH_LOOKING * len(at) or not left:
            return (at, who, item) if left else (at[:0], who[:0], item[:0])
        at, who, item = at[met], who[met], item[met]


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
        line = (number - number[0]) * stride + (when - first)
        out[start:stop] = start + np.searchsorted(line, line + window_ms, side="right") - 1
        start = stop
    return out


def _count(
    who: Ints, item: Ints, last: Ints, accounts: int, min_shared: int, share: tuple[int, int]
) -> tuple[Ints, Ints]:
    """Pairs of the share's accounts, as a * accounts + b ascending, and how many objects they share.

    Args:
        who: account of each trace, by object and time.
        item: object of each.
        last: as `_last_within` gives it.
        accounts: how many there are.
        min_shared: objects that a pair must share.
        share: (number, of how many): pairs are of the share of their lower account.
    """
    number, passes = share
    reach = last - np.arange(len(last))
    met = np.empty(min(int(reach.sum()), PAIRS_AT_ONCE), np.int64)
    held = 0
    for pairs in _distinct(who, item, reach, accounts):
        mine = pairs if passes == 1 else pairs[(pairs // accounts) % passes == number]
        if held + len(mine) > len(met):  # shares are not quite equal
            met = np.r_[met[:held], np.empty(max(held, len(mine)), np.int64)]
        met[held : held + len(mine)] = mine
        held += len(mine)
    met = met[:held]
    met.sort()
    # Where the pair so many places on is the same one, it was met often enough; the others need no counting.
    often = met[: max(held - min_shared + 1, 0)]
    code = _once(often[often == met[min_shared - 1 :][: len(often)]])
    return code, np.searchsorted(met, code, side="right") - np.searchsorted(met, code)


def _distinct(who: Ints, item: Ints, reach: Ints, accounts: int) -> Iterator[Ints]:
    """Pairs that meet, as a * accounts + b, each once for every object; a portion of the objects at a time.

    Args:
        who: account of each trace, by object and time.
        item: object of each.
        reach: how many traces after each are within its window.
        accounts: how many there are.
    """
    uses = item * accounts + who
    uses.sort()
    once = bool((uses[1:] != uses[:-1]).all())
    total = np.cumsum(reach)
    starts = np.flatnonzero(_first_of_each(item))
    ends = np.r_[starts[1:], len(item)]
    sums = total[ends - 1]
    first = 0
    while first < len(starts):
        before = int(sums[first - 1]) if first else 0
        limit = int(np.searchsorted(sums, before + PORTION, side="right"))
        after = max(limit, first + 1)  # an object alone may be larger than a portion, up to max_object squared
        low, high = int(starts[first]), int(ends[after - 1])
        first = after
        yield from _met(who, item, reach, (low, high), accounts, once=once)


def _met(who: Ints, item: Ints, reach: Ints, span: tuple[int, int], accounts: int, *, once: bool) -> Iterator[Ints]:
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
    held = np.zeros(0, np.int64)
    while low < high:
        # A hot object goes in blocks of its traces; what two blocks both hold is sorted out below.
        sums = np.cumsum(reach[low:high])
        stop = low + max(int(np.searchsorted(sums, PORTION, side="right")), 1)
        counts, sums = reach[low:stop], sums[: stop - low]
        one = np.repeat(who[low:stop], counts)
        right = np.repeat(np.arange(low + 1, stop + 1) - (sums - counts), counts)
        right += np.arange(len(right))
        two = who[right]
        pair = np.minimum(one, two)
        pair *= accounts
        pair += np.maximum(one, two)
        if once:
            yield pair
        else:
            kept = one != two
            pair, rank = pair[kept], item[right[kept]] - item[span[0]]
            if (int(item[high - 1] - item[span[0]]) + 1) * accounts**2 < 2**63:
                pair = _once(np.sort(rank * accounts**2 + pair)) % accounts**2
            else:  # too large for one number
                order = np.lexsort((pair, rank))
                pair, rank = pair[order], rank[order]
                pair = pair[_first_of_each(pair) | _first_of_each(rank)]
            if item[span[0]] == item[high - 1]:
                held = _once(np.sort(np.r_[held, pair]))
            else:
                yield pair
        low = stop
    yield held


def _once(ordered: Ints) -> Ints:
    """The different ones of some ascending numbers: `np.unique` has a hash table, which is slower on many."""
    return ordered[_first_of_each(ordered)]


def _first_of_each(ordered: Ints) -> NDArray[np.bool_]:
    """Which of some ascending numbers differ from the one before."""
    return np.r_[True, ordered[1:] != ordered[:-1]] if len(ordered) else np.zeros(0, np.bool_)
