"""The parts that feed algorithms are made of: small named scorers, which add up to a ranking.

A `FeedScorer` gives named parts of a score, some of a post alone (`of_posts`) and some of a post for a reader
(`of_pairs`); a post's score is their sum, so that every place in a feed can be explained by its parts. Minus infinity
takes a post out. `feeds.plan` makes algorithms of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np

from simulation.feeds.candidates import COMMUNITY, FOLLOWED, FRESH, Candidates
from simulation.feeds.posts import Posts, Scores
from simulation.sampling import Flags, Rows

Parts: TypeAlias = dict[str, Scores]

OUT: Final = np.float32(-np.inf)
"""Score of what is not to be shown."""


class FeedScorer(Protocol):
    """A named part of a ranking."""

    name: str

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Parts of the score that are the same for all readers, each of shape (posts,)."""
        ...

    def of_pairs(self, posts: Posts, candidates: Candidates) -> Parts:
        """Parts that depend on the reader too, each of the shape of `candidates.slot`; what is at -1 is ignored."""
        ...


class _OfPosts:
    """A scorer that treats all readers alike."""

    def of_pairs(self, posts: Posts, candidates: Candidates) -> Parts:
        return {}


@dataclass
class Engagement:
    """Ranks by what a post has won and by how close who carried it is: what platforms optimise.

    Weights are assumed: a repost and a reply take a reader more than a like, and the score of an hour-old post with
    e - 1 times as many likes equals that of a new one at `fading_h` 1 times the weight of likes.
    """

    likes: float = 1.0  # of the logarithm of 1 + likes
    reposts: float = 1.5
    replies: float = 1.5
    fading_h: float = 2.0  # hours in which the score falls by 1
    tie: float = 2.0  # of the closest tie; others fall with the root of their rank
    community: float = 0.5  # of a post found in the reader's community
    name: str = "engagement"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Likes, reposts and replies by their logarithm, and age."""
        return {
            "likes": _log(posts.likes, self.likes),
            "reposts": _log(posts.reposts, self.reposts),
            "replies": _log(posts.replies, self.replies),
            "age": (-posts.age_h(now_ms) / self.fading_h).astype(np.float32),
        }

    def of_pairs(self, posts: Posts, candidates: Candidates) -> Parts:
        """Closeness, and being of the community."""
        near = (candidates.source == COMMUNITY) | (candidates.source == FRESH)
        return {
            "tie": self.tie * candidates.tie(),
            "community": np.where(near, np.float32(self.community), np.float32(0)),
        }


def _log(counts: Rows, weight: float) -> Scores:
    result: Scores = (weight * np.log1p(counts)).astype(np.float32)
    return result


@dataclass
class Chronological(_OfPosts):
    """The newest first, of those followed, of the community and of what is about: nothing else counts."""

    name: str = "chronological"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Minus the age in hours."""
        return {"age": (-posts.age_h(now_ms)).astype(np.float32)}


@dataclass
class Follows:
    """Only what those followed wrote or reposted, the newest first, the closest before others of the same hour."""

    tie: float = 1.0  # hours that the closest tie is worth
    name: str = "follows"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Minus the age in hours."""
        return {"age": (-posts.age_h(now_ms)).astype(np.float32)}

    def of_pairs(self, posts: Posts, candidates: Candidates) -> Parts:
        """Closeness; out is what nobody followed carried."""
        outside = np.where(candidates.source == FOLLOWED, np.float32(0), OUT)
        return {"tie": self.tie * candidates.tie(), "not followed": outside}


@dataclass
class Societal(_OfPosts):
    """Puts posts down by their rating against democratic values (`feeds.values`), or out from a rating on."""

    weight: float = 24.0  # of a rating of 1, in units of the ranking beside it; one value gone against fully is 0.125
    out_from: float = float("inf")  # rating from which a post is not shown
    name: str = "societal"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Minus the weighted rating."""
        put_down = np.where(posts.rating >= self.out_from, OUT, -self.weight * posts.rating)
        return {"values": put_down.astype(np.float32)}


@dataclass
class Standing:
    """What the platform has decided about accounts, shape (accounts,) each; may change between steps.

    removed: their posts are shown to nobody; put_down: how far their posts are put down, at least 0, in units of the
    ranking; labelled: their posts carry a warning.
    """

    removed: Flags
    put_down: Scores
    labelled: Flags

    @classmethod
    def of(cls, accounts: int) -> Standing:
        """Nothing decided about any of so many accounts."""
        return cls(np.zeros(accounts, bool), np.zeros(accounts, np.float32), np.zeros(accounts, bool))


@dataclass
class Moderation(_OfPosts):
    """Carries out what was decided about accounts, for example after alerts: removal and putting down."""

    standing: Standing
    name: str = "moderation"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """Out, or down."""
        author = posts.feed.author[: len(posts)]
        decided = np.where(self.standing.removed[author], OUT, -self.standing.put_down[author])
        return {"moderation": decided.astype(np.float32)}


@dataclass
class Amplification(_OfPosts):
    """Lifts the posts of some accounts everywhere, as operators buy or trick it out of a platform."""

    pushed: Flags  # (accounts,)
    boost: float = 3.0  # in units of the ranking beside it
    name: str = "amplification"

    def of_posts(self, posts: Posts, now_ms: int) -> Parts:
        """The boost of pushed accounts."""
        lifted = np.where(self.pushed[posts.feed.author[: len(posts)]], np.float32(self.boost), np.float32(0))
        return {"pushed": lifted}
