"""How far raters agree, value by value and pair by pair: what `swarmlight lab rate` prints."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from detector.errors import UsageError
from simulation.content.chat_client import ChatClient
from simulation.feeds.agreement import Ratings, alpha_interval, ordinal_alpha
from simulation.feeds.endpoint_rater import EndpointRater
from simulation.feeds.raters import DefaultRater, MeaningRater, PeopleRater, Rater, RuleRater, people_of
from simulation.feeds.values import KEYS, VALUES, RatedPost, intended
from simulation.sampling import stream

AUTHOR: Final = "author"
"""Who wrote a post rates it by what it was meant to say."""

KEY_VARIABLE: Final = "OPENAI_API_KEY"
"""Variable of the environment with an endpoint's key, where it needs one; as `texts.key_env` of the simulator."""


def raters_of(choice: str, environ: Mapping[str, str] = os.environ) -> Sequence[Rater]:
    """The raters that a name stands for: `rules`, `meanings`, `default`, `csv:FILE`, `endpoint:ADDRESS#MODEL`.

    Raises:
        UsageError: there is no such rater.
        ConfigError: the file cannot be used.
    """
    scheme, _, rest = choice.partition(":")
    if choice == "rules":
        return [RuleRater()]
    if choice == "meanings":
        return [MeaningRater()]
    if choice == "default":
        return [DefaultRater()]
    if scheme == "csv" and rest:
        found: list[PeopleRater] = people_of(Path(rest))
        return found
    base, _, model = rest.partition("#")
    if scheme == "endpoint" and model:
        return [EndpointRater(ChatClient(base, model, key=environ.get(KEY_VARIABLE, "")), model)]
    raise UsageError(f"no rater {choice!a}: name rules, meanings, default, csv:FILE or endpoint:ADDRESS#MODEL")


def rated(posts: tuple[RatedPost, ...], raters: Sequence[Rater]) -> dict[str, Ratings]:
    """Ratings (posts, 8) of the author and of each rater, by name."""
    return {AUTHOR: intended(posts)} | {rater.name: rater.rate(posts) for rater in raters}


def against_author(ratings: Mapping[str, Ratings]) -> Table:
    """Alpha of each rater and the author, value by value; beside it how many posts the author rated above 1."""
    wanted = ratings[AUTHOR]
    others = [name for name in ratings if name != AUTHOR]
    table = Table(title=f"{len(wanted)} posts: Krippendorff's alpha (ordinal) with the author")
    table.add_column("value")
    for column in ("posts above 1", *others):
        table.add_column(column, justify="right")
    for i, value in enumerate(VALUES):
        alphas = [f"{ordinal_alpha(np.stack((wanted[:, i], ratings[name][:, i]))):.2f}" for name in others]
        table.add_row(value.name, f"{(wanted[:, i] > 1).sum()}", *alphas)
    return table


def pairs(ratings: Mapping[str, Ratings]) -> Table:
    """Of every pair of raters over all posts and values: alpha with its interval, and how often ratings are equal."""
    table = Table(title=f"pairs of raters, all {len(KEYS)} values")
    for column in ("raters", "alpha", "95%", "equal", "equal where one is above 1"):
        table.add_column(column, justify="left" if column == "raters" else "right")
    for one, other in combinations(ratings, 2):
        both = np.stack((ratings[one].ravel(), ratings[other].ravel()))
        low, high = alpha_interval(both, stream(0, "agreement"))
        given = (both > 0).all(axis=0)
        same = both[0] == both[1]
        marked = given & (both > 1).any(axis=0)
        table.add_row(
            f"{one}, {other}",
            f"{ordinal_alpha(both):.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{same[given].mean() if given.any() else np.nan:.0%}",
            f"{same[marked].mean() if marked.any() else np.nan:.0%}",
        )
    return table
