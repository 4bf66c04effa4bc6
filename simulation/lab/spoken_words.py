"""What is said in the societies of the lab, and how far that goes against democratic values."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np

from simulation.content.base import Text
from simulation.content.language_models import writer_of
from simulation.feeds.posts import Scores
from simulation.feeds.raters import DefaultRater, Rater
from simulation.feeds.values import RatedPost, on_scale
from simulation.population_files import written
from simulation.world import Chunk, World


class TextRatings:
    """How far texts go against democratic values, 0 to 1, by a rater; each text is rated once.

    Args:
        rater: says so.
    """

    def __init__(self, rater: Rater) -> None:
        self._rater = rater
        self._known: dict[str, float] = {}
        self._saved = 0  # of these, how many a folder has

    def remember(self, folder: Path) -> None:
        """Take over what a folder has of earlier ratings."""
        file = folder / _kept()
        if file.exists():
            self._known = msgspec.json.decode(file.read_bytes(), type=dict[str, float]) | self._known
            self._saved = len(self._known)

    def keep(self, folder: Path) -> None:
        """Leave all ratings in a folder, for whoever goes on there."""
        if len(self._known) > self._saved:
            with written(folder / _kept()) as file:
                file.write(msgspec.json.encode(self._known))
            self._saved = len(self._known)

    def of(self, texts: Sequence[str]) -> Scores:
        """(texts,) ratings."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            posts = [RatedPost(id="", text=text, side="none", part="held-out", ratings={}) for text in new]
            self._known.update(zip(new, on_scale(self._rater.rate(posts)).tolist(), strict=True))
        return np.array([self._known[text] for text in texts], np.float32)


def _kept() -> str:
    """Name of the file of ratings: by what the default rater goes by."""
    texts = [files("simulation").joinpath(f"feeds/{name}") for name in ("value_rules.toml", "rated_posts.jsonl")]
    return f"ratings-{hashlib.sha256(b''.join(each.read_bytes() for each in texts)).hexdigest()[:16]}.json"


@lru_cache(maxsize=1)
def default_ratings() -> TextRatings:
    """By the default rater, once a process."""
    return TextRatings(DefaultRater())


class SpokenWords:
    """What is said in a society from its start on, step by step; `society.Rated` of its posts.

    Args:
        world: whose accounts speak.
        ratings: of what they say.
    """

    def __init__(self, world: World, ratings: TextRatings) -> None:
        self._world, self._ratings = world, ratings
        self._writer = writer_of(world, os.environ)
        self._said: dict[int, Text | None] = {}

    def __call__(self, chunk: Chunk) -> Scores:
        """Ratings of a step's events, 0 where there are no words. To be called once a step, in order."""
        rating: Scores = np.zeros(len(chunk), np.float32)
        if self._writer is None or self._world.now_ms <= self._world.start_ms:
            return rating
        later = np.flatnonzero((chunk.at >= self._world.start_ms) & (chunk.at < self._world.end_ms))
        mask = np.zeros(len(chunk), bool)
        mask[later] = True
        events = chunk.where(mask)
        texts = self._writer.texts(events)
        self._said = dict(zip(events.serial.tolist(), texts, strict=True))
        spoken = [(i, text.words) for i, text in zip(later.tolist(), texts, strict=True) if text is not None]
        if spoken:
            rating[[i for i, _ in spoken]] = self._ratings.of([words for _, words in spoken])
        return rating

    def of(self, events: Chunk) -> list[Text | None] | None:
        """The words of the last step's events; None where nobody speaks."""
        return None if self._writer is None else [self._said.get(serial) for serial in events.serial.tolist()]

    def language(self, account: int) -> str:
        """In which a person writes, "" where that is unknown."""
        return "" if self._writer is None else self._writer.language(account)
