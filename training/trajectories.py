"""From posts with their readings to what the account model sees after the first, second, ... post of every account.

The same `AccountStatistics` as in production does the counting, so a model cannot be trained on one thing and run on
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.account.features import AccountFeatures
from detector.account.statistics import AccountStatistics
from detector.evidence import MILLINAT
from detector.text.reading import Readings

PREFIXES: Final = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80)
"""Numbers of posts after which the model learns: about equal steps in the logarithm."""


@dataclass(frozen=True)
class Events:
    """Events of some accounts, one element each, in the order in which they happened.

    Args:
        account: (n,) index of the account, from 0.
        at_ms: (n,) times; all equal where they are not known.
        kind: (n,) kinds as in the observation log.
        readings: (n,) dtype READING.
        has_text: (n,).
        language: (n,) `language_code`.
        links: (n,) number of links.
        expert: (n,) expert LLR in nats; NaN where no expert read the text.
    """

    account: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    kind: NDArray[np.int64]
    readings: Readings
    has_text: NDArray[np.bool_]
    language: NDArray[np.uint16]
    links: NDArray[np.int64]
    expert: NDArray[np.float64]


@dataclass(frozen=True)
class Snapshots:
    """Features of accounts after some of their posts, one row each.

    Args:
        account: (m,) index of the account.
        posts: (m,) texts with evidence so far.
        features: m rows.
    """

    account: NDArray[np.int64]
    posts: NDArray[np.int64]
    features: AccountFeatures

    def take(self, chosen: NDArray[Any]) -> Snapshots:
        """The rows `chosen` (a mask or indices)."""
        return Snapshots(self.account[chosen], self.posts[chosen], self.features.take(chosen))

    def last(self, limit: int | None = None) -> NDArray[np.int64]:
        """Row of each account's latest snapshot (of at most `limit` posts), in the order of the accounts."""
        rows = np.arange(len(self.account)) if limit is None else np.flatnonzero(self.posts <= limit)
        rows = rows[np.lexsort((self.posts[rows], self.account[rows]))]
        ends = np.flatnonzero(np.diff(self.account[rows], append=-1))
        return rows[ends]


def snapshots(events: Events, accounts: int, after: Sequence[int] | None = PREFIXES) -> Snapshots:
    """What is known of every account after each number of posts in `after`, and at its end.

    Args:
        events: of `accounts` accounts.
        accounts: how many there are.
        after: numbers of texts with evidence; None for every one.
    """
    statistics = AccountStatistics(accounts)
    order = np.argsort(events.account, kind="stable")
    counts = np.bincount(events.account, minlength=accounts)
    starts = np.cumsum(counts) - counts
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], AccountFeatures]] = []
    for turn in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > turn)
        chosen = order[starts[rows] + turn]
        before = statistics.posts[rows]
        statistics.observe(
            rows,
            events.at_ms[chosen],
            events.kind[chosen],
            events.readings[chosen],
            events.has_text[chosen],
            events.language[chosen],
            events.links[chosen],
        )
        posts = statistics.posts[rows]
        read = (posts > before) & np.isfinite(events.expert[chosen])
        if read.any():
            expert = np.rint(events.expert[chosen[read]] * MILLINAT).clip(-32_767, 32_767).astype(np.int16)
            statistics.observe_expert(rows[read], expert, events.readings["llr"][chosen[read]])
        wanted = (posts > before) & (np.ones(len(posts), bool) if after is None else np.isin(posts, after))
        wanted |= (counts[rows] == turn + 1) & (posts > 0)
        if wanted.any():
            kept = rows[wanted]
            found.append((kept, statistics.posts[kept].astype(np.int64), statistics.features(kept)))
    if not found:
        nobody = np.zeros(0, np.int64)
        return Snapshots(nobody, nobody, statistics.features(nobody))
    return Snapshots(
        np.concatenate([account for account, _, _ in found]),
        np.concatenate([posts for _, posts, _ in found]),
        joined([features for _, _, features in found]),
    )


def joined(parts: Sequence[AccountFeatures]) -> AccountFeatures:
    """Rows of several features one after another."""
    return AccountFeatures._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
