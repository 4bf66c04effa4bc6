"""What joins the accounts of the demo: likes, reposts, follows and shared links, the same for people and planted ones.

The model has what real interaction has: a few accounts and links get most of the attention, communities keep to
themselves, news comes in bursts, and people act in sittings. Whether an account is planted is not an input, so that
neither interacting nor sharing a popular link gives it away. What gives a campaign away is in `stream.py`: that its
members are told to touch the same things.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

COMMUNITIES: Final = 6
"""Circles of about 25 accounts, as large as the groups people keep up with."""

INTERACTIONS_MEDIAN: Final = 18.0
"""Of likes, reposts and follows in two days; log-normal, so that a few are on all day."""

INTERACTIONS_SPREAD: Final = 0.9

HOME: Final = 6.0
"""How much likelier a post of one's own community is noticed."""

NOTICED_MS: Final = 4 * 3_600_000
"""Older posts have left everybody's feed."""

HALF_LIFE_MS: Final = 3_600_000
"""Of attention to a post."""

BESIDE_OWN_POST: Final = 0.75
"""Share of interactions within a sitting in which the account also posts; the others come at its own other hours."""

SITTING_MS: Final = 600_000

KINDS: Final = ("like", "repost", "follow")

KIND_SHARES: Final = (0.70, 0.24, 0.06)

NEWS: Final = 60
"""Links in circulation over the two days."""

NEWS_DOMAINS: Final = (
    "daily-lantern",
    "northwire",
    "the-outpost",
    "gridiron-post",
    "clipvault",
    "songshelf",
    "memehouse",
)

NEWS_BURST_MS: Final = 5 * 3_600_000
"""How long a link stays fresh (mean of an exponential)."""

LINK_SHARE: Final = 0.1
"""Share of posts with a link, in people's and planted accounts' own posts alike."""


class Post(msgspec.Struct, frozen=True):
    """A post that can be noticed."""

    at: int
    account: int
    id: str


class Interaction(msgspec.Struct, frozen=True):
    """One account did `kind` to one post (or, for a follow, to its author)."""

    at: int
    account: int
    kind: str
    post: Post


class Society:
    """Habits of `accounts` accounts, drawn once."""

    def __init__(self, accounts: int, span_ms: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._span_ms = span_ms
        self._community = rng.integers(COMMUNITIES, size=accounts)
        self._popularity = rng.pareto(1.3, size=accounts) + 0.2
        self._eagerness = rng.lognormal(np.log(INTERACTIONS_MEDIAN), INTERACTIONS_SPREAD, size=accounts)
        self._news_at = rng.uniform(-NEWS_BURST_MS, span_ms, size=NEWS)
        self._news_weight = rng.pareto(1.1, size=NEWS) + 0.1
        self._news = [
            f"https://{NEWS_DOMAINS[int(rng.integers(len(NEWS_DOMAINS)))]}.example/{2000 + number}"
            for number in range(NEWS)
        ]

    def link(self, at: int) -> str | None:
        """The link that a post of this moment carries, mostly none; popular ones more often, while they are news."""
        if self._rng.random() >= LINK_SHARE:
            return None
        age = at - self._news_at
        weight = np.where(age >= 0, self._news_weight * np.exp(-np.maximum(age, 0) / NEWS_BURST_MS), 0.0)
        total = weight.sum()
        return self._news[int(self._rng.choice(NEWS, p=weight / total))] if total > 0 else None

    def interactions(self, posts: Sequence[Post]) -> list[Interaction]:
        """Everybody's likes, reposts and follows, each thing once; `posts` in order of time."""
        times = np.array([post.at for post in posts])
        authors = np.array([post.account for post in posts])
        appeal = self._popularity[authors] * (self._rng.pareto(1.5, size=len(posts)) + 0.1)
        done: list[Interaction] = []
        for account in range(len(self._community)):
            own = times[authors == account]
            seen: set[tuple[str, str]] = set()
            for at in self._moments(own, int(self._rng.poisson(self._eagerness[account]))):
                post = self._noticed(account, at, posts, times, authors, appeal)
                if post is None:
                    continue
                kind = str(self._rng.choice(KINDS, p=KIND_SHARES))
                what = str(post.account) if kind == "follow" else post.id
                if (kind, what) not in seen:
                    seen.add((kind, what))
                    done.append(Interaction(at, account, kind, post))
        return done

    def _moments(self, own: NDArray[np.int64], count: int) -> list[int]:
        """When an account with posts at `own` interacts: beside them, or at such an hour on the other day."""
        if not len(own):
            return []
        base = self._rng.choice(own, size=count)
        elsewhere = self._rng.random(count) >= BESIDE_OWN_POST
        day = self._span_ms // 2
        base = np.where(elsewhere, (base + day) % self._span_ms, base)
        moments = base + self._rng.laplace(0, SITTING_MS, size=count)
        return sorted(int(moment) for moment in moments if 0 <= moment < self._span_ms)

    def _noticed(
        self,
        account: int,
        at: int,
        posts: Sequence[Post],
        times: NDArray[np.int64],
        authors: NDArray[np.int64],
        appeal: NDArray[np.float64],
    ) -> Post | None:
        low, high = np.searchsorted(times, (at - NOTICED_MS, at))
        if low == high:
            return None
        window = slice(int(low), int(high))
        home = np.where(self._community[authors[window]] == self._community[account], HOME, 1.0)
        weight = appeal[window] * home * np.exp2(-(at - times[window]) / HALF_LIFE_MS) * (authors[window] != account)
        total = weight.sum()
        return posts[int(low) + int(self._rng.choice(int(high - low), p=weight / total))] if total > 0 else None
