"""A generator that was met after training, learned from some hundred of its posts: `swarmlight train text --add`.

A family is a first-stage model of its own, one logistic regression on n-grams and style that tells the posts of the new
generator from people's. It is added to what is there (`detector.text.first_stage.with_family`): evidence never sinks by
it, and hardly changes where the family says no, so that nothing that was known is forgotten.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.errors import UsageError
from detector.evidence import MILLINAT
from detector.text.calibration import Calibrator
from detector.text.first_stage import FAMILIES, FirstStageModel, with_family
from detector.text.tokenize import encode, normalise, settle_language
from detector.weights_io import load_weights, save_weights
from streaming.assess.alert_store import account_alert_id
from streaming.schema.event import Event
from streaming.schema.feedback import FeedbackRecord
from training.account_data import beginning
from training.data import load_texts, shorten
from training.learning_cli import MACHINE, PERSON
from training.linear import Design, FitSettings, Linear, design, fit
from training.metrics import auroc, tpr_at
from training.own_texts import WRITTEN
from training.system import BUNDLE_FILES, copy_models
from training.text import version_of
from training.text_calibration import fit_calibrator

Floats = NDArray[np.float64]

FEWEST: Final = 40
"""Posts of the new generator in a language below which nothing can be calibrated there."""

PEOPLE_EACH: Final = 100
"""People's texts of each source of the text sets that stand beside the new generator's."""

FOLDS: Final = 4
"""Parts of the posts, authors whole, each scored by a model that has not seen it: what calibration rests on."""

SETTINGS: Final = FitSettings(penalty=1e-4, use_sources=False, ratio_share=0.0, pooled_share=0.0, iterations=60)
"""A tenth of the weights' freedom that the first stage has: some hundred posts say less of rare n-grams."""


@dataclass(frozen=True)
class Family:
    """What was learned of a generator.

    Args:
        model: posts of the generator against people.
        calibrator: its scores to LLR.
        held: (n,) LLR of the rows by models that had not seen them, millinats.
    """

    model: Linear
    calibrator: Calibrator
    held: NDArray[np.int16]

    def millinats(self, rows: Design, words: NDArray[np.int64], langs: list[str]) -> NDArray[np.int16]:
        """LLR of texts, (n,).

        Args:
            rows: n-grams and style of n texts.
            words: (n,) their lengths.
            langs: n primary tags.
        """
        return self.calibrator.millinats(self.model.score(rows), words, self.calibrator.group_of(langs))

    def added(
        self, llr: NDArray[np.int16], rows: Design, words: NDArray[np.int64], langs: list[str]
    ) -> NDArray[np.int16]:
        """Evidence of texts with the family beside what it was, (n,) millinats.

        Args:
            llr: (n,) without it.
            rows: n-grams and style of n texts.
            words: (n,) their lengths.
            langs: n primary tags.
        """
        speaks = self.calibrator.group_of(langs) >= 0
        return with_family(llr, self.millinats(rows, words, langs), speaks)


def learn_family(
    rows: Design,
    label: NDArray[np.int64],
    words: NDArray[np.int64],
    lang: NDArray[np.str_],
    author: NDArray[np.str_],
) -> Family:
    """Learn a generator from its posts and people's.

    Args:
        rows: n texts.
        label: (n,) 1 = of the generator.
        words: (n,) lengths.
        lang: (n,) primary tags.
        author: (n,) what is left out as a whole, "" for the text alone.
    """
    weight = np.where(label == 1, (label == 0).sum() / max(int(label.sum()), 1), 1.0)
    source = np.full(len(label), "family")
    digests = (hashlib.blake2b((one or str(place)).encode(), digest_size=8) for place, one in enumerate(author))
    fold = np.array([int.from_bytes(digest.digest(), "little") % FOLDS for digest in digests])
    held = np.zeros(len(label))
    with threadpool_limits(limits=1):  # so that the weights do not depend on how many cores trained them
        for number in range(FOLDS):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            if len(test) and 0 < label[train].sum() < len(train):
                held[test] = fit(rows.take(train), label[train], weight[train], source[train], SETTINGS).score(
                    rows.take(test)
                )
        calibrator = fit_calibrator(held, label, weight, words, lang)
        model = fit(rows, label, weight, source, SETTINGS)
    return Family(model, calibrator, calibrator.millinats(held, words, calibrator.group_of(lang.tolist())))


def labelled_posts(events: Iterable[Event], labels: Mapping[str, int]) -> pd.DataFrame:
    """Posts of accounts that it is known of what they are: `text` (as models read it), `label`, `author_id`, `lang`.

    Args:
        events: of a recording.
        labels: account -> 1 for a machine, 0 for a person.
    """
    rows = [
        (normalise(shorten(event.text)), labels[event.account], event.account, event.text, event.lang)
        for event in events
        if event.account in labels and event.text and event.kind in WRITTEN
    ]
    table = pd.DataFrame(rows, columns=["text", "label", "author_id", "raw", "declared"])
    table["lang"] = [settle_language(*pair, ()) for pair in zip(table["raw"], table["declared"], strict=True)]
    table["words"] = encode(table["text"].tolist()).word_counts if len(table) else 0
    table = table[table["words"] >= 4].drop(columns=["raw", "declared"])
    return table.drop_duplicates("text").reset_index(drop=True)


