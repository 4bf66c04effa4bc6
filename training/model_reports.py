"""Figures of the trained models for reports and model cards, each by models that had not seen what is measured.

Of text models: how every source is told apart when it is left out, and the evidence against people by source and
language. Of the account model: ranking after so many posts, and every group of accounts, out of fold. Reports are plain
values that go into the models' JSON.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from training.account_training_set import TrainingSet
from training.data import describe
from training.metrics import DRAWS, Floats, auroc, auroc_at_like_length, bootstrap, tpr_at, tpr_at_like_length
from training.second_stage import TrainedSecondStage
from training.text import TrainedFirstStage

FEW_PEOPLE: Final = 150
"""Sources with fewer people of their own are held against the people-only sources that were left out with them."""

FALSE_EVIDENCE_NATS: Final = 1.0
"""Evidence against a person, from one post, that is counted as false evidence in the audit by source."""


def people_beside(table: pd.DataFrame, source: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Rows of people that `source`'s machine texts are held against: its own, or the people-only sources as well."""
    own = (table["source"] == source) & (table["label"] == 0)
    if own.sum() >= FEW_PEOPLE:
        return own.to_numpy()
    langs = set(table.loc[table["source"] == source, "lang"])
    return (own | ((table["set"] == "human_short_text") & table["lang"].isin(langs & {"en"}))).to_numpy()


def left_out(table: pd.DataFrame, scores: dict[str, Floats], seed: int, draws: int = DRAWS) -> list[dict[str, Any]]:
    """How scores tell each source with machine texts, left out of training, from people.

    Args:
        table: the texts.
        scores: name -> (n,) scores of models that had not seen them.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Returns:
        For each source, AUROC and TPR at 1% FPR at like length of each score, with intervals.
    """
    rng = np.random.default_rng(seed)
    label = table["label"].to_numpy().astype(np.int64)
    words = table["words"].to_numpy().astype(np.int64)
    records = []
    for source in sorted(set(table.loc[table["label"] == 1, "source"])):
        machine = ((table["source"] == source) & (table["label"] == 1)).to_numpy()
        people = people_beside(table, source)
        rows = np.flatnonzero(machine | people)
        record: dict[str, Any] = {"source": source, "machine": int(machine.sum()), "people": int(people.sum())}
        for name, score in scores.items():
            for measure, short in ((auroc_at_like_length, "auroc"), (tpr_at_like_length, "tpr_at_1pct_fpr")):
                found = bootstrap(measure, score[rows], label[rows], words[rows], rng, draws)
                record[f"{name}_{short}"] = [round(x, 4) for x in (found.value, found.low, found.high)]
        records.append(record)
    return records


def false_evidence(crossed: pd.DataFrame) -> list[dict[str, Any]]:
    """People's cross-fitted evidence by source and language: mean nats, and the share above `FALSE_EVIDENCE_NATS`."""
    people = crossed[crossed["label"] == 0]
    return [
        {
            "source": str(source),
            "lang": str(lang),
            "people": len(rows),
            "mean_nats": round(float(rows["llr"].mean()) / 1000, 3),
            "share_above_1_nat": round(float((rows["llr"] > 1000 * FALSE_EVIDENCE_NATS).mean()), 4),
        }
        for (source, lang), rows in people.groupby(["source", "lang"])
        if len(rows) >= 30
    ]


