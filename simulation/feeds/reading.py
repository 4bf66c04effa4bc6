"""How people read a feed: when, how far down, and to what they react.

All of it is assumed (no platform publishes these numbers), and each number is a setting of `ReaderSettings`. A person
who is to react to something reads one page first; beside these, reading alone is a Poisson process through the hours at
which people are awake. The number of posts read is geometric, cut at the page's length. A post at place k, 0 based, is
looked at with weight (1 + k)^-attention (examination by place, as in models of clicks), and reacted to, when looked at,
with probability base exp(tie c + community s + heat v - label w), at most 1, where c is closeness to who carried it, s
whether it is of the reader's community, v its rating against democratic values and w whether it carries a warning.
Which of the posts read gets a reaction is drawn by the product of both, without repetition.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from simulation.feeds.candidates import COMMUNITY, FRESH, Candidates
from simulation.feeds.posts import Scores
from simulation.feeds.scorers import OUT
from simulation.sampling import Flags, Floats, Ints


class ReaderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of readers; see the module."""

    page: int = 10  # posts of one page
    depth: float = 6.0  # posts read of it, on average, where it is long enough
    sessions_per_day: float = 4.0  # pages read a day without reacting to anything, a person
    attention: float = 0.7  # exponent of the weight by place
    base: float = 0.05  # probability of a reaction to a post that is looked at and has nothing going for it
    tie: float = 1.5
    community: float = 0.5
    heat: float = 4.0  # outrage draws reactions: of a rating of 1; one value gone against fully is 0.125
    label: float = 0.3  # a warning keeps some from reacting


@dataclass
class Pages:
    """What was read, one row a session: slot (sessions, page) with -1 beyond what was read; of its shape, appeal and
    labelled (whether it carried a warning).

    reader (sessions,): accounts; at (sessions,): ms; algorithm (sessions,).
    """

    reader: Ints
    at: Ints
    algorithm: Ints
    slot: Ints
    appeal: Scores
    labelled: Flags


@dataclass
class Warned:
    """Which posts carry a warning: those of some authors for everybody, others by their rating and the reader's feed.

    by_author (posts,): of an author whose posts carry one; rated (readers,): rating from which a reader's feed has one.
    """

    by_author: Flags
    rated: Scores

    def of(self, readers: Ints) -> Warned:
        """For some of the readers."""
        return Warned(self.by_author, self.rated[readers])

    def where(self, slot: Ints, rating: Scores) -> Flags:
        """Where posts carry one, of the shape of `slot`: (readers, posts shown), -1 for none."""
        if not len(rating):
            return np.zeros(slot.shape, bool)
        kept = np.maximum(slot, 0)
        result: Flags = (slot >= 0) & (self.by_author[kept] | (rating[kept] >= self.rated[:, None]))
        return result


def top(scores: Scores, page: int) -> Ints:
    """Columns of the `page` highest scores of every row, highest first: (rows, at most page)."""
    page = min(page, scores.shape[1])
    if page < scores.shape[1]:
        some = np.argpartition(-scores, page - 1, axis=1)[:, :page]
    else:
        some = np.broadcast_to(np.arange(page), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def pages_of(
    candidates: Candidates, scores: Scores, depth: Ints, settings: ReaderSettings, rating: Scores, warned: Warned
) -> tuple[Ints, Scores, Flags]:
    """The posts that each reader comes past, best first, how likely each draws a reaction, and which carry a warning.

    All of shape (readers, page).

    Args:
        candidates: of a batch of readers.
        scores: of their shape; minus infinity is not shown.
        depth: shape (readers,), posts read.
        settings: of readers.
        rating: shape (posts,), against democratic values.
        warned: which posts carry a warning for whom.
    """
    columns = top(scores, settings.page)
    shown = np.take_along_axis(scores, columns, axis=1) > OUT
    shown &= np.arange(columns.shape[1]) < depth[:, None]
    slot = np.where(shown, np.take_along_axis(candidates.slot, columns, axis=1), -1)
    kept = Candidates(
        candidates.reader,
        slot,
        np.take_along_axis(candidates.source, columns, axis=1),
        np.take_along_axis(candidates.rank, columns, axis=1),
    )
    labelled = warned.where(slot, rating)
    appeal = appeal_of(kept, settings, rating, labelled)
    missing = settings.page - columns.shape[1]
    if missing:
        slot = np.pad(slot, ((0, 0), (0, missing)), constant_values=-1)
        appeal = np.pad(appeal, ((0, 0), (0, missing)))
        labelled = np.pad(labelled, ((0, 0), (0, missing)))
    return slot, appeal, labelled


def appeal_of(candidates: Candidates, settings: ReaderSettings, rating: Scores, labelled: Flags) -> Scores:
    """Probability of a reaction when a post is looked at, of the shape of `candidates.slot`, 0 where there is none.

    Args:
        candidates: posts and how each came to the reader.
        settings: of readers.
        rating: shape (posts,).
        labelled: of the shape of `candidates.slot`, whether each carries a warning.
    """
    there = candidates.there
    kept = np.where(there, candidates.slot, 0)
    near = (candidates.source == COMMUNITY) | (candidates.source == FRESH)
    pull = settings.tie * candidates.tie() + settings.community * near
    if len(rating):
        pull = pull + settings.heat * rating[kept] - settings.label * labelled
    result: Scores = np.where(there, np.minimum(settings.base * np.exp(pull), 1.0), 0.0).astype(np.float32)
    return result


def reacted_to(appeal: Scores, settings: ReaderSettings, most: int, rng: np.random.Generator) -> Ints:
    """Columns of the posts of each page that draw reactions, in the order in which they do: (sessions, most), -1 none.

    Weighted drawing without repetition by the largest of log(weight) plus Gumbel noise.

    Args:
        appeal: shape (sessions, page).
        settings: of readers.
        most: reactions of a session, at most; all that it may be asked for.
        rng: where chance comes from.
    """
    place: Floats = (1.0 + np.arange(appeal.shape[1], dtype=np.float64)) ** -settings.attention
    weight = appeal * place
    with np.errstate(divide="ignore"):
        key = np.log(weight) + rng.gumbel(size=appeal.shape)
    most = min(most, appeal.shape[1])
    order = np.argsort(-key, axis=1, kind="stable")[:, :most]
    found: Ints = np.where(np.take_along_axis(weight, order, axis=1) > 0, order, -1)
    return found