def decided_accounts(records: Iterable[FeedbackRecord], accounts: Iterable[str]) -> dict[str, int]:
    """What moderators decided of single accounts, the last decision counting: 1 for a machine, 0 for a person.

    Args:
        records: decisions in their order; those on a whole campaign name no account and say nothing here.
        accounts: names of those that may be meant.
    """
    by_alert = {account_alert_id(name): name for name in accounts}
    made = list(records)
    undone = {record.undoes for record in made if record.decision == "undo"}
    found = {}
    for record in made:
        name = record.account or by_alert.get(record.alert)
        if name and record.id not in undone and record.decision in MACHINE | PERSON:
            found[name] = int(record.decision in MACHINE)
    return found


def background(data: Path | None) -> pd.DataFrame:
    """People's texts of the text sets, `PEOPLE_EACH` of a source; none where no folder is given."""
    if data is None:
        return pd.DataFrame({"text": [], "label": [], "author_id": [], "lang": [], "words": []})
    table = load_texts(data, cap=PEOPLE_EACH)
    return table.loc[table["label"] == 0, ["text", "label", "author_id", "lang", "words"]].reset_index(drop=True)


def add_family(posts: pd.DataFrame, people: pd.DataFrame, models: Path, out: Path, name: str) -> dict[str, Any]:
    """Write a models directory that knows one more generator.

    Args:
        posts: of `labelled_posts`, the generator's and perhaps people's.
        people: further people, of `background`.
        models: directory that it is added to.
        out: where to; a copy of `models` with `families.*` beside.
        name: of the family, as alerts and logs have it.

    Returns:
        Figures by models that had not seen the author: `posts`, `people`, `before` and `after` with `auroc` and `tpr`
        (at 1% of these people), `languages`.

    Raises:
        UsageError: too few posts of machines, or no people, in any language.
    """
    known = set(map(beginning, posts["text"]))
    people = people[~people["text"].map(beginning).isin(known)]
    table = pd.concat([posts, people], ignore_index=True)
    counts = table.groupby(["lang", "label"]).size().unstack(fill_value=0).reindex(columns=[0, 1], fill_value=0)
    able = sorted(str(lang) for lang in counts.index[(counts[0] >= FEWEST) & (counts[1] >= FEWEST)] if lang)
    if not able:
        raise UsageError(
            f"no language has {FEWEST} posts of machines and of people ({int(posts['label'].sum())} posts of machines, "
            f"{int((table['label'] == 0).sum())} of people): label more accounts, or give people's texts with --data"
        )
    table = table[table["lang"].isin(able)].reset_index(drop=True)
    label, words = (table[column].to_numpy().astype(np.int64) for column in ("label", "words"))
    base = FirstStageModel.load(models)
    llr = base.read(table["text"].tolist(), table["lang"].tolist())["llr"]
    rows = design(table["text"].tolist())
    family = learn_family(
        rows, label, words, table["lang"].to_numpy().astype(str), table["author_id"].to_numpy().astype(str)
    )
    after = with_family(llr, family.held, np.ones(len(llr), np.bool_))
    found: dict[str, Any] = {"posts": int(label.sum()), "people": int((label == 0).sum()), "languages": able}
    for when, said in (("before", llr), ("after", after)):
        nats = said.astype(np.float64) / MILLINAT
        found[when] = {"auroc": round(auroc(label, nats), 4), "tpr": round(tpr_at(label, nats, 0.01), 4)}
    _write(family, base, models, out, name, found)
    return found


def _write(family: Family, base: FirstStageModel, models: Path, out: Path, name: str, report: dict[str, Any]) -> None:
    copy_models(models, out, BUNDLE_FILES)
    arrays: dict[str, NDArray[Any]] = {}
    described: list[dict[str, Any]] = []
    if base.families:
        arrays, meta = load_weights(models / FAMILIES)
        described = meta["families"]
    own: dict[str, NDArray[np.generic]] = {
        "weights": family.model.weights.astype(np.float16),
        "style_weights": family.model.style_weights.astype(np.float32),
        "style_mean": family.model.mean.astype(np.float32),
        "style_spread": family.model.spread.astype(np.float32),
        "bias": np.array([family.model.bias], dtype=np.float32),
        **family.calibrator.arrays(),
    }
    number = len(described)
    described = [
        *described,
        {"name": name, "version": version_of(own), "languages": dict(family.calibrator.groups), "report": report},
    ]
    arrays = {**arrays, **{f"{number}.{key}": value for key, value in own.items()}}
    versions = "+".join(each["version"] for each in described)
    save_weights(out / FAMILIES, arrays, {"name": FAMILIES, "version": versions, "families": described})
    (out / f"{FAMILIES}.card.md").write_text(_card(described), encoding="utf-8")


def _card(described: list[dict[str, Any]]) -> str:
    rows = [
        f"| {each['name']} | {each['version']} | {each['report']['posts']} | {each['report']['people']} | "
        f"{', '.join(each['report']['languages'])} | {each['report']['before']['auroc']:.3f}, "
        f"{each['report']['before']['tpr']:.2f} | {each['report']['after']['auroc']:.3f}, "
        f"{each['report']['after']['tpr']:.2f} |"
        for each in described
    ]
    return "\n".join(
        [
            "# Generators that were added",
            "",
            "Each is one logistic regression on n-grams and style that tells its posts from people's, added to the",
            "first stage as one more kind of machine. Figures are of single posts (AUROC, share found at 1% of these",
            "people), by models that had not seen their author. The models before had learned from some of these",
            "people. Thresholds are those of before: people may pass them a little more often, so set them anew.",
            "",
            "| family | version | posts | people's texts | languages | before | after |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )
