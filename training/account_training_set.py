"""What the account model is trained on: accounts of a labelled stream, chat people, and bags of the text sets.

`gather` scores their texts with the text models, lets the same `AccountStatistics` as in production count, and gives
one row of features for every account after 1, 2, 3, 5, ... posts (`TrainingSet`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.account.features import AccountFeatures
from detector.account.trees import Floats, Indices
from detector.data_splits import split_of
from detector.evidence import MILLINAT
from detector.text.features import TextAbstain, TextFeatures
from detector.text.first_stage import FirstStageModel
from detector.text.second_stage import SecondStageModel
from training.account_data import (
    Events,
    RawEvents,
    bags,
    beginning,
    chat_people,
    codes,
    has_text,
    joined,
    read_stream,
    read_truth,
    snapshots,
)
from training.second_stage import train_second_stage
from training.text import crossfit, text_features_of

STREAM: Final = "stream"
"""Group prefix of real accounts with times; `stream/contest` and so on."""

CHAT: Final = "chat"
"""Group of chat people."""

BAG: Final = "bag/"
"""Prefix of a bag's name, before its number."""


@dataclass(frozen=True)
class TrainingSet:
    """Rows to learn from.

    Args:
        features: n rows.
        label: (n,) 1 = machine.
        account: (n,) number of the account, unique over groups.
        group: (n,) accounts that weigh alike: a source, or a stream.
        cluster: (n,) what must be left out together for a source to be unseen.
        authored: (n,) whether all texts of the account are one author's.
        posts: (n,) texts with evidence so far.
        name: account number -> name.
    """

    features: AccountFeatures
    label: Indices
    account: Indices
    group: NDArray[np.str_]
    cluster: NDArray[np.str_]
    authored: NDArray[np.bool_]
    posts: Indices
    name: list[str]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, chosen: NDArray[Any]) -> TrainingSet:
        """The rows `chosen` (a mask or indices)."""
        return replace(
            self,
            features=self.features.take(chosen),
            label=self.label[chosen],
            account=self.account[chosen],
            group=self.group[chosen],
            cluster=self.cluster[chosen],
            authored=self.authored[chosen],
            posts=self.posts[chosen],
        )

    @property
    def mixed(self) -> NDArray[np.bool_]:
        """(n,) rows of bags that mix the texts of several people."""
        mixed: NDArray[np.bool_] = ~self.authored & (self.label == 0)
        return mixed

    @property
    def source_unseen(self) -> NDArray[np.bool_]:
        """(n,) rows of bags whose text features come from models that had not seen their source."""
        named = [name.removeprefix(BAG) if name.startswith(BAG) else "" for name in self.name]
        unseen = np.array([bool(number) and not _near(int(number)) for number in named])
        found: NDArray[np.bool_] = unseen[self.account]
        return found

    @property
    def timed(self) -> NDArray[np.bool_]:
        """(n,) rows of accounts whose times are known and comparable."""
        return np.char.startswith(self.group, STREAM)


