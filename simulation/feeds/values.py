"""Eight democratic values as a codebook: what goes against each, by three criteria, and how that becomes a rating.

The values are the eight variables of anti-democratic attitudes that the study of societal objective functions (Jia,
Lam, Mai, Hancock and Bernstein 2024) takes from political science; criteria and wording are this project's own.
The mapping, exactly: a post that meets none of a value's three criteria is rated 1, one that meets one is rated 2, one
that meets two or three is rated 3. A post's score is the sum over the eight values, 8 to 24, and its rating on the
simulator's scale is (score - 8) / 16, 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from detector.errors import ConfigError
from simulation.feeds.agreement import Ratings
from simulation.feeds.posts import Scores

RATING_OF: Final = (1, 2, 3, 3)
"""Rating by the number of criteria met."""

LOWEST: Final = 8
"""Score of a post that goes against nothing: a rating of 1 for each of eight values."""

SPAN: Final = 16
"""From there to the score of a post that is rated 3 eight times."""


@dataclass(frozen=True)
class Value:
    """A value that posts may go against: `key` in files, `name` in tables, a post meets a criterion or not."""

    key: str
    name: str
    criteria: tuple[str, str, str]


VALUES: Final = (
    Value(
        "partisan_animosity",
        "partisan animosity",
        (
            "insults or demeans the supporters of a political side as such",
            "voices hatred, disgust, contempt or rage at a political side or its supporters",
            "says of all of a political side that their character or motives are bad",
        ),
    ),
    Value(
        "undemocratic_practices",
        "support for undemocratic practices",
        (
            "wants to keep political opponents from voting, speaking, publishing or assembling",
            "wants to set aside courts, law or fixed rules, or to bend them, so that one's own side gains",
            "wants an election not held, or its result not accepted",
        ),
    ),
    Value(
        "partisan_violence",
        "support for partisan violence",
        (
            "threatens political opponents with harm or wishes it on them",
            "justifies or excuses violence for a political end",
            "praises those who used it, or calls on others to use it",
        ),
    ),
    Value(
        "undemocratic_candidates",
        "support for undemocratic candidates",
        (
            "backs a candidate or leader who broke or threatens to break democratic rules",
            "says that this does not matter, or speaks for the candidate",
            "wants a leader whom parliament, courts or press do not bind",
        ),
    ),
    Value(
        "opposition_to_bipartisanship",
        "opposition to bipartisanship",
        (
            "refuses to work, talk or compromise with the other side",
            "calls those who do so traitors, cowards or sell-outs",
            "wants what the other side proposes blocked whatever it is",
        ),
    ),
    Value(
        "social_distrust",
        "social distrust",
        (
            "says that people, or the people of a side or a place, cannot be trusted",
            "says that others are out to cheat, rob or exploit",
            "tells others to be on their guard against people",
        ),
    ),
    Value(
        "social_distance",
        "social distance",
        (
            "does not want people of the other side as friends, family, partners, neighbours or colleagues",
            "tells of ending contact with somebody because of their side",
            "wants others to do so, or sides to live apart",
        ),
    ),
    Value(
        "biased_facts",
        "biased evaluation of politicised facts",
        (
            "takes a statement of fact for true or false by which side makes it",
            "rejects figures, experts or press as a whole because they are said to serve the other side",
            "states a contested claim that suits one's own side as certain, and turns evidence away",
        ),
    ),
)

KEYS: Final = tuple(value.key for value in VALUES)

Part: TypeAlias = Literal["tuning", "held-out"]
"""Posts that rules were written against, and those they were not."""


class RatedPost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A post written for this project with the ratings that its author meant it to have, by value; 1 where left out.

    side: whom it is about or comes from, so that sides can be held against each other.
    """

    id: str
    text: str
    side: Literal["left", "right", "none"]
    part: Part
    ratings: dict[str, Literal[1, 2, 3]]


def shipped_posts() -> tuple[RatedPost, ...]:
    """The posts that come with Swarmlight, in their order."""
    return _parsed(files("simulation").joinpath("feeds/rated_posts.jsonl").read_bytes(), "rated_posts.jsonl")


def load_posts(path: Path) -> tuple[RatedPost, ...]:
    """Posts with ratings from a file of JSON lines in the form of the shipped one.

    Raises:
        ConfigError: it cannot be read, or a line in it cannot be used; the message has its number.
    """
    try:
        return _parsed(path.read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: posts cannot be read: {error.strerror}") from None


def _parsed(data: bytes, where: str) -> tuple[RatedPost, ...]:
    found = []
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                post = msgspec.json.decode(line, type=RatedPost)
            except msgspec.DecodeError as error:
                raise ConfigError(f"{where}, line {number}: {error}; see docs/how-to/feeds.md for the form") from None
            unknown = sorted(set(post.ratings) - set(KEYS))
            if unknown:
                raise ConfigError(f"{where}, line {number}: no value {unknown[0]!a}: there are {', '.join(KEYS)}")
            found.append(post)
    return tuple(found)


def intended(posts: tuple[RatedPost, ...]) -> Ratings:
    """The ratings that authors meant, (posts, 8), columns as `VALUES`."""
    return np.array([[post.ratings.get(key, 1) for key in KEYS] for post in posts], np.int8).reshape(-1, len(KEYS))


def on_scale(ratings: Ratings) -> Scores:
    """(score - 8) / 16 of ratings (posts, 8): 0 to 1 each. A missing rating counts as 1."""
    result: Scores = ((np.maximum(ratings, 1).sum(axis=1) - LOWEST) / SPAN).astype(np.float32)
    return result
