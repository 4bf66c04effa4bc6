"""Raters of posts on the eight democratic values: rules, meanings, both, a language model, people.

A rater is anything with a name that gives ratings (posts, 8) for posts (`Rater`). What ships: `RuleRater`, regular
expressions for each criterion; `MeaningRater`, which holds a post's vector of the packaged sentence encoder against
those of rated posts and examples; `DefaultRater`, the higher rating of the two; `PeopleRater`,
ratings from a CSV. A language model behind an endpoint is in `feeds.endpoint_rater`.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from detector.errors import ConfigError
from detector.text.meaning import MeaningEncoder
from simulation.feeds.agreement import MISSING, Ratings
from simulation.feeds.values import KEYS, RATING_OF, VALUES, RatedPost, intended, shipped_posts
from simulation.sampling import Flags, Floats

EXAMPLE: Final = 2.5
"""Rating of a sentence that was written as an example of a criterion: it meets one, often two."""

RIDGE: Final = 0.1
"""Added to the kernel's diagonal. This and the two bounds below had the highest alpha, 0.705, of eight-fold
cross-validation in the part "tuning", posts that mirror each other in one fold; no other posts were looked at."""

IN_PART: Final = 0.4
"""Expected rating - 1 from which a post is rated 2."""

MOSTLY: Final = 0.7
"""Expected rating - 1 from which it is rated 3."""


class Rater(Protocol):
    """Gives ratings of posts; `MISSING` where it has none."""

    name: str

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8), columns as `values.VALUES`; the posts' own ratings are not looked at."""
        ...


def from_criteria(met: Flags) -> Ratings:
    """Ratings (posts, 8) from criteria met (posts, 8, 3), by `values.RATING_OF`."""
    result: Ratings = np.array(RATING_OF, np.int8)[met.sum(axis=2)]
    return result


@dataclass(frozen=True)
class Rules:
    """What the shipped raters look for: patterns and examples, value by value, criterion by criterion."""

    patterns: tuple[tuple[re.Pattern[str], ...], ...]
    like: tuple[tuple[tuple[str, ...], ...], ...]
    neutral: tuple[str, ...]

    @classmethod
    def shipped(cls) -> Rules:
        """Those of `value_rules.toml`."""
        table = tomllib.loads(files("simulation").joinpath("feeds/value_rules.toml").read_text(encoding="utf-8"))
        side = table["side"]
        others = table["others"].replace("{side}", side)

        def compiled(patterns: list[str]) -> re.Pattern[str]:
            filled = [one.replace("{side}", side).replace("{others}", others) for one in patterns]
            return re.compile("|".join(f"(?:{one})" for one in filled), re.IGNORECASE | re.DOTALL)

        return cls(
            tuple(tuple(compiled(each) for each in table[value.key]["patterns"]) for value in VALUES),
            tuple(tuple(tuple(each) for each in table[value.key]["like"]) for value in VALUES),
            tuple(table["neutral"]),
        )