def concatenate(parts: Sequence[TrainingSet]) -> TrainingSet:
    """Several sets as one; accounts stay apart."""
    names: list[str] = []
    accounts = []
    for part in parts:
        accounts.append(part.account + len(names))
        names += part.name
    return TrainingSet(
        features=joined([part.features for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        account=np.concatenate(accounts),
        group=np.concatenate([part.group for part in parts]),
        cluster=np.concatenate([part.cluster for part in parts]),
        authored=np.concatenate([part.authored for part in parts]),
        posts=np.concatenate([part.posts for part in parts]),
        name=names,
    )


POPULATION: Final = "contest"
"""Name under which the people of the labelled stream are split (`detector.data_splits`)."""

RERANKED_SHARE: Final = 0.6
"""Share of accounts that the second stage has read in training. In a run it reads reranking candidates, within its
budget: the account model must do with it and without."""

RERANKED_TEXTS: Final = 12
"""Texts of an account that the second stage reads in training, the first ones."""


@dataclass(frozen=True)
class TextModels:
    """The text models whose features the account model is trained on."""

    text: FirstStageModel
    second_stage: SecondStageModel | None


def with_text_features(raw: RawEvents, readers: TextModels, seed: int = 0) -> Events:
    """Events with the features and evidence of their texts.

    Args:
        raw: events without them.
        readers: the text models; the second stage scores the first texts of `RERANKED_SHARE` of the accounts.
        seed: of which accounts these are.
    """
    text_features = readers.text.read(raw.texts, raw.langs)
    texts = has_text(raw.texts)
    second_stage = np.full(len(raw.texts), np.nan)
    if readers.second_stage is not None:
        chosen = _reranked(raw, text_features, seed)
        first_stage_llr = text_features["llr"][chosen]
        given = readers.second_stage.score(
            [raw.texts[i] for i in chosen], [raw.langs[i] for i in chosen], first_stage_llr
        )
        second_stage[chosen] = given / MILLINAT
    return Events(raw.account, raw.at_ms, raw.kind, text_features, texts, codes(raw.langs), raw.links, second_stage)


def _reranked(raw: RawEvents, text_features: TextFeatures, seed: int) -> NDArray[np.int64]:
    lucky = np.random.default_rng(seed).random(len(raw.names)) < RERANKED_SHARE
    able = np.flatnonzero(
        (text_features["abstain"] == TextAbstain.NONE) & np.array([bool(text.strip()) for text in raw.texts])
    )
    able = able[lucky[raw.account[able]]]
    order = able[np.argsort(raw.account[able], kind="stable")]
    _, first, count = np.unique(raw.account[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, count)
    return np.sort(order[rank < RERANKED_TEXTS])


def stream_rows(
    path: Path, truth: Path, readers: TextModels, keep: Callable[[str, int], bool], group: str
) -> TrainingSet:
    """Snapshots of the labelled accounts of a stream.

    Args:
        path: recording.
        truth: its truth file.
        readers: the text models.
        keep: whether to keep an account, by name and label.
        group: name of the stream.
    """
    raw = read_stream(path, readers.text.languages)
    labels = {name: int(record["label"]) for name, record in read_truth(truth).items()}
    kept = np.array([name in labels and keep(name, labels[name]) for name in raw.names])
    return _rows(raw, readers, np.array([labels.get(name, 0) for name in raw.names]), kept, f"{STREAM}/{group}")


def chat_rows(readers: TextModels, known_texts: frozenset[str]) -> TrainingSet:
    """Snapshots of the chat people that train."""
    raw = chat_people("train", known_texts)
    return _rows(raw, readers, np.zeros(len(raw.names), np.int64), np.ones(len(raw.names), bool), CHAT)


def _rows(
    raw: RawEvents, readers: TextModels, label: NDArray[np.int64], kept: NDArray[np.bool_], group: str
) -> TrainingSet:
    seen = snapshots(with_text_features(raw, readers), len(raw.names))
    seen = seen.take(kept[seen.account])
    n = len(seen.account)
    return TrainingSet(
        features=seen.features,
        label=label[seen.account],
        account=seen.account,
        group=np.full(n, group),
        cluster=np.full(n, group),
        authored=np.ones(n, bool),
        posts=seen.posts,
        name=[f"{group}/{name}" for name in raw.names],
    )


def _near(bag: Any) -> Any:
    """Whether a bag, by number, has features by models that had seen others of its source: every second one."""
    return bag % 2 == 1


def bag_rows(table: pd.DataFrame, second_stage: tuple[Floats, Floats], seed: int = 0) -> TrainingSet:
    """Snapshots of bags of a cross-fitted table (`training.text.crossfit`).

    Of two bags one has features by text models that had not seen its source, the other by models that had seen others
    of it: what a new stream looks like lies between the two.

    Args:
        table: cross-fitted.
        second_stage: (n,) second-stage LLR of its rows in nats, twice: by models that had not seen their source, and by
            models that had seen others of it; NaN where there is none.
        seed: of the bags.
    """
    made = bags(table, seed)
    rows = np.concatenate([bag.rows for bag in made])
    account = np.repeat(np.arange(len(made)), [len(bag.rows) for bag in made])
    text_features = text_features_of(table)[rows]
    near = _near(account)
    text_features["llr"] = np.where(near, table["llr_near"].to_numpy()[rows], table["llr"].to_numpy()[rows])
    n = len(rows)
    read = np.where(near, second_stage[1][rows], second_stage[0][rows])
    read[np.random.default_rng(seed).random(len(made))[account] >= RERANKED_SHARE] = np.nan
    events = Events(
        account=account,
        at_ms=np.zeros(n, np.int64),
        kind=np.zeros(n, np.int64),
        text_features=text_features,
        has_text=np.ones(n, bool),
        language=codes(table["lang"].tolist())[rows],
        links=np.zeros(n, np.int64),
        second_stage=read,
    )
    seen = snapshots(events, len(made))
    return TrainingSet(
        features=seen.features,
        label=np.array([bag.label for bag in made])[seen.account],
        account=seen.account,
        group=np.array([bag.source for bag in made])[seen.account],
        cluster=np.array([bag.cluster for bag in made])[seen.account],
        authored=np.array([bag.authored for bag in made])[seen.account],
        posts=seen.posts,
        name=[f"{BAG}{i}" for i in range(len(made))],
    )


def second_stage_columns(table: pd.DataFrame, cache: Path, say: Callable[[str, float], None]) -> tuple[Floats, Floats]:
    """Second-stage LLR of a cross-fitted table's rows, in nats, (n,) twice; NaN for rows it was not trained on.

    By models that had not seen the row's cluster, beside its first-stage evidence of an unseen source; and by models
    that had not seen its thread or author only, beside its first-stage evidence by models that had not either.

    Args:
        table: cross-fitted.
        cache: folder of embeddings.
        say: told of progress.
    """
    trained = train_second_stage(table, cache, say=say)
    part = trained.table
    words, group = part["words"].to_numpy().astype(np.int64), trained.calibrator.group_of(part["lang"].tolist())
    place = {key: i for i, key in enumerate(zip(table["source"], table["text"], strict=True))}
    rows = [place[key] for key in zip(part["source"], part["text"], strict=True)]
    columns = np.full((2, len(table)), np.nan)
    for column, score in zip(columns, (trained.out, trained.near), strict=True):
        column[rows] = trained.calibrator.millinats(score, words, group) / MILLINAT
    return columns[0], columns[1]


def gather(
    data: Path,
    cache: Path,
    readers: TextModels,
    *,
    exclude: Collection[str] = (),
    seed: int = 0,
    keep: Callable[[str, int], bool] | None = None,
    say: Callable[[str, float], None] = lambda what, share: None,
) -> TrainingSet:
    """Everything the account model learns from.

    Args:
        data: folder with `text/` and `streams/contest-dev.*`.
        cache: folder of cross-fitted scores.
        readers: text models trained with the same `exclude`.
        exclude: text sets, clusters or sources to leave out.
        seed: of bags and capped sources.
        keep: (name, label) -> whether a stream's account may be learned from; by default all machines, and the people
            whose role is to train.
        say: progress.
    """
    table = crossfit(data, cache, exclude=exclude, seed=seed, say=say)
    unread = np.full(len(table), np.nan)
    second_stage = second_stage_columns(table, cache, say) if readers.second_stage is not None else (unread, unread)
    say("reading accounts", 0.0)
    streams = data / "streams"
    return concatenate(
        [
            bag_rows(table, second_stage, seed),
            chat_rows(readers, known_texts(table)),
            stream_rows(
                streams / "contest-dev.jsonl.gz",
                streams / "contest-dev.truth.jsonl",
                readers,
                keep or trains,
                POPULATION,
            ),
        ]
    )


def trains(name: str, label: int) -> bool:
    """Whether a stream's account trains the shipped model: every machine, and people whose role it is."""
    return label == 1 or split_of(POPULATION, name) == "train"


def known_texts(table: pd.DataFrame) -> frozenset[str]:
    """How the people's texts begin that a text model was trained on."""
    return frozenset(beginning(text) for text in table.loc[table["label"] == 0, "text"])
