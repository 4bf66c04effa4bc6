"""How people read a feed: when, how far down, and to what they react.

All of it is assumed (no platform publishes these numbers), and each number is a setting of `Reading`. A person who is
to react to something reads one page first; beside these, reading alone is a Poisson process through the hours at which
people are awake. The number of posts read is geometric, cut at the page's length. A post at place k, 0 based, is looked
at with weight (1 + k)^-attention (examination by place, as in models of clicks), and reacted to, when looked at, with
probability base exp(tie c + community s + heat v - label w), at most 1, where c is closeness to who carried it, s
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
from simulation.sampling import Floats, Ints


class Reading(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of readers; see the module."""

    page: int = 10  # posts of one page
    depth: float = 6.0  # posts read of it, on average, where it is long enough
    sessions_per_day: float = 4.0  # pages read a day without reacting to anything, a person
    attention: float = 0.7  # exponent of the weight by place
    base: float = 0.05  # probability of a reaction to a post that is looked at and has nothing going for it
    tie: float = 1.5
    community: float = 0.5
    heat: float = 0.8  # outrage draws reactions: of a rating of 1
    label: float = 0.3  # a warning keeps some from reacting


@dataclass
class Pages:
    """What was read, one row a session: slot (sessions, page) with -1 beyond what was read, appeal of the same shape.

    reader (sessions,): accounts; at (sessions,): ms; algorithm (sessions,).
    """

    reader: Ints
    at: Ints
    algorithm: Ints
    slot: Ints
    appeal: Scores


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
    candidates: Candidates, scores: Scores, depth: Ints, settings: Reading, rating: Scores, labelled: Scores
) -> tuple[Ints, Scores]:
    """The posts that each reader comes past, best first, and how likely each draws a reaction: (readers, page).

    Args:
        candidates: of a batch of readers.
        scores: of their shape; minus infinity is not shown.
        depth: shape (readers,), posts read.
        settings: of readers.
        rating: shape (posts,), against democratic values.
        labelled: shape (posts,), 1 for a warning, else 0.
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
    appeal = appeal_of(kept, settings, rating, labelled)
    missing = settings.page - columns.shape[1]
    if missing:
        slot = np.pad(slot, ((0, 0), (0, missing)), constant_values=-1)
        appeal = np.pad(appeal, ((0, 0), (0, missing)))
    return slot, appeal


def appeal_of(candidates: Candidates, settings: Reading, rating: Scores, labelled: Scores) -> Scores:
    """Probability of a reaction when a post is looked at, of the shape of `candidates.slot`, 0 where there is none.

    Args:
        candidates: posts and how each came to the reader.
        settings: of readers.
        rating: shape (posts,).
        labelled: shape (posts,).
    """
    there = candidates.there
    kept = np.where(there, candidates.slot, 0)
    near = (candidates.source == COMMUNITY) | (candidates.source == FRESH)
    pull = settings.tie * candidates.tie() + settings.community * near
    if len(rating):
        pull = pull + settings.heat * rating[kept] - settings.label * labelled[kept]
    result: Scores = np.where(there, np.minimum(settings.base * np.exp(pull), 1.0), 0.0).astype(np.float32)
    return result


def reacted_to(appeal: Scores, settings: Reading, most: int, rng: np.random.Generator) -> Ints:
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
