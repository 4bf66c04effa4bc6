"""People by population: who wrote which texts, where, and whether they train, calibrate or measure.

`population_people` gives the texts of the people of one role. Text training takes the role `train`, calibration
`calibrate`, and `measure` is left for figures; the role is a hash of the person (`detector.data_splits`), so that no
person serves two. Whoever has a text in `campaigns-dev`, a stream that figures are taken on, serves none. An essay is
one person's and is cut into posts; texts without author are put into bags, which mix people and say so (`mixed`).
"""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pandas as pd

from detector.data_splits import ROLES, Role, role_of
from detector.errors import UsageError
from detector.text.tokenize import normalise, normalise_language
from detector.times import parse_time

COLUMNS: Final = ("text", "author_id", "population", "lang", "group", "mixed", "at_ms")

NO_TIME: Final = -1
"""`at_ms` of a text whose time is not known."""

POST_CHARACTERS: Final = 280
"""Longest post that an essay is cut into: posts of the streams are that long."""

BAG_TEXTS: Final = 12
"""Texts in a bag that stands for a person: the middle of what people of the streams write."""

MATCH_CHARACTERS: Final = 40
"""Letters and digits at the beginning or the end of a text by which two copies of it are told."""

MATCH_LEAST: Final = 16
"""Letters and digits of a text that can be matched at all: `ok thanks` is everybody's."""

MEASURED_STREAM: Final = "campaigns-dev"
"""The stream whose people come from these sets."""


@dataclass(frozen=True)
class Population:
    """One population: where it is, and what it is.

    Args:
        name: as in `population` of `population_people`.
        file: stem of the parquet file under `text/`.
        licence: of the set.
        about: who these people are.
        chosen: rows of the file that belong to it.
        group: of a row: what is told apart within the population, "" for nothing.
        essays: whether a text is a whole essay, to be cut into posts of one person.
        mixed: whether authors are unknown, so that bags mix them.
    """

    name: str
    file: str
    licence: str
    about: str
    chosen: Callable[[pd.DataFrame], pd.Series[bool]]
    group: Callable[[pd.DataFrame], pd.Series[str]] | None = None
    essays: bool = False
    mixed: bool = False


_ACADEMIC: Final = "academic release without a stated licence"
_SHORT: Final = "MIT, Apache-2.0 and CC BY 4.0"

_NATIVE: Final = {"yes": "native", "no": "second language"}

BAG_LANGUAGES: Final = ("ar", "de", "en", "es", "fr", "ha", "hi", "ig", "it", "pcm", "pt", "yo")
"""Languages of `human_short_text`: of its tweets, that is; reviews and editorials are left out."""


def _native(rows: pd.DataFrame) -> pd.Series[str]:
    return rows["native_speaker"].astype(str).str.lower().map(_NATIVE).fillna("unknown")


def _starts(prefix: str, lang: str | None = None) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    def chosen(rows: pd.DataFrame) -> pd.Series[bool]:
        found = rows["source"].str.startswith(prefix)
        return found if lang is None else found & (rows["lang"] == lang)

    return chosen


def _essays(native: int) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    return lambda rows: (rows["label"] == 0) & (rows["native"] == native)


_NO_TWEETS: Final = ("vader/amazon", "vader/nyt", "davidson2017/aae_markers")


def _tweets(lang: str) -> Callable[[pd.DataFrame], pd.Series[bool]]:
    return lambda rows: (rows["lang"] == lang) & ~rows["source"].str.startswith(_NO_TWEETS)


POPULATIONS: Final = (
    Population("irc", "people_authors", _ACADEMIC, "people of the IRC channel #ubuntu, 2004 to 2018", _starts("irc_")),
    Population(
        "sms", "people_authors", _ACADEMIC,
        "people who gave their text messages in English to the National University of Singapore, 2003 to 2015, "
        "native speakers and others",
        _starts("nus_sms", "en"), _native,
    ),
    Population(
        "sms-zh", "people_authors", _ACADEMIC, "people who gave their text messages in Chinese to the same",
        _starts("nus_sms", "zh"), _native,
    ),
    Population(
        "climate", "people_authors", _ACADEMIC,
        "people who wrote on X about a climate summit in one afternoon of 2021, by shown name",
        _starts("cop26_"),
    ),
    Population(
        "toefl", "liang_toefl", "MIT", "essays of non-native writers (TOEFL), cut into posts", _essays(0), essays=True
    ),
    Population(
        "native-essays", "liang_toefl", "MIT", "essays of native students, cut into posts", _essays(1), essays=True
    ),
    Population(
        "bag-aae", "human_short_text", _SHORT, "tweets with marks of African American English, mixed authors",
        _starts("davidson2017/aae_markers"), mixed=True,
    ),
    *(
        Population(
            f"bag-{lang}", "human_short_text", _SHORT, f"tweets before 2022 in the language {lang}, mixed authors",
            _tweets(lang), mixed=True,
        )
        for lang in BAG_LANGUAGES
    ),
)  # fmt: skip
"""All populations but chat and contest, whose people have their own readers (`training.account_data`)."""

NAMES: Final = tuple(population.name for population in POPULATIONS)


def is_there(data: Path, population: Population) -> bool:
    """Whether the set of a population is in the folder: who has not got all of them calibrates on the others."""
    return (data / "text" / f"{population.file}.parquet").is_file()


def population_people(
    data: Path, role: Role | None, *, names: Collection[str] = NAMES, known_texts: Collection[str] = ()
) -> pd.DataFrame:
    """The texts of the people of a role, a row each, by population and author in order of time.

    Args:
        data: folder with `text/` and, for who is left out, `streams/campaigns-dev.jsonl.gz`.
        role: whose; None for everybody, with a further column `role`.
        names: of the populations.
        known_texts: `training.account_data.beginning` of texts that a model was trained on; whoever wrote one of four
            words or more is left out.

    Returns:
        Columns `text` (as it is in the set, essays cut into posts), `author_id` (unique within the population),
        `population`, `lang`, `group` (`native`, `second language` or `unknown` for text messages, else ""), `mixed`
        (whether the author is a bag of several people), `at_ms` (`NO_TIME` where unknown).

    Raises:
        UsageError: an unknown population, or a file cannot be read.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise UsageError(f"no population {unknown[0]!a}: there are {', '.join(NAMES)}")
    barred = _measured_texts(data)
    frames: dict[str, pd.DataFrame] = {}
    parts: list[pd.DataFrame] = []
    for population in POPULATIONS:
        if population.name not in names:
            continue
        if population.file not in frames:
            frames[population.file] = _read(data / "text" / f"{population.file}.parquet")
        rows = frames[population.file]
        people = _people(rows[population.chosen(rows)], population)
        people = _left(people, barred, frozenset(known_texts))
        people["role"] = [role_of(population.name, author) for author in people["author_id"]]
        parts.append(people if role is None else people[people["role"] == role].drop(columns="role"))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(parts, ignore_index=True)


def may_train(data: Path, file: str, rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows of a text set a text model may learn from: those of people whose role it is, and of no population.

    Of texts without author, whose bags measure nobody, those that do not calibrate are learned from.

    Args:
        data: folder with `text/` and, for who is left out, `streams/campaigns-dev.jsonl.gz`.
        file: stem of the set's parquet file.
        rows: of that file.
    """
    allowed = pd.Series(True, index=rows.index)
    barred = _measured_texts(data)
    for population in POPULATIONS:
        if population.file != file:
            continue
        chosen = population.chosen(rows)
        part = rows[chosen]
        people = _left(_people(part, population), barred, frozenset())
        roles = people["author_id"].map(lambda author, name=population.name: role_of(name, author))
        training = people[roles != "calibrate" if population.mixed else roles == "train"]
        if population.essays:
            kept = part["text"].astype(str).map(_digest).isin(set(training["author_id"]))
        else:
            kept = part["text"].astype(str).isin(set(training["text"]))
        allowed[chosen] = kept
    return allowed


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {error}; give the folder with text/ as --data") from error


def _people(rows: pd.DataFrame, population: Population) -> pd.DataFrame:
    """Rows of a file as `COLUMNS`."""
    table = pd.DataFrame(
        {
            "text": rows["text"].astype(str),
            "author_id": rows["author_id"].astype("object").where(rows["author_id"].notna(), "").astype(str),
            "population": population.name,
            "lang": rows["lang"].astype(str).map(normalise_language).replace("pcm", "en"),
            "group": "" if population.group is None else population.group(rows),
            "mixed": population.mixed,
            "at_ms": [_time(value) for value in rows.get("created_at", pd.Series(None, index=rows.index))],
        }
    )
    if population.essays:
        table["author_id"] = [_digest(text) for text in table["text"]]
        table["text"] = table["text"].map(posts)
        table = table.explode("text", ignore_index=True)
    if population.mixed:
        table = table.drop_duplicates("text")
        table["author_id"] = _bags(table["text"], population.name)
    table = table[table["author_id"] != ""]
    return table.sort_values(["author_id", "at_ms"], kind="stable", ignore_index=True)


