"""What some hundred posts of a generator teach that nobody trained on, and what that costs of the others.

Before is the cross-fitted evidence of a model that had not seen the generator's cluster (`training.text.crossfit`). A
part of its posts is added as `swarmlight train text --add` adds them, and the rest is measured, single and in bags of
ten; so are machines of all other clusters, whose evidence must not suffer. The rival is a logistic regression on
vectors of the packaged encoder in place of n-grams and style.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from detector.errors import UsageError
from detector.evidence import MILLINAT
from detector.text.first_stage import with_family
from training.families import FEWEST, FOLDS, learn_family
from training.linear import design
from training.metrics import auroc, tpr_at
from training.studies.judged import POSTS, markdown
from training.text import ProgressCallback, sample
from training.text_calibration import fit_calibrator
from training.vector_cache import Meanings

Millinats = NDArray[np.int16]

COUNTS: Final = (100, 300)
"""Posts that are added."""

CAP: Final = 700
"""Rows of one source and class that the study uses."""

PEOPLE: Final = 80
"""People's texts of each source to learn beside, and as many others to measure on."""

MEASURED: Final = 400
"""Posts of the generator that are measured, and of the others at most."""

OTHERS: Final = 1000
BAGS: Final = 400

ADDED, RIVAL = "added", "rival"


@dataclass(frozen=True)
class _Drawn:
    """Rows of the study: what is learned from, and what is measured."""

    added: NDArray[np.intp]
    beside: NDArray[np.intp]
    machines: NDArray[np.intp]
    people: NDArray[np.intp]
    others: NDArray[np.intp]


