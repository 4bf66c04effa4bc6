"""Accounts to train on: recordings with their truth, chat people, and bags of single posts that stand for accounts.

`read_stream`, `chat_people` and `bags` give posts; `snapshots` counts them with the same `AccountStatistics` as in
production, so that a model cannot be trained on one thing and run on another, and gives what the account model sees
after the first, second, ... post of every account.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.account.features import AccountFeatures, language_code
from detector.account.statistics import AccountStatistics
from detector.data_splits import split_of
from detector.errors import EventError, UsageError
from detector.evidence import MILLINAT
from detector.text.features import TextFeatures
from detector.text.tokenize import normalise, settle_language
from detector.times import AT_MAX, parse_time
from streaming.schema.event import Event, parse
from streaming.schema.observation import Kind
from streaming.sources.files import RecordingFiles

KINDS: Final = int(Kind.FOLLOW) + 1
"""Number of kinds of events that count: those of the observation log up to follows. Deletions are left out."""

BAG_POSTS: Final = (3, 40)
"""Fewest and most posts of a bag, drawn evenly in the logarithm: accounts come in all sizes."""

AUTHOR_POSTS: Final = 3
"""Posts by which an author of a text set is an account of its own."""

BAG_TEXTS: Final = 1500
"""Texts of one (source, class, generator, style, language) that go into bags: more weigh no more."""

CHAT_POSTS: Final = 120
"""Messages of a chat person that are read, the first ones: about twice the horizon of the thresholds."""

CHAT_MIN_TEXTS: Final = 5
"""Texts of at least four words that make a chat person an account."""


@dataclass(frozen=True)
class RawEvents:
    """Posts of some accounts before any model has read them; sorted by (time, account, id)."""

    names: list[str]
    account: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    kind: NDArray[np.int64]
    texts: list[str]
    langs: list[str]
    links: NDArray[np.int64]
    sites: list[tuple[str, ...]]


def read_truth(path: Path) -> dict[str, dict[str, Any]]:
    """account -> its line of a truth file.

    Raises:
        UsageError: the file cannot be read or a line is no truth record.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    record = json.loads(line)
                    if record.get("label") not in (0, 1) or not isinstance(record.get("account"), str):
                        raise UsageError(f"{path}:{number}: a truth record needs account and label 0 or 1")
                    found[record["account"]] = record
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"cannot read the truth file {path}: {error}") from error
    return found


def read_stream(path: Path, readable: Collection[str] = ()) -> RawEvents:
    """The events of a recording by account and time, deletions left out.

    Args:
        path: the recording.
        readable: primary tags of the languages that the text model reads, as `settle_language` wants them.

    Raises:
        UsageError: the file cannot be read, or a line is no event.
    """
    events: list[Event] = []
    with RecordingFiles([path]) as records:
        for record in records:
            try:
                event = parse(record.value, now_ms=AT_MAX)
            except EventError as error:
                raise UsageError(f"{path}:{record.position}: not a post event ({error})") from error
            if event.kind <= Kind.FOLLOW:
                events.append(event)
    events.sort(key=lambda event: (event.at, event.account, event.id))
    names = sorted({event.account for event in events})
    index = {name: i for i, name in enumerate(names)}
    return RawEvents(
        names=names,
        account=np.array([index[event.account] for event in events], np.int64),
        at_ms=np.array([event.at for event in events], np.int64),
        kind=np.array([int(event.kind) for event in events], np.int64),
        texts=[event.text for event in events],
        langs=[settle_language(event.text, event.lang, readable) if event.text.strip() else "" for event in events],
        links=np.array([len(event.urls) for event in events], np.int64),
        sites=[tuple(sorted({urlsplit(link).hostname or "" for link in event.urls})) for event in events],
    )


_LINK: Final = re.compile(r"https?://[^\s<>\"']+")