def first_stage_report(trained: TrainedFirstStage, crossed: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The JSON report of the first-stage model.

    Args:
        trained: the training run.
        crossed: its cross-fitted table.
        seed: of the bootstrap.
    """
    scores = {"style": trained.cross.style, "cheap": trained.cross.out}
    return {
        "rows": len(trained.table),
        "sources": list(describe(trained.table)),
        "leave_one_source_out": left_out(trained.table, scores, seed),
        "seen_generator": left_out(trained.table, {"cheap": trained.cross.near}, seed),
        "people": false_evidence(crossed),
    }


def second_stage_report(
    second_stage: TrainedSecondStage, trained: TrainedFirstStage, seed: int, draws: int = DRAWS
) -> dict[str, Any]:
    """The JSON report of the second-stage model, on rows that no scoring model had seen.

    Args:
        second_stage: the trained second stage.
        trained: the first stage it rests on, for the baseline of style features.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Returns:
        Baseline, first stage (`cheap`), the encoder alone and both stages (`full`) on the same rows.
    """
    table = second_stage.table
    style = pd.Series(trained.cross.style, index=trained.table["text"])
    scores = {
        "style": style.loc[table["text"]].to_numpy(),
        "cheap": table["raw"].to_numpy(),
        "encoder": second_stage.encoder,
        "full": second_stage.out,
    }
    words = table["words"].to_numpy().astype(np.int64)
    group = second_stage.calibrator.group_of(table["lang"].tolist())
    scored = table.assign(llr=second_stage.calibrator.millinats(second_stage.out, words, group).astype(np.int64))
    return {
        "rows": len(table),
        "sources": list(describe(table)),
        "leave_one_source_out": left_out(table, scores, seed, draws),
        "people": false_evidence(scored),
    }


def report_table(records: list[dict[str, Any]]) -> Table:
    """The leave-one-source-out part of a report, for a terminal."""
    names = [key.removesuffix("_auroc") for key in records[0] if key.endswith("_auroc")]
    shorts = ("auroc", "tpr_at_1pct_fpr")
    table = Table(title="each source left out of training; at like length; 95% bootstrap intervals")
    table.add_column("source", no_wrap=True)
    for name in names:
        for title in ("AUROC", "TPR at 1%"):
            table.add_column(f"{name} {title}", no_wrap=True)
    for record in records:
        cells = []
        for name in names:
            for short in shorts:
                value, low, high = record[f"{name}_{short}"]
                cells.append(f"{value:.2f} {low:.2f}-{high:.2f}")
        table.add_row(record["source"].removeprefix("many_generators/"), *cells)
    means = [
        f"{np.mean([record[f'{name}_{short}'][0] for record in records]):.3f}" for name in names for short in shorts
    ]
    table.add_row("mean", *means)
    return table


AGES: Final = (3, 8, 20, 10_000)
"""Numbers of posts at which the report looks at accounts; the last is their end."""

FEWEST: Final = 5
"""Accounts of a group by which it is reported."""


def latest(rows: TrainingSet, limit: int) -> NDArray[np.int64]:
    """Row of each account after at most `limit` posts."""
    found = np.flatnonzero(rows.posts <= limit)
    found = found[np.lexsort((rows.posts[found], rows.account[found]))]
    ends: NDArray[np.int64] = found[np.flatnonzero(np.diff(rows.account[found], append=-1))]
    return ends


def account_report(rows: TrainingSet, logit: NDArray[np.float64]) -> dict[str, Any]:
    """Out-of-fold figures: the stream by age, and every group of machines against the stream's people.

    Args:
        rows: what was learned from.
        logit: (n,) out-of-fold evidence, nats.
    """
    real = rows.timed
    stream, said = rows.take(real), logit[real]
    ages = []
    for limit in AGES:
        at = latest(stream, limit)
        truth, evidence = stream.label[at], said[at]
        ages.append(
            {
                "posts": limit,
                "people": int((truth == 0).sum()),
                "machine": int((truth == 1).sum()),
                "auroc": round(auroc(truth, evidence), 4),
                "tpr_at_1pct_fpr": round(tpr_at(truth, evidence, 0.01), 4),
                "tpr_at_5pct_fpr": round(tpr_at(truth, evidence, 0.05), 4),
            }
        )
    ends = latest(stream, AGES[-1])
    people = said[ends][stream.label[ends] == 0]
    groups = []
    for group in sorted(set(rows.group.tolist())):
        part = np.flatnonzero(rows.group == group)
        for label in (0, 1):
            last = part[latest(rows.take(part), AGES[-1])]
            score = logit[last][rows.label[last] == label]
            if len(score) >= FEWEST:
                against = np.concatenate([np.zeros(len(people), np.int64), np.ones(len(score), np.int64)])
                groups.append(
                    {
                        "group": group,
                        "label": label,
                        "accounts": len(score),
                        "mean_nats": round(float(score.mean()), 3),
                        "above_1_nat": round(float((score > 1).mean()), 3),
                        "auroc_against_stream_people": round(auroc(against, np.concatenate([people, score])), 3),
                    }
                )
    return {"by_age": ages, "groups": groups}


WITHIN_POSTS: Final = 10
"""Posts after which sources left out are told apart: what a day of an account gives."""

FEWEST_BAGS: Final = 8
"""Of either class in a source, so that its figures say anything."""

FEWEST_POSTS: Final = 8
"""Of a bag, so that it is near the ten."""


def ranking_within_sources(rows: TrainingSet, logit: NDArray[np.float64]) -> dict[str, float]:
    """How bags of a source left out are told from people of the same source, mean over sources: no platform helps.

    Args:
        rows: what was learned from.
        logit: (n,) out-of-fold evidence, nats.

    Returns:
        `sources`, `auroc` and `tpr_at_5pct_fpr`, of bags whose features come from text models that had not seen their
        source, after ten posts; zeros where no source has bags enough of both classes.
    """
    at = latest(rows, WITHIN_POSTS)
    at = at[rows.source_unseen[at] & (rows.posts[at] >= FEWEST_POSTS)]
    part, said = rows.take(at), logit[at]
    figures = []
    for cluster in np.unique(part.cluster):
        own = part.cluster == cluster
        label = part.label[own]
        if min(label.sum(), len(label) - label.sum()) >= FEWEST_BAGS:
            figures.append((auroc(label, said[own]), tpr_at(label, said[own], 0.05)))
    mean = np.mean(figures, axis=0) if figures else np.zeros(2)
    return {
        "sources": float(len(figures)),
        "auroc": round(float(mean[0]), 4),
        "tpr_at_5pct_fpr": round(float(mean[1]), 4),
    }
