"""Gradient boosting of oblivious trees: every level of a tree asks one question, so scoring needs no branching.

Second-order boosting of logistic loss (Friedman 2001, Chen and Guestrin 2016) with trees whose level d splits every
leaf at the same feature and cut (Kohavi 1994; as in CatBoost). They regularise harder than free trees, and a score
is comparisons and one table lookup per tree, without any library.

Training the account model: learning rows, heads fitted and averaged, calibration out of fold.

Every snapshot of an account after 1, 2, 3, 5, ... posts is a row. Accounts weigh alike within their group, groups as
`group_weight` says, and the classes alike at every number of posts, so a logit of 0 is no evidence at any age.

Gathers what the account model learns from: a labelled stream, chat people, and bags of the text sets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.account.features import BEHAVIOUR_NAMES, PAIRS, TEXT_DIM, TEXT_NAMES, AccountFeatures
from detector.account.model import MIN_WRITTEN, Head, Mixture, behaviour_inputs, text_inputs
from detector.account.trees import Floats, Trees
from detector.evidence import MILLINAT
from detector.people import role_of
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
from training.boosting import BoostingSettings, boost
from training.linear import Block, fit_logistic
from training.second_stage import train_expert
from training.text import crossfit, readings_of

Indices = NDArray[np.int64]

STREAM: Final = "stream"
"""Group prefix of real accounts with times; `stream/contest` and so on."""

CHAT: Final = "chat"
"""Group of chat people."""

SHRINK_POSTS: Final = 3.0
"""Posts at which a term has half of its size; 1 and 8 did no better out of source."""

_AGES: Final = np.array([2, 4, 7, 11, 18, 28])
"""Numbers of posts that divide the ages at which classes weigh alike."""

BOOST: Final = BoostingSettings(min_samples_leaf=40, l2_regularization=50.0)
"""Chosen among six on the mean AUROC of sources left out of training (0.914 to 0.918), out of fold alone."""

TEXT_PENALTY: Final = 8e-4
"""Penalty of squared weights of the linear part per unit of mean loss; half and twice do as well out of source."""

BEHAVIOUR_PENALTY: Final = 0.07
"""The same for behaviour, stronger: one platform's habits."""

FOLDS: Final = 5


@dataclass(frozen=True)
class Learning:
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

    def take(self, chosen: NDArray[Any]) -> Learning:
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
    def timed(self) -> NDArray[np.bool_]:
        """(n,) rows of accounts whose times are known and comparable."""
        return np.char.startswith(self.group, STREAM)


def together(parts: Sequence[Learning]) -> Learning:
    """Several sets as one; accounts stay apart."""
    names: list[str] = []
    accounts = []
    for part in parts:
        accounts.append(part.account + len(names))
        names += part.name
    return Learning(
        features=joined([part.features for part in parts]),
        label=np.concatenate([part.label for part in parts]),
        account=np.concatenate(accounts),
        group=np.concatenate([part.group for part in parts]),
        cluster=np.concatenate([part.cluster for part in parts]),
        authored=np.concatenate([part.authored for part in parts]),
        posts=np.concatenate([part.posts for part in parts]),
        name=names,
    )


def group_weight(group: str) -> float:
    """How much a group weighs within its class.

    Real accounts weigh as a dozen sources of single posts, chat people as three; sources of people only are many and
    small, and those whose two sides differ by topic or by a generator of ten years ago teach little of today.
    """
    if group.startswith(STREAM):
        return 12.0
    if group == CHAT:
        return 3.0
    if group.startswith("people/"):
        return 0.25
    if group in {"showerthoughts", "liang_toefl", "electai", "tweepfake"}:
        return 0.5
    if group.startswith("frontier_social") or group == "matched_replies":
        return 0.7
    return 1.0