def _time(value: Any) -> int:
    if not isinstance(value, str):
        return NO_TIME
    at = parse_time(value if re.search(r"(?:Z|[+-]\d\d:?\d\d)$", value) else f"{value}Z")
    return NO_TIME if at is None else at


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _bags(texts: pd.Series[str], population: str) -> list[str]:
    """Bag of each text. A text has a role by its own hash and shares a bag with texts of its role only.

    The bag's name is chosen so that its hash gives that role: `role_of` then holds for bags as for authors.
    """
    digests = [_digest(text) for text in texts]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    counts = dict.fromkeys(ROLES, 0)
    names: list[str] = [""] * len(digests)
    current: dict[Role, str] = {}
    taken: set[str] = set()
    for i in order:
        role = role_of(population, digests[i])
        if counts[role] % BAG_TEXTS == 0:
            number = 0
            while role_of(population, f"bag-{number}") != role or f"bag-{number}" in taken:
                number += 1
            current[role] = f"bag-{number}"
            taken.add(current[role])
        counts[role] += 1
        names[i] = current[role]
    return names


_sentence: Final = re.compile(r"(?<=[.!?])[\"')\]]?\s+")


def posts(essay: str) -> list[str]:
    """An essay as posts: whole sentences, together at most `POST_CHARACTERS` characters where a sentence allows."""
    made: list[str] = []
    for sentence in _sentence.split(" ".join(essay.split())):
        while len(sentence) > POST_CHARACTERS:
            cut = sentence.rfind(" ", 0, POST_CHARACTERS + 1)
            cut = cut if cut > 0 else POST_CHARACTERS
            made.append(sentence[:cut])
            sentence = sentence[cut:].lstrip()
        if made and len(made[-1]) + len(sentence) < POST_CHARACTERS:
            made[-1] = f"{made[-1]} {sentence}"
        elif sentence:
            made.append(sentence)
    return made


_NO_LETTERS: Final = re.compile(r"https?://\S+|@\w+|&|\band\b", re.IGNORECASE)
_NOT_WORD: Final = re.compile(r"[\W_]+")


def traces(text: str) -> tuple[str, ...]:
    """What two copies of a text share however they were cleaned: letters and digits of its beginning and of its end.

    Links, mentions, `&` and "and" are left out, as a cleaner may have put one for the other; () for a short text.
    """
    bare = _NOT_WORD.sub("", _NO_LETTERS.sub(" ", html.unescape(text)).lower())
    return () if len(bare) < MATCH_LEAST else (bare[:MATCH_CHARACTERS], bare[-MATCH_CHARACTERS:])


@lru_cache(maxsize=2)
def _measured_texts(data: Path) -> frozenset[str]:
    """`traces` of all texts of the measured stream; none where the stream is not there."""
    path = data / "streams" / f"{MEASURED_STREAM}.jsonl.gz"
    if not path.is_file():
        return frozenset()
    found: set[str] = set()
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                found.update(traces(json.loads(line).get("text") or ""))
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"cannot read {path}: {error}") from error
    return frozenset(found)


def _left(people: pd.DataFrame, barred: frozenset[str], known_texts: frozenset[str]) -> pd.DataFrame:
    """The people none of whose texts is barred; of a bag only such texts leave."""

    def is_known(text: str) -> bool:
        if barred.intersection(traces(text)):
            return True
        if not known_texts:
            return False
        clean = normalise(text)
        return len(clean.split()) >= _EVIDENCE_WORDS and clean[:100].lower() in known_texts

    known = people["text"].map(is_known).astype(bool)
    out = known | (~people["mixed"] & people["author_id"].isin(set(people.loc[known, "author_id"])))
    return people[~out].reset_index(drop=True)


_EVIDENCE_WORDS: Final = 4
"""Words under which a text gives no evidence, and may be anybody's."""


def counts(people: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """One record per population for cards and tables: people, texts, languages, and whether bags mix people."""
    for name, rows in people.groupby("population", sort=False):
        yield {
            "population": str(name),
            "people": int(rows["author_id"].nunique()),
            "texts": len(rows),
            "languages": sorted(set(rows["lang"])),
            "mixed": bool(rows["mixed"].any()),
        }