class RuleRater:
    """A criterion is met where one of its patterns is found."""

    name = "rules"

    def __init__(self, rules: Rules | None = None) -> None:
        self._patterns = (rules or Rules.shipped()).patterns

    def met(self, posts: Sequence[RatedPost]) -> Flags:
        """Criteria met, (posts, 8, 3)."""
        texts = [post.text.replace("’", "'") for post in posts]
        found = [[[one.search(text) is not None for one in value] for value in self._patterns] for text in texts]
        return np.array(found, bool).reshape(-1, len(KEYS), 3)

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8)."""
        return from_criteria(self.met(posts))


class MeaningRater:
    """Learns ratings from posts of the part "tuning" and from examples of criteria, by what they mean.

    Kernel ridge regression (Saunders, Gammerman and Vovk 1998) of rating - 1 on vectors of the packaged sentence
    encoder, kernel exp(-|x - y|^2) of unit vectors; what is neutral is rated 1, an example of a criterion `EXAMPLE`. It
    is fitted at the first use.

    Args:
        rules: whose examples are taken; the shipped ones where None.
    """

    name = "meanings"

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules.shipped()
        self._encoder = MeaningEncoder()

    @cached_property
    def _fitted(self) -> tuple[Floats, Floats]:
        """Vectors that were learned from (texts, dim), and their weights (texts, 8)."""
        posts = tuple(post for post in shipped_posts() if post.part == "tuning")
        texts, wanted = [post.text for post in posts], [row.astype(np.float64) for row in intended(posts)]
        for value, criteria in enumerate(self._rules.like):
            for sentence in (one for criterion in criteria for one in criterion):
                texts.append(sentence)
                wanted.append(np.where(np.arange(len(KEYS)) == value, EXAMPLE, 1.0))
        texts += self._rules.neutral
        wanted += [np.ones(len(KEYS))] * len(self._rules.neutral)
        vectors = self._vectors(texts)
        kernel = _kernel(vectors, vectors) + RIDGE * np.eye(len(texts))
        return vectors, np.linalg.solve(kernel, np.array(wanted) - 1)

    def _vectors(self, texts: Sequence[str]) -> Floats:
        raw = self._encoder.vectors(texts).astype(np.float64)
        norm = np.linalg.norm(raw, axis=1, keepdims=True)
        result: Floats = raw / np.where(norm == 0, 1, norm)
        return result

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8).

        Raises:
            ModelError: the encoder is not installed or cannot be loaded.
        """
        vectors, weights = self._fitted
        expected = _kernel(self._vectors([post.text for post in posts]), vectors) @ weights
        result: Ratings = (1 + (expected >= IN_PART) + (expected >= MOSTLY)).astype(np.int8)
        return result


def _kernel(a: Floats, b: Floats) -> Floats:
    result: Floats = np.exp(2 * (a @ b.T) - 2)
    return result


class DefaultRater:
    """The higher of what rules and meanings say."""

    name = "rules and meanings"

    def __init__(self) -> None:
        rules = Rules.shipped()
        self._raters = (RuleRater(rules), MeaningRater(rules))

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8)."""
        result: Ratings = np.maximum(self._raters[0].rate(posts), self._raters[1].rate(posts))
        return result


class PeopleRater:
    """Ratings that somebody has given, by post and value."""

    def __init__(self, name: str, given: dict[tuple[str, str], int]) -> None:
        self.name, self._given = name, given

    def rate(self, posts: Sequence[RatedPost]) -> Ratings:
        """Ratings (posts, 8), `MISSING` where there is none."""
        found = [[self._given.get((post.id, key), MISSING) for key in KEYS] for post in posts]
        return np.array(found, np.int8).reshape(-1, len(KEYS))


def people_of(path: Path) -> list[PeopleRater]:
    """Raters of a CSV with the columns `rater`, `post` (its id), `value` (a key), `rating` (1, 2 or 3), by name.

    Raises:
        ConfigError: it cannot be read, or a line in it cannot be used; the message has its number.
    """
    given: dict[str, dict[tuple[str, str], int]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                rater, post, value, rating = (_cell(row, name) for name in ("rater", "post", "value", "rating"))
                number = reader.line_num
                if value not in KEYS:
                    raise ConfigError(f"{path}, line {number}: no value {value!a}: there are {', '.join(KEYS)}")
                if rating not in {"1", "2", "3"}:
                    raise ConfigError(f"{path}, line {number}: rating {rating!a}: write 1, 2 or 3")
                given.setdefault(rater, {})[post, value] = int(rating)
    except OSError as error:
        raise ConfigError(f"{path}: ratings cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: this is no CSV in UTF-8: {error}") from None
    if not given:
        raise ConfigError(f"{path}: no ratings in it; it needs the columns rater, post, value, rating")
    return [PeopleRater(name, given[name]) for name in sorted(given)]


def _cell(row: dict[str, Any], name: str) -> str:
    return str(row.get(name) or "").strip()