def row_weights(rows: Learning, rounds: int = 8) -> Floats:
    """(n,) weights of mean 1: accounts alike within their group and class, groups by `group_weight`, classes by age."""
    _, account, count = np.unique(rows.account, return_inverse=True, return_counts=True)
    weight: Floats = 1.0 / count[account]
    _, first, part = np.unique(
        np.char.add(np.char.add(rows.group, "/"), rows.label.astype(str)), return_index=True, return_inverse=True
    )
    target = np.array([group_weight(str(rows.group[i])) for i in first])
    age = np.searchsorted(_AGES, rows.posts, side="right") * 2 + rows.label
    for _ in range(rounds):
        weight *= (target / np.bincount(part, weights=weight))[part]
        totals = np.bincount(age, weights=weight, minlength=2 * (len(_AGES) + 1)).reshape(-1, 2)
        wanted = np.where(totals > 0, totals.mean(axis=1, keepdims=True) / np.where(totals > 0, totals, 1), 1.0)
        weight *= wanted.reshape(-1)[age]
    balanced: Floats = weight / weight.mean()
    return balanced


def linear_inputs(rows: Learning) -> tuple[Floats, Floats]:
    """`text_inputs` as the linear part learns from them: what a bag cannot tell of an account rests on nothing.

    A bag without an author that mixes people varies more than any of them. One of a machine's posts varies at least as
    much as an account of that machine would; only whether its posts resemble each other is its topic's doing. What is
    masked counts as lying at the centre of all accounts that are not. Trees would take the mask itself for a person's
    mark, so they learn from `text_inputs`.
    """
    values, counts = text_inputs(rows.features)
    counts[np.ix_(rows.mixed, np.arange(PAIRS.start, PAIRS.stop))] = 0.0
    counts[~rows.authored, TEXT_NAMES.index("self_similarity")] = 0.0
    return values, counts


def standardised(values: Floats, counts: Floats, columns: Indices, shrink: float, weight: Floats) -> Head:
    """A head that has terms and says nothing yet: centre and scale by rows weighed by what they rest on."""
    trust = weight[:, None] * counts[:, columns] / (counts[:, columns] + shrink)
    total = np.maximum(trust.sum(axis=0), 1e-9)
    centre = (values[:, columns] * trust).sum(axis=0) / total
    scale = np.sqrt(((values[:, columns] - centre) ** 2 * trust).sum(axis=0) / total)
    terms = len(columns)
    return Head(
        column=columns,
        centre=_as_stored(centre),
        scale=_as_stored(scale + _LEAST_SCALE),
        shrink=np.full(terms, shrink),
        weight=np.zeros(terms),
        trees=Trees.none(),
        mix=np.array([0.0, 1.0, 1.0]),
    )


def _as_stored(values: Floats) -> Floats:
    """Rounded to the 32 bits of a weights file, so that trees are fitted to the terms that they will compare."""
    return values.astype(np.float32).astype(np.float64)


_LEAST_SCALE: Final = 1e-3


def fit_text(rows: Learning, settings: BoostingSettings = BOOST, seed: int = 0) -> Mixture:
    """The text part before calibration: one head taught by all rows, one by those without the stream's bots.

    Those bots are one contest's, and weigh a lot for being whole accounts: a head that has met them bends to their
    style, one that has not knows other machines better.
    """
    abroad = rows.take(~(rows.timed & (rows.label == 1)))
    learners = [rows, abroad] if (abroad.label == 1).any() else [rows]
    heads = [_fit_text(part, settings, seed + i) for i, part in enumerate(learners)]
    return Mixture(tuple(heads), np.array([0.0, 1.0]))


def _fit_text(rows: Learning, settings: BoostingSettings, seed: int) -> Head:
    """Mean of a linear model and trees, both within groups: what a group alone says goes into its intercept."""
    weight = row_weights(rows)
    values, counts = linear_inputs(rows)
    head = standardised(values, counts, np.arange(TEXT_DIM), SHRINK_POSTS, weight)
    linear = fit_logistic([Block(head.terms(values, counts), TEXT_PENALTY)], rows.label, weight, rows.group)
    terms = head.terms(*text_inputs(rows.features))
    boosted = boost(terms, rows.label, weight, settings, seed=seed, offset=linear.intercepts)
    mix = np.array([(linear.bias + boosted.bias) / 2, 0.5, 0.5])
    return replace(head, weight=linear.weights[0], trees=boosted.trees, mix=mix)


