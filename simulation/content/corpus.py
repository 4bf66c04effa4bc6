"""Texts that the user has, by author: every simulated account speaks with one author's voice and says nothing twice.

A corpus is JSON lines (`.jsonl`, `.jsonl.gz`, `.jsonl.zst`) or a parquet file with columns `author` (or `author_id` or
`account`) and `text`, and `lang` where known. Accounts of one community get authors of one language; accounts in a
second language get another's. Where an author has said everything, the event has no text.

`rows` has the project's own texts as a corpus: people's are messages of `chitchat-dataset` (MIT) by people who are kept
for the demo, whom no shipped model has read or been calibrated on; machines' are the posts that were written for the
demo's planted accounts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from detector.errors import UsageError
from simulation.content.base import Request, Text
from simulation.content.chitchat import people
from simulation.content.given import planted
from simulation.population_files import lines_of, table_of
from simulation.sampling import Flags, Floats, Ints, stream

Row: TypeAlias = tuple[str, str, str]
"""Author, text, language ("" where unknown)."""

AUTHOR_COLUMNS: Final = ("author", "author_id", "account")

LONGEST_CHARACTERS: Final = 2000
"""Of one text; longer ones are articles, not posts, and are cut."""

_link = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)


@dataclass(frozen=True)
class Speakers:
    """Who is to be given an author's voice. Shapes: (accounts,).

    community; foreign: speaks another language than the community; busy: how much it writes, 0 for those who need no
    voice.
    """

    community: Ints
    foreign: Flags
    busy: Floats
    seed: int


class Corpus:
    """A source of texts by author.

    Args:
        texts: author -> texts in the order they are to be used.
        langs: author -> language, "" where unknown.
        speakers: who is to be given a voice.
    """

    speaks = False

    def __init__(self, texts: Mapping[str, Sequence[str]], langs: Mapping[str, str], speakers: Speakers) -> None:
        self._texts = texts
        self._langs = langs
        self._used = dict.fromkeys(texts, 0)
        self._author = _voices(texts, langs, speakers)
        self.missing = 0

    @classmethod
    def load(cls, path: Path, speakers: Speakers) -> Corpus:
        """The corpus in a file.

        Raises:
            UsageError: it cannot be read, has no author or text column, or not a single text.
        """
        return cls.of(_rows(path), speakers, str(path))

    @classmethod
    def of(cls, rows: Iterable[Row], speakers: Speakers, where: str) -> Corpus:
        """The corpus of these rows; `where` they come from, for the error.

        Args:
            rows: author, text and language.
            speakers: who is to be given a voice.
            where: the rows come from, for the error.

        Raises:
            UsageError: there is not a single text.
        """
        texts: dict[str, list[str]] = {}
        langs: dict[str, str] = {}
        for author, text, lang in rows:
            cleaned = " ".join(_link.sub(" ", text).split())[:LONGEST_CHARACTERS]
            if cleaned:
                texts.setdefault(author, []).append(cleaned)
                langs.setdefault(author, lang)
        if not texts:
            raise UsageError(f"{where}: not a single text with an author in it; write rows with `author` and `text`")
        return cls(texts, langs, speakers)

    def language(self, account: int) -> str:
        """Of the author whose voice an account has, "" where it has none or that is unknown."""
        return self._langs[self._author[account]] if account in self._author else ""

    def write(self, requests: Sequence[Request]) -> list[Text | None]:
        """The next text of each account's author."""
        found: list[Text | None] = []
        for request in requests:
            author = self._author[request.account]
            used, texts = self._used[author], self._texts[author]
            if used < len(texts):
                self._used[author] = used + 1
                found.append(Text(texts[used], self._langs[author]))
            else:
                self.missing += 1
                found.append(None)
        return found


def _voices(texts: Mapping[str, Sequence[str]], langs: Mapping[str, str], speakers: Speakers) -> dict[int, str]:
    """The author of every account that needs one: who writes most gets who has written most, language by language."""
    rng = stream(speakers.seed, "voices")
    by_lang: dict[str, list[str]] = {}
    for author in sorted(texts, key=lambda author: (-len(texts[author]), author)):
        by_lang.setdefault(langs[author], []).append(author)
    known = sorted(by_lang)
    weight = np.array([sum(len(texts[author]) for author in by_lang[lang]) for lang in known], float)
    home = rng.choice(len(known), int(speakers.community.max()) + 1, p=weight / weight.sum())
    turn = {lang: cycle(by_lang[lang]) for lang in known}
    voices = {}
    for account in np.argsort(-speakers.busy, kind="stable").tolist():
        number = int(home[speakers.community[account]])
        if speakers.foreign[account] and len(known) > 1:
            number = (number + 1 + int(rng.integers(len(known) - 1))) % len(known)
        if speakers.busy[account] > 0:
            voices[account] = next(turn[known[number]])
    return voices


def _rows(path: Path) -> Iterator[Row]:
    """Author, text and language of every row."""
    rows: Iterator[Mapping[str, Any]] = table_of(path) if path.suffix == ".parquet" else _objects(path)
    for number, row in enumerate(rows, 1):
        name = next((column for column in AUTHOR_COLUMNS if column in row), None)
        if name is None or "text" not in row:
            raise UsageError(f"{path}: row {number} has no `author` or no `text`; a corpus needs both")
        if row[name] is not None and isinstance(row["text"], str):
            yield str(row[name]), row["text"], str(row.get("lang") or "")


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines_of(path), 1):
        try:
            row = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UsageError(f"{path}: line {number} is not JSON") from None
        if not isinstance(row, dict):
            raise UsageError(f"{path}: line {number} is not a JSON object")
        yield row


DEMO = "demo"
"""The name of this source."""


def rows(*, machines: bool, seed: int = 0) -> list[Row]:
    """Author, text and language of every text.

    Raises:
        UsageError: people's are wanted and `chitchat-dataset` is not installed.
    """
    if machines:
        return [(each.account, text, "en") for each in planted() for text in each.posts]
    return [(message.author, message.text, "en") for message in people(seed)]
