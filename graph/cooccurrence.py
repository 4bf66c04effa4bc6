"""Coordination by its plainest definition: pairs that share so many objects within so many seconds of each other.

The definition of CooRTweet (Righetti & Balluff 2025): two accounts are coordinated when they shared at least
`min_shared` objects within `window_ms` of each other. No expectation, no error rate; here to compare with.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from graph.touches import Touch


def coordinated_pairs(touches: Sequence[Touch], window_ms: int, min_shared: int) -> dict[tuple[int, int], int]:
    """Pairs (a < b) of accounts and how many objects they share within `window_ms`, at least `min_shared`.

    An object counts once per pair, however often both touched it; times exactly `window_ms` apart count.
    """
    by_object: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
    for touch in touches:
        by_object[touch.kind, touch.key].append((touch.at_ms, touch.account))
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for shares in by_object.values():
        shares.sort()
        met: set[tuple[int, int]] = set()
        for n, (at, account) in enumerate(shares):
            for later, other in shares[n + 1 :]:
                if later - at > window_ms:
                    break
                if other != account:
                    met.add((min(account, other), max(account, other)))
        for pair in met:
            shared[pair] += 1
    return {pair: count for pair, count in sorted(shared.items()) if count >= min_shared}