def text_logit(head: Mixture, rows: Learning) -> Floats:
    """What `head` says of rows, as in use."""
    return head.logit(*text_inputs(rows.features))


def learned_behaviour(rows: Learning) -> Indices:
    """Behaviour features that the timed rows can teach: those that vary, links not among them.

    The contest's links are one per distinct text, made when its records were; hours of the day depend on how long an
    account has been watched.
    """
    spread = rows.features.behaviour[rows.timed].std(axis=0)
    artefact = {"linked_share", "hour_entropy", "quiet_hours"}
    named = np.array([name not in artefact for name in BEHAVIOUR_NAMES])
    return np.flatnonzero((spread > _LEAST_SCALE) & named)


def fit_behaviour(rows: Learning, text: Floats | None) -> Head:
    """What behaviour says: beside `text` (n,) out-of-fold text logits, or alone where that is None."""
    chosen = rows.timed & (rows.features.written >= MIN_WRITTEN - 0.5)
    part = rows.take(chosen)
    weight = row_weights(part)
    values, counts = behaviour_inputs(part.features)
    head = standardised(values, counts, learned_behaviour(part), SHRINK_POSTS, weight)
    offset = None if text is None else text[chosen]
    linear = fit_logistic([Block(head.terms(values, counts), BEHAVIOUR_PENALTY)], part.label, weight, offset=offset)
    return replace(head, weight=linear.weights[0], mix=np.array([linear.bias, 1.0, 0.0]))


def fold_of(rows: Learning, folds: int = FOLDS) -> Indices:
    """(n,) fold of every row: by account where accounts are real, by cluster otherwise, so each is scored unseen."""
    real = rows.timed | (rows.group == CHAT)
    key = np.where(real, np.array(rows.name)[rows.account], rows.cluster)
    names, inverse = np.unique(key, return_inverse=True)
    digests = [hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names]
    fold = np.array([int.from_bytes(digest, "little") % folds for digest in digests])
    return fold[inverse]


def out_of_fold(
    rows: Learning,
    fit: Callable[[Learning], Mixture],
    folds: int = FOLDS,
    say: Callable[[float], None] = lambda share: None,
) -> Floats:
    """(n,) logits of every row by a head that saw neither its account nor, for bags, its cluster."""
    fold = fold_of(rows, folds)
    logit = np.zeros(len(rows))
    for index in range(folds):
        say(index / folds)
        held = fold == index
        if held.any():
            logit[held] = text_logit(fit(rows.take(~held)), rows.take(held))
    return logit


def calibrated(head: Mixture, logit: Floats, rows: Learning) -> tuple[Mixture, Floats]:
    """`head` with its logits made LLRs by Platt's line on out-of-fold `logit`, and those LLRs.

    Of people only those count whose texts are their own, where there are any: few accounts are a mixture of people.
    The slope is at most 1: what is known out of fold never makes evidence stronger than it was fitted.
    """
    own = ~rows.mixed if (rows.authored & (rows.label == 0)).any() else np.ones(len(rows), np.bool_)
    known = rows.take(own)
    line = fit_logistic([Block(logit[own, None], _LINE_PENALTY)], known.label, row_weights(known))
    slope, shift = float(np.clip(line.weights[0][0], 0.05, 1.0)), line.bias
    return replace(head, line=np.array([shift, slope])), logit * slope + shift


_LINE_PENALTY: Final = 1e-6
"""Enough to bound the slope where the classes are apart."""


POPULATION: Final = "contest"
"""Name under which the people of the labelled stream are split (`detector.people`)."""

READ_SHARE: Final = 0.6
"""Share of accounts that the expert has read in training. In a run it reads those still undecided, within its budget:
the model must do with it and without."""

READ_TEXTS: Final = 12
"""Texts of an account that the expert reads in training, the first ones."""


@dataclass(frozen=True)
class Readers:
    """The text models whose readings the account model learns from."""

    text: FirstStageModel
    expert: SecondStageModel | None


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


def _to_read(raw: RawEvents, readings: TextFeatures, seed: int) -> NDArray[np.int64]:
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
