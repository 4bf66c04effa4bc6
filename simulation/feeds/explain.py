"""Says to a reader why each post of a feed is shown, what a healthier mix would be, and what acts would change.

Everything here is computed from the ranker's own parts (`plan.Algorithm.parts`): a reason is a part in which a post is
better than the typical candidate of the same reader, largest first. The healthier mix is the same candidates ranked
with weights on democratic values that the reader states. What an act would change is the page that the ranker would
give after it, compared with the one it gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from detector.errors import UsageError
from simulation.feeds.candidates import COMMUNITY, FOLLOWED, FRESH, PUSHED, WORLD, Candidates, Pools, batches
from simulation.feeds.plan import RANKINGS, Algorithm, algorithm
from simulation.feeds.post_texts import Content
from simulation.feeds.posts import Scores
from simulation.feeds.reading import appeal_of, top
from simulation.feeds.scorers import OUT, Societal
from simulation.feeds.society import POOL_FADING_H, FeedSociety
from simulation.feeds.values import KEYS, VALUES
from simulation.population import Graph
from simulation.sampling import HOUR_MS, Floats, Ints

LEAST: Final = 0.15
"""Advantage over the typical candidate, in units of the ranking, below which a part is no reason: it moves no place."""

REASONS: Final = 3
"""Reasons given for a post: more are not read."""

HEALTHIER_WEIGHT: Final = 24.0
"""How far a rating of 1 is put down in the healthier mix, in units of the ranking; as `scorers.Societal` has it."""

ACCOUNTS_TRIED: Final = 3
"""Accounts of a page whose unfollowing is tried out: those that bring most of it."""


@dataclass(frozen=True)
class Shown:
    """A post of a page: who wrote it, its words, how old it is, why it is there, and the parts of its score.

    parts: by name, as advantage over the typical candidate of this reader; against: names of values it goes against.
    """

    slot: int
    author: int
    text: str
    hours: float
    found: str
    reasons: tuple[str, ...]
    parts: dict[str, float]
    against: tuple[str, ...]


@dataclass(frozen=True)
class PageFigures:
    """A page in figures: slots, mean rating against values, reactions expected, share of followed, authors."""

    slots: tuple[int, ...]
    rating: float
    reactions: float
    followed: float
    authors: int


@dataclass(frozen=True)
class Change:
    """What an act of the reader would do: how many posts of the page it replaces, and the page then."""

    act: str
    replaced: int
    mix: PageFigures


@dataclass(frozen=True)
class Explanation:
    """All that is said to one reader."""

    reader: int
    feed: str
    page: tuple[Shown, ...]
    mix: PageFigures
    healthier: PageFigures
    leaving: tuple[str, ...]
    coming: tuple[str, ...]
    changes: tuple[Change, ...]


class Stated(Societal):
    """A societal objective by weights that a reader states for single values."""

    def __init__(self, content: Content, serials: Ints, authors: Ints, weights: Mapping[str, float]) -> None:
        super().__init__(weight=HEALTHIER_WEIGHT, name="stated values")
        each = np.array([weights.get(key, 0.0) for key in KEYS])
        ratings = content.ratings[content.index(serials, authors)] - 1.0
        self._down: Scores = (HEALTHIER_WEIGHT * (ratings @ each) / (2 * each.sum())).astype(np.float32)

    def of_posts(self, posts: object, now_ms: int) -> dict[str, Scores]:
        """Minus the rating on the stated values, 0 to 1, times the weight."""
        return {"values": -self._down}


def weights_of(text: str) -> dict[str, float]:
    """Weights of values from `all` or `KEY=WEIGHT,...`; a weight left out is 1.

    Raises:
        UsageError: no such value, or a weight that is not above 0.
    """
    if text == "all":
        return dict.fromkeys(KEYS, 1.0)
    found = {}
    for entry in text.split(","):
        key, _, weight = entry.strip().partition("=")
        if key not in KEYS:
            raise UsageError(f"--values: no value {key!a}: name all, or some of {', '.join(KEYS)}")
        try:
            found[key] = float(weight or 1)
        except ValueError:
            found[key] = -1.0
        if not 0 < found[key] < float("inf"):
            raise UsageError(f"--values: the weight of {key} is {weight!a}: give a number above 0")
    return found


class Explainer:
    """Explains the feed of one reader of a society, as it stands now.

    Args:
        society: acted out as far as wanted, with `content` as its ratings.
        content: the words of its posts.
        names: of all accounts.
        reader: row of the account.

    Raises:
        UsageError: there is no such person.
    """

    def __init__(self, society: FeedSociety, content: Content, names: Sequence[str], reader: int) -> None:
        if not 0 <= reader < len(society.people) or not society.people[reader]:
            raise UsageError(f"--reader {reader}: no person has this number; there are rows 0 to {len(names) - 1}")
        self._society, self._content, self._names, self._reader = society, content, names, reader
        self._now = society.world.now_ms
        society.posts.forget()
        self._pools = Pools(society.posts, society.world.community, self._now, POOL_FADING_H, society.pushed)
        entry = 0 if society.plan.together == "weights" else int(society.algorithm_of[reader])
        self._algorithm = society.plan.algorithms[entry][0]

    def explanation(self, weights: Mapping[str, float]) -> Explanation:
        """Why the page is as it is, what it would be under `weights` on values, and what acts would change."""
        posts, feed = self._society.posts, self._society.world.feed
        candidates = self._candidates(self._society.world.graph)
        chosen = self._algorithm
        page = self._page(chosen, candidates)
        mix = self._mix(candidates, page)
        stated = Stated(self._content, feed.serial[: len(posts)], feed.author[: len(posts)], weights)
        better = self._page(chosen.with_scorer(stated), candidates)
        healthier = self._mix(candidates, better)
        return Explanation(
            self._reader,
            chosen.name,
            self._shown(chosen, candidates, page),
            mix,
            healthier,
            tuple(self._text(slot) for slot in mix.slots if slot not in healthier.slots),
            tuple(self._text(slot) for slot in healthier.slots if slot not in mix.slots),
            tuple(self._changes(candidates, page, mix)),
        )

    def _candidates(self, graph: Graph) -> Candidates:
        world = self._society.world
        one = np.array([self._reader])
        return next(batches(self._society.posts, graph, world.community, self._pools, one))[1]

    def _page(self, chosen: Algorithm, candidates: Candidates) -> Ints:
        """Columns of the candidates on the page, best first."""
        posts = self._society.posts
        scores = chosen.scores(posts, chosen.post_scores(posts, self._now), candidates)
        columns = top(scores, self._society.reading.page)[0]
        result: Ints = columns[scores[0, columns] > OUT]
        return result

    def _mix(self, candidates: Candidates, columns: Ints) -> PageFigures:
        society = self._society
        slots = candidates.slot[0, columns]
        rating = society.posts.rating
        appeal = appeal_of(candidates, society.reading, rating, np.zeros(candidates.slot.shape, bool))[0, columns]
        place: Floats = (1.0 + np.arange(len(columns), dtype=np.float64)) ** -society.reading.attention
        return PageFigures(
            tuple(slots.tolist()),
            float(rating[slots].mean()) if len(slots) else 0.0,
            float((place * appeal).sum()),
            float((candidates.source[0, columns] == FOLLOWED).mean()) if len(slots) else 0.0,
            len(set(society.world.feed.author[slots].tolist())),
        )

    def _text(self, slot: int) -> str:
        return self._content.texts[self._index(slot)].text

    def _index(self, slot: int) -> int:
        feed = self._society.world.feed
        return int(self._content.index(feed.serial[[slot]], feed.author[[slot]])[0])

    def _carrier(self, candidates: Candidates, column: int) -> int:
        """The followed account that brought a post."""
        graph = self._society.world.graph
        return int(graph.follows[graph.start[self._reader] + candidates.rank[0, column]])

    def _shown(self, chosen: Algorithm, candidates: Candidates, columns: Ints) -> tuple[Shown, ...]:
        posts, feed = self._society.posts, self._society.world.feed
        parts = chosen.parts(posts, self._now, candidates)
        there = candidates.there[0]
        found = []
        for column in columns.tolist():
            slot = int(candidates.slot[0, column])
            typical = {name: float(np.median(part[0, there & np.isfinite(part[0])])) for name, part in parts.items()}
            advantage = {name: float(part[0, column]) - typical[name] for name, part in parts.items()}
            best = sorted((name for name in advantage if advantage[name] >= LEAST), key=lambda name: -advantage[name])
            ratings = self._content.ratings[self._index(slot)]
            found.append(
                Shown(
                    slot,
                    int(feed.author[slot]),
                    self._text(slot),
                    (self._now - int(feed.at[slot])) / HOUR_MS,
                    self._found(candidates, column),
                    tuple(self._reason(name, slot) for name in best[:REASONS]),
                    advantage,
                    tuple(value.name for value, rating in zip(VALUES, ratings, strict=True) if rating > 1),
                )
            )
        return tuple(found)

    def _found(self, candidates: Candidates, column: int) -> str:
        """Where a post was found, to its reader."""
        source = int(candidates.source[0, column])
        if source == FOLLOWED:
            carrier = self._carrier(candidates, column)
            author = int(self._society.world.feed.author[candidates.slot[0, column]])
            did = "wrote it" if carrier == author else "reposted it"
            return f"You follow {self._names[carrier]}, who {did}."
        return {
            COMMUNITY: "It is among the posts of your community that got most reactions.",
            FRESH: "It is among the newest posts of your community.",
            WORLD: "It is among the posts of the whole platform that got most reactions.",
            PUSHED: "It is put before everybody, whoever they follow.",
        }[source]

    def _reason(self, part: str, slot: int) -> str:
        """A part in which a post is better than the typical candidate, to its reader."""
        posts, feed = self._society.posts, self._society.world.feed
        hours = (self._now - int(feed.at[slot])) / HOUR_MS
        return {
            "likes": f"It has {posts.likes[slot]} likes, more than most of what you could be shown.",
            "reposts": f"It was reposted {posts.reposts[slot]} times, more than most.",
            "replies": f"It has {posts.replies[slot]} replies, more than most; people are talking about it.",
            "age": f"It is newer than most: {_ago(hours)}.",
            "tie": "Whoever brought it to you is among the accounts you are closest to.",
            "community": "It comes from your community.",
            "values": "It goes against none, or few, of the values that this feed protects; others were put down.",
            "moderation": "Others were put down after decisions about their accounts.",
            "pushed": "It is lifted for everybody, because somebody has bought or tricked it out of the platform.",
            "not followed": "This feed has only what accounts you follow wrote or reposted.",
        }.get(part, f"The part {part!r} of the ranking lifts it.")

    def _changes(self, candidates: Candidates, columns: Ints, mix: PageFigures) -> list[Change]:
        """Acts of the reader and what each would do to the page."""
        graph = self._society.world.graph
        carriers = [
            self._carrier(candidates, column) for column in columns.tolist() if candidates.source[0, column] == FOLLOWED
        ]
        most = sorted(set(carriers), key=lambda one: (-carriers.count(one), one))[:ACCOUNTS_TRIED]
        acts = [(f"unfollow {self._names[one]}", self._algorithm, unfollowed(graph, self._reader, one)) for one in most]
        acts += [
            (f"change to the feed “{name}”", algorithm(name), graph)
            for name in RANKINGS
            if name != self._algorithm.name
        ]
        found = []
        for act, chosen, changed in acts:
            others = self._candidates(changed)
            then = self._mix(others, self._page(chosen, others))
            found.append(Change(act, len(set(mix.slots) - set(then.slots)), then))
        return found


def _ago(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours < 1 else f"{hours:.1f} hours"


def unfollowed(graph: Graph, reader: int, followed: int) -> Graph:
    """The graph in which `reader` does not follow `followed`.

    Args:
        graph: who follows whom; not changed.
        reader: who unfollows.
        followed: whom.
    """
    low, high = int(graph.start[reader]), int(graph.start[reader + 1])
    gone = low + np.flatnonzero(graph.follows[low:high] == followed)
    start = graph.start.copy()
    start[reader + 1 :] -= len(gone)
    followers = graph.followers.copy()
    followers[followed] -= len(gone)
    return Graph(start, np.delete(graph.follows, gone), followers)