def _rows(table: pd.DataFrame, cluster: str, count: int, seed: int) -> _Drawn:
    """Rows of one cluster and count; authors and threads are added or measured as a whole."""
    rng = np.random.default_rng(seed)
    label = table["label"].to_numpy()
    mine = (table["cluster"] == cluster).to_numpy()
    key = table["author_id"].where(table["author_id"] != "", table["parent_id"])
    key = key.where(key != "", table["text"])
    order = {name: place for place, name in enumerate(rng.permutation(sorted(set(key[mine & (label == 1)]))))}
    machines = np.flatnonzero(mine & (label == 1) & (table["lang"] == "en").to_numpy())
    machines = machines[np.argsort(key.iloc[machines].map(order).to_numpy(), kind="stable")]
    measured = machines[: min(MEASURED, len(machines) // 2)]
    left = machines[~key.iloc[machines].isin(set(key.iloc[measured])).to_numpy()]
    people = np.flatnonzero((label == 0) & (table["lang"] == "en").to_numpy())
    people = people[rng.permutation(len(people))]
    turn = table.iloc[people].groupby("source").cumcount().to_numpy()
    # Its own people are measured and not learned beside, as far as they go.
    own = mine[people]
    beside = people[(turn < PEOPLE) & ~own]
    held = people[((turn >= PEOPLE) & (turn < 2 * PEOPLE)) | own]
    others = rng.permutation(np.flatnonzero(~mine & (label == 1) & (table["lang"] == "en").to_numpy()))[:OTHERS]
    return _Drawn(rng.permutation(left)[:count], beside, measured, held, others)


def _bags(nats: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    bags: NDArray[np.float64] = nats[rng.integers(0, len(nats), (BAGS, POSTS))].mean(axis=1)
    return bags


def _told(machines: Millinats, people: Millinats, seed: int) -> tuple[float, float, float]:
    """AUROC and share found at 1% of single posts, and the share of bags of ten found at 1%."""
    one, other = machines / MILLINAT, people / MILLINAT
    label = np.r_[np.ones(len(one), np.int64), np.zeros(len(other), np.int64)]
    bag_label = np.r_[np.ones(BAGS, np.int64), np.zeros(BAGS, np.int64)]
    score = np.r_[one, other]
    bags = np.r_[_bags(one, seed), _bags(other, seed + 1)]
    return auroc(label, score), tpr_at(label, score, 0.01), tpr_at(bag_label, bags, 0.01)


def _rival(
    vectors: NDArray[np.float64],
    label: NDArray[np.int64],
    words: NDArray[np.int64],
    measured: NDArray[np.float64],
    measured_words: NDArray[np.int64],
    seed: int,
) -> Millinats:
    """LLR of measured texts by a logistic regression on vectors, calibrated out of fold."""
    model = LogisticRegression(C=10.0, max_iter=300, class_weight="balanced")
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(label))
    held = np.zeros(len(label))
    for number in range(FOLDS):
        held[fold == number] = model.fit(vectors[fold != number], label[fold != number]).decision_function(
            vectors[fold == number]
        )
    weight = np.where(label == 1, (label == 0).sum() / label.sum(), 1.0)
    calibrator = fit_calibrator(held, label, weight, words, np.full(len(label), "en"))
    score = model.fit(vectors, label).decision_function(measured)
    return calibrator.millinats(score, measured_words, np.zeros(len(measured), np.int64))


def few_examples(
    crossed: pd.DataFrame, clusters: Sequence[str], encoder: Meanings | None, seed: int, say: ProgressCallback
) -> str:
    """The table as Markdown.

    Args:
        crossed: of `training.text.crossfit`.
        clusters: each with machines in English, added in turn.
        encoder: for the rival; None for none.
        seed: of the draws.
        say: told of progress.

    Raises:
        UsageError: a cluster has too few machines in English.
    """
    table = sample(crossed, CAP)
    table = table[table["lang"] == "en"].reset_index(drop=True)
    grams = design(table["text"].tolist())
    llr = table["llr"].to_numpy().astype(np.int16)
    words = table["words"].to_numpy().astype(np.int64)
    author = table["author_id"].to_numpy().astype(str)
    lines = []
    for place, cluster in enumerate(clusters):
        for count in COUNTS:
            say(cluster, place / len(clusters))
            rows = _rows(table, cluster, count, seed)
            if min(len(rows.added), len(rows.machines)) < FEWEST:
                raise UsageError(f"--cluster {cluster!a}: fewer than {FEWEST} posts to add and as many to measure")
            learned = np.r_[rows.added, rows.beside]
            label = np.r_[np.ones(len(rows.added), np.int64), np.zeros(len(rows.beside), np.int64)]
            measured = np.r_[rows.machines, rows.people, rows.others]
            lang = np.full(len(learned), "en")
            family = learn_family(grams.take(learned), label, words[learned], lang, author[learned])
            langs = ["en"] * len(measured)
            after = {ADDED: family.added(llr[measured], grams.take(measured), words[measured], langs)}
            if encoder is not None:
                texts = table["text"]
                seen = encoder.vectors(texts.iloc[learned].tolist()).astype(np.float64) / 127
                new = encoder.vectors(texts.iloc[measured].tolist()).astype(np.float64) / 127
                said = _rival(seen, label, words[learned], new, words[measured], seed)
                after[RIVAL] = with_family(llr[measured], said, np.ones(len(measured), np.bool_))
            cuts = np.cumsum([len(rows.machines), len(rows.people)])
            for name, values in {"before": llr[measured], **after}.items():
                if name == "before" and count != COUNTS[0]:
                    continue
                machines, people, others = np.split(values, cuts)
                own, rest = _told(machines, people, seed), _told(others, people, seed)
                how = name if name == "before" else f"{name}, {len(rows.added)}"
                lines.append([cluster, how, *(f"{value:.3f}" for value in (*own, *rest))])
    header = ("left out", "posts", "AUROC", "TPR at 1%", "bags: TPR at 1%",
              "others: AUROC", "TPR at 1%", "bags: TPR at 1%")  # fmt: skip
    return markdown(header, [*lines, *_means(lines)])


def _means(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """A line for each kind of row with the mean of its figures over the clusters."""
    kinds = sorted({_kind(line[1]) for line in lines}, key=lambda kind: (kind != "before", kind))
    out = []
    for kind in kinds:
        values = np.array([[float(cell) for cell in line[2:]] for line in lines if _kind(line[1]) == kind])
        out.append(["mean", kind, *(f"{value:.3f}" for value in values.mean(axis=0))])
    return out


def _kind(how: str) -> str:
    """`added, 100` of `added, 97`: the count that was asked for."""
    name, _, count = how.partition(", ")
    return name if not count else f"{name}, {min((each for each in COUNTS if each >= int(count)), default=COUNTS[-1])}"
