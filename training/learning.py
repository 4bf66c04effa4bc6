"""Gathers what the account model learns from: a labelled stream, chat people, and bags of the text sets."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.evidence import MILLINAT
from detector.people import role_of
from detector.text.cheap import CheapText
from detector.text.protocol import Expert
from detector.text.reading import Readings, TextAbstain
from training.account import CHAT, STREAM, Learning, together
from training.accounts import RawEvents, bags, beginning, chat_people, codes, has_text, read_stream, read_truth
from training.expert import train_expert
from training.text import crossfit, readings_of
from training.trajectories import Events, snapshots

POPULATION: Final = "contest"
"""Name under which the people of the labelled stream are split (`detector.people`)."""

READ_SHARE: Final = 0.6
"""Share of accounts that the expert has read in training. In a run it reads those still undecided, within its budget:
the model must do with it and without."""

READ_TEXTS: Final = 12
"""Texts of an account that the expert reads in training, the first ones."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Readers:
    """The text models whose readings the account model learns from."""

    text: CheapText
    expert: Expert | None


def read_events(raw: RawEvents, readers: Readers, seed: int = 0) -> Events:
    """Events with what the models see in them; the expert reads the first texts of `READ_SHARE` of the accounts."""
    readings = readers.text.read(raw.texts, raw.langs)
    texts = has_text(raw.texts)
    expert = np.full(len(raw.texts), np.nan)
    if readers.expert is not None:
        chosen = _to_read(raw, readings, seed)
        cheap = readings["llr"][chosen]
        given = readers.expert.score([raw.texts[i] for i in chosen], [raw.langs[i] for i in chosen], cheap)
        expert[chosen] = given / MILLINAT
    return Events(raw.account, raw.at_ms, raw.kind, readings, texts, codes(raw.langs), raw.links, expert)


def _to_read(raw: RawEvents, readings: Readings, seed: int) -> NDArray[np.int64]:
    lucky = np.random.default_rng(seed).random(len(raw.names)) < READ_SHARE
    able = np.flatnonzero(
        (readings["abstain"] == TextAbstain.NONE) & np.array([bool(text.strip()) for text in raw.texts])
    )
    able = able[lucky[raw.account[able]]]
    order = able[np.argsort(raw.account[able], kind="stable")]
    _, first, count = np.unique(raw.account[order], return_index=True, return_counts=True)
    rank = np.arange(len(order)) - np.repeat(first, count)
    return np.sort(order[rank < READ_TEXTS])


def stream_rows(path: Path, truth: Path, readers: Readers, keep: Callable[[str, int], bool], group: str) -> Learning:
    """Snapshots of the labelled accounts of a stream that `keep` (name, label) keeps."""
    raw = read_stream(path)
    labels = {name: int(record["label"]) for name, record in read_truth(truth).items()}
    kept = np.array([name in labels and keep(name, labels[name]) for name in raw.names])
    return _rows(raw, readers, np.array([labels.get(name, 0) for name in raw.names]), kept, f"{STREAM}/{group}")


def chat_rows(readers: Readers, known_texts: frozenset[str]) -> Learning:
    """Snapshots of the chat people that train."""
    raw = chat_people("train", known_texts)
    return _rows(raw, readers, np.zeros(len(raw.names), np.int64), np.ones(len(raw.names), bool), CHAT)


def _rows(raw: RawEvents, readers: Readers, label: NDArray[np.int64], kept: NDArray[np.bool_], group: str) -> Learning:
    seen = snapshots(read_events(raw, readers), len(raw.names))
    seen = seen.take(kept[seen.account])
    n = len(seen.account)
    return Learning(
        features=seen.features,
        label=label[seen.account],
        account=seen.account,
        group=np.full(n, group),
        cluster=np.full(n, group),
        authored=np.ones(n, bool),
        posts=seen.posts,
        name=[f"{group}/{name}" for name in raw.names],
    )


def bag_rows(table: pd.DataFrame, expert: tuple[Floats, Floats], seed: int = 0) -> Learning:
    """Snapshots of bags of a cross-fitted table (`training.text.crossfit`).

    Of two bags one has readings by models that had not seen its source, the other by models that had seen others of it:
    what a new stream looks like lies between the two.

    Args:
        table: cross-fitted.
        expert: (n,) expert LLR of its rows in nats by experts that had not seen their source, and by those that had
            seen others of it; NaN where there is none.
        seed: of the bags.
    """
    made = bags(table, seed)
    rows = np.concatenate([bag.rows for bag in made])
    account = np.repeat(np.arange(len(made)), [len(bag.rows) for bag in made])
    readings = readings_of(table)[rows]
    near = account % 2 == 1
    readings["llr"] = np.where(near, table["llr_near"].to_numpy()[rows], table["llr"].to_numpy()[rows])
    n = len(rows)
    read = np.where(near, expert[1][rows], expert[0][rows])
    read[np.random.default_rng(seed).random(len(made))[account] >= READ_SHARE] = np.nan
    events = Events(
        account=account,
        at_ms=np.zeros(n, np.int64),
        kind=np.zeros(n, np.int64),
        readings=readings,
        has_text=np.ones(n, bool),
        language=codes(table["lang"].tolist())[rows],
        links=np.zeros(n, np.int64),
        expert=read,
    )
    seen = snapshots(events, len(made))
    return Learning(
        features=seen.features,
        label=np.array([bag.label for bag in made])[seen.account],
        account=seen.account,
        group=np.array([bag.source for bag in made])[seen.account],
        cluster=np.array([bag.cluster for bag in made])[seen.account],
        authored=np.array([bag.authored for bag in made])[seen.account],
        posts=seen.posts,
        name=[f"bag/{i}" for i in range(len(made))],
    )


def expert_columns(table: pd.DataFrame, cache: Path, say: Callable[[str, float], None]) -> tuple[Floats, Floats]:
    """Expert LLR (nats) of a cross-fitted table's rows, NaN for those the expert did not learn from, (n,) twice.

    By experts that had not seen the row's cluster, beside its cheap reading of an unseen source; and by experts that
    had not seen its thread or author only, beside its cheap reading by models that had not either.
    """
    trained = train_expert(table, cache, say=say)
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
    readers: Readers,
    *,
    exclude: Collection[str] = (),
    seed: int = 0,
    keep: Callable[[str, int], bool] | None = None,
    say: Callable[[str, float], None] = lambda what, share: None,
) -> Learning:
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
    expert = expert_columns(table, cache, say) if readers.expert is not None else (unread, unread)
    say("reading accounts", 0.0)
    streams = data / "streams"
    return together(
        [
            bag_rows(table, expert, seed),
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
    return label == 1 or role_of(POPULATION, name) == "train"


def known_texts(table: pd.DataFrame) -> frozenset[str]:
    """How the people's texts begin that a text model was trained on."""
    return frozenset(beginning(text) for text in table.loc[table["label"] == 0, "text"])