def chat_people(role: str, known_texts: frozenset[str]) -> RawEvents:
    """People of `chitchat-dataset` that serve `role`, with enough texts, who wrote none of `known_texts`.

    Args:
        role: as in `detector.data_splits`.
        known_texts: `beginning` of texts that some model was trained on.
    """
    from chitchat_dataset import Dataset

    messages: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for conversation in Dataset().values():
        for turn in conversation["messages"]:
            for message in turn:
                if split_of("chitchat", message["sender"]) == role:
                    messages[message["sender"]].append((parse_time(message["timestamp"]) or 0, message["text"]))
    rows: list[tuple[int, str, str]] = []
    for person, said in sorted(messages.items()):
        clean = [normalise(text) for _, text in said]
        long = [beginning(text) for text in clean if len(text.split()) >= _EVIDENCE_WORDS]
        if len(long) >= CHAT_MIN_TEXTS and known_texts.isdisjoint(long):
            rows += [(at, person, text) for at, text in sorted(said)[:CHAT_POSTS]]
    rows.sort()
    names = sorted({person for _, person, _ in rows})
    index = {name: i for i, name in enumerate(names)}
    return RawEvents(
        names=names,
        account=np.array([index[person] for _, person, _ in rows], np.int64),
        at_ms=np.array([at for at, _, _ in rows], np.int64),
        kind=np.zeros(len(rows), np.int64),
        texts=[text for _, _, text in rows],
        langs=["en"] * len(rows),
        links=np.array([len(_LINK.findall(text)) for _, _, text in rows], np.int64),
        sites=[()] * len(rows),
    )


def beginning(text: str) -> str:
    """What two copies of a normalised text share however one was cut: its first hundred characters in lower case."""
    return text[:100].lower()


_EVIDENCE_WORDS: Final = 4
"""Words under which a text gives no evidence."""


@dataclass(frozen=True)
class Bag:
    """Posts of a text set that stand for one account."""

    rows: NDArray[np.int64]
    label: int
    source: str
    cluster: str
    authored: bool
    """Whether all posts are one author's."""


def bags(table: pd.DataFrame, seed: int = 0) -> list[Bag]:
    """Bags of the rows of `training.data.load_texts`: by author where known, else by generator, style and language.

    Every text is in at most one bag.
    """
    rng = np.random.default_rng(seed)
    made: list[Bag] = []
    for source, label in sorted(set(zip(table["source"], table["label"], strict=True))):
        rows = table[(table["source"] == source) & (table["label"] == label)]
        cluster = str(rows["cluster"].iloc[0])
        counts = rows["author_id"].value_counts()
        authors = set(counts.index[(counts >= AUTHOR_POSTS) & (counts.index != "")])
        keys = ["author_id"] if len(authors) >= _ENOUGH_AUTHORS else ["generator", "group", "lang"]
        if len(authors) >= _ENOUGH_AUTHORS:
            rows = rows[rows["author_id"].isin(authors)]
        for _, same in rows.groupby(keys, sort=True):
            order = rng.permutation(same.index.to_numpy())[:BAG_TEXTS]
            for part in _cut(order, rng):
                made.append(Bag(part, int(label), str(source), cluster, keys == ["author_id"]))
    return made


_ENOUGH_AUTHORS: Final = 15
"""Authors by which a source is read by author: fewer would be a handful of habits."""


def _cut(rows: NDArray[np.int64], rng: np.random.Generator) -> Sequence[NDArray[np.int64]]:
    low, high = BAG_POSTS
    if low <= len(rows) <= high:
        return [rows]
    parts, start = [], 0
    while start + low <= len(rows):
        size = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
        parts.append(rows[start : start + size])
        start += size
    return [part for part in parts if len(part) >= low]


def codes(langs: Sequence[str]) -> NDArray[np.uint16]:
    """`language_code` of each."""
    return np.array([language_code(lang) for lang in langs], np.uint16)


