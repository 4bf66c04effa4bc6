"""Feed algorithms, and several of them at work on one platform at once.

An `Algorithm` is a name and scorers (`feeds.scorers`): a ranking, with moderation or a societal objective beside it. A
`FeedPlan` puts several to work: each for a share of readers, or all together by weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from detector.errors import UsageError
from simulation.feeds.candidates import Candidates
from simulation.feeds.posts import Posts, Scores
from simulation.feeds.scorers import OUT, Chronological, Engagement, FeedScorer, Follows, Parts, Societal
from simulation.sampling import Floats, Ints, stream


@dataclass
class Algorithm:
    """A ranking: the sum of its scorers; posts rated `label_from` or above carry a warning in its feed."""

    name: str
    scorers: tuple[FeedScorer, ...]
    label_from: float = float("inf")

    def with_scorer(self, *more: FeedScorer) -> Algorithm:
        """The same with further scorers, under the same name."""
        return Algorithm(self.name, (*self.scorers, *more), self.label_from)

    def post_scores(self, posts: Posts, now_ms: int) -> Scores:
        """The part that is the same for all readers, shape (posts,)."""
        total: Scores = np.zeros(len(posts), np.float32)
        for scorer in self.scorers:
            for part in scorer.of_posts(posts, now_ms).values():
                total += part
        return total

    def scores(self, posts: Posts, of_posts: Scores, candidates: Candidates) -> Scores:
        """Scores of candidates, shape of `candidates.slot`; minus infinity for what is not to be shown.

        Args:
            posts: what there is.
            of_posts: `post_scores`, of this step.
            candidates: of a batch of readers.
        """
        kept = np.where(candidates.there, candidates.slot, 0)
        total: Scores = of_posts[kept] if len(of_posts) else np.zeros(kept.shape, np.float32)
        for scorer in self.scorers:
            for part in scorer.of_pairs(posts, candidates).values():
                total += part
        total[~candidates.there] = OUT
        return total

    def parts(self, posts: Posts, now_ms: int, candidates: Candidates) -> Parts:
        """Every part of the score by name, of the shape of `candidates.slot`; those of one name add up.

        Args:
            posts: what there is.
            now_ms: when it is ranked.
            candidates: of a batch of readers.
        """
        kept = np.where(candidates.there, candidates.slot, 0)
        found: Parts = {}
        for scorer in self.scorers:
            alike = {name: part[kept] for name, part in scorer.of_posts(posts, now_ms).items()}
            for each in (alike, scorer.of_pairs(posts, candidates)):
                for name, part in each.items():
                    found[name] = found[name] + part if name in found else part
        return found


Together: TypeAlias = Literal["readers", "weights"]


@dataclass
class FeedPlan:
    """Which algorithms are at work.

    Args:
        algorithms: with the share of each, above 0; shares are normalised to sum 1.
        together: `readers`: each reader has one algorithm, by share. `weights`: everybody has one feed, whose score is
            the sum of each algorithm's, brought to [0, 1] over a reader's candidates, by share.

    Raises:
        UsageError: there are none, two of one name, or a share is not above 0.
    """

    algorithms: Sequence[tuple[Algorithm, float]]
    together: Together = "readers"
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        named = [algorithm.name for algorithm, _ in self.algorithms]
        if not named or len(set(named)) < len(named):
            raise UsageError(
                f"feeds: name at least one algorithm, and each once; these are {', '.join(named) or 'none'}"
            )
        for algorithm, share in self.algorithms:
            if not 0 < share < float("inf"):
                raise UsageError(f"feeds: the share of {algorithm.name} is {share:g}: give a number above 0")
        self.names = tuple(named) if self.together == "readers" else (" + ".join(named),)

    @property
    def shares(self) -> Floats:
        """Share of each algorithm, summing to 1."""
        share = np.array([share for _, share in self.algorithms], np.float64)
        result: Floats = share / share.sum()
        return result

    def assigned(self, accounts: int, seed: int) -> Ints:
        """Which entry of `names` each account has: drawn by share, the same for a seed whatever else is drawn."""
        if self.together == "weights":
            return np.zeros(accounts, np.int64)
        uniform = stream(seed, "feed-shares").random(accounts)
        return np.minimum(np.searchsorted(np.cumsum(self.shares), uniform, side="right"), len(self.names) - 1)

    def label_from(self) -> Scores:
        """Rating from which a post carries a warning in the feed of each of `names`; of a mix, the lowest."""
        bounds = np.array([algorithm.label_from for algorithm, _ in self.algorithms], np.float32)
        return bounds if self.together == "readers" else bounds.min(keepdims=True)

    def ranking(self, posts: Posts, now_ms: int) -> FeedRanker:
        """The scores of this step."""
        return FeedRanker(self, posts, [algorithm.post_scores(posts, now_ms) for algorithm, _ in self.algorithms])


@dataclass
class FeedRanker:
    """A plan at the beginning of a step: ranks the candidates of readers."""

    plan: FeedPlan
    posts: Posts
    of_posts: list[Scores]

    def scores(self, candidates: Candidates, which: Ints) -> Scores:
        """Scores of candidates by the algorithm of each reader: shape of `candidates.slot`.

        Args:
            candidates: of a batch of readers.
            which: shape (readers,), of `FeedPlan.assigned`.
        """
        algorithms = [algorithm for algorithm, _ in self.plan.algorithms]
        if self.plan.together == "weights":
            total = np.zeros(candidates.slot.shape, np.float32)
            for algorithm, share, of_posts in zip(algorithms, self.plan.shares, self.of_posts, strict=True):
                total += np.float32(share) * to_one(algorithm.scores(self.posts, of_posts, candidates))
            return total
        if len(algorithms) == 1:
            return algorithms[0].scores(self.posts, self.of_posts[0], candidates)
        total = np.empty(candidates.slot.shape, np.float32)
        for number in np.unique(which).tolist():
            rows = np.flatnonzero(which == number)
            some = Candidates(
                candidates.reader[rows], candidates.slot[rows], candidates.source[rows], candidates.rank[rows]
            )
            total[rows] = algorithms[number].scores(self.posts, self.of_posts[number], some)
        return total


def to_one(scores: Scores) -> Scores:
    """Scores brought to [0, 1] in every row; minus infinity stays, and a row of one value becomes 1."""
    there = np.isfinite(scores)
    low = np.where(there, scores, np.inf).min(axis=1, keepdims=True)
    high = np.where(there, scores, -np.inf).max(axis=1, keepdims=True)
    span = high - low
    with np.errstate(invalid="ignore"):  # rows with nothing to show are infinite on both sides
        scaled = np.where(span > 0, (scores - low) / np.where(span > 0, span, 1), 1.0)
    result: Scores = np.where(there, scaled, OUT).astype(np.float32)
    return result


RANKINGS: Final = ("engagement", "chronological", "follows", "societal")
"""Algorithms that need nothing but posts and ties; moderation and amplification go beside one of them."""


def algorithm(name: str) -> Algorithm:
    """The algorithm of this name, as the command line and policy files name it.

    Raises:
        UsageError: there is none.
    """
    known: dict[str, tuple[FeedScorer, ...]] = {
        "engagement": (Engagement(),),
        "chronological": (Chronological(),),
        "follows": (Follows(),),
        "societal": (Engagement(), Societal()),
    }
    if name not in known:
        raise UsageError(f"no feed algorithm {name!a}: there are {', '.join(RANKINGS)}")
    return Algorithm(name, known[name])


def plan_of(text: str, together: str = "readers") -> FeedPlan:
    """The plan that a text such as `engagement=3,chronological=1` stands for; a share left out is 1.

    Raises:
        UsageError: an algorithm, a share or `together` cannot be used.
    """
    entries = []
    for entry in text.split(","):
        name, _, share = entry.strip().partition("=")
        try:
            entries.append((algorithm(name), float(share or 1)))
        except ValueError:
            raise UsageError(f"feeds: {entry.strip()!a}: write a name and a share, such as engagement=0.5") from None
    for known in get_args(Together):
        if together == known:
            return FeedPlan(entries, known)
    raise UsageError(f"feeds: {together!a}: algorithms work together by {' or '.join(get_args(Together))}")