def has_text(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which are more than blanks."""
    return np.array([bool(text.strip()) for text in texts], bool)


PREFIXES: Final = (1, 2, 3, 5, 8, 12, 20, 30, 50, 80)
"""Numbers of posts after which the model learns: about equal steps in the logarithm."""


@dataclass(frozen=True)
class Events:
    """Events of some accounts, one element each, in the order in which they happened.

    Args:
        account: (n,) index of the account, from 0.
        at_ms: (n,) times; all equal where they are not known.
        kind: (n,) kinds as in the observation log.
        text_features: (n,) dtype TEXT_FEATURES.
        has_text: (n,).
        language: (n,) `language_code`.
        links: (n,) number of links.
        second_stage: (n,) second-stage LLR in nats; NaN where it did not read the text.
    """

    account: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    kind: NDArray[np.int64]
    text_features: TextFeatures
    has_text: NDArray[np.bool_]
    language: NDArray[np.uint16]
    links: NDArray[np.int64]
    second_stage: NDArray[np.float64]


@dataclass(frozen=True)
class Snapshots:
    """Features of accounts after some of their posts, one row each.

    Args:
        account: (m,) index of the account.
        posts: (m,) texts with evidence so far.
        features: m rows.
    """

    account: NDArray[np.int64]
    posts: NDArray[np.int64]
    features: AccountFeatures

    def take(self, chosen: NDArray[Any]) -> Snapshots:
        """The rows `chosen` (a mask or indices)."""
        return Snapshots(self.account[chosen], self.posts[chosen], self.features.take(chosen))

    def last(self, limit: int | None = None) -> NDArray[np.int64]:
        """Row of each account's latest snapshot (of at most `limit` posts), in the order of the accounts."""
        rows = np.arange(len(self.account)) if limit is None else np.flatnonzero(self.posts <= limit)
        rows = rows[np.lexsort((self.posts[rows], self.account[rows]))]
        ends = np.flatnonzero(np.diff(self.account[rows], append=-1))
        return rows[ends]


def snapshots(events: Events, accounts: int, after: Sequence[int] | None = PREFIXES) -> Snapshots:
    """What is known of every account after each number of posts in `after`, and at its end.

    Args:
        events: of `accounts` accounts.
        accounts: how many there are.
        after: numbers of texts with evidence; None for every one.
    """
    statistics = AccountStatistics(accounts)
    order = np.argsort(events.account, kind="stable")
    counts = np.bincount(events.account, minlength=accounts)
    starts = np.cumsum(counts) - counts
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], AccountFeatures]] = []
    for turn in range(int(counts.max(initial=0))):
        rows = np.flatnonzero(counts > turn)
        chosen = order[starts[rows] + turn]
        before = statistics.posts[rows]
        statistics.observe(
            rows,
            events.at_ms[chosen],
            events.kind[chosen],
            events.text_features[chosen],
            events.has_text[chosen],
            events.language[chosen],
            events.links[chosen],
        )
        posts = statistics.posts[rows]
        read = (posts > before) & np.isfinite(events.second_stage[chosen])
        if read.any():
            second_stage = np.rint(events.second_stage[chosen[read]] * MILLINAT).clip(-32_767, 32_767).astype(np.int16)
            statistics.observe_second_stage(rows[read], second_stage, events.text_features["llr"][chosen[read]])
        wanted = (posts > before) & (np.ones(len(posts), bool) if after is None else np.isin(posts, after))
        wanted |= (counts[rows] == turn + 1) & (posts > 0)
        if wanted.any():
            kept = rows[wanted]
            found.append((kept, statistics.posts[kept].astype(np.int64), statistics.features(kept)))
    if not found:
        nobody = np.zeros(0, np.int64)
        return Snapshots(nobody, nobody, statistics.features(nobody))
    return Snapshots(
        np.concatenate([account for account, _, _ in found]),
        np.concatenate([posts for _, posts, _ in found]),
        joined([features for _, _, features in found]),
    )


def joined(parts: Sequence[AccountFeatures]) -> AccountFeatures:
    """Rows of several features one after another."""
    return AccountFeatures._make(np.concatenate(columns) for columns in zip(*parts, strict=True))
