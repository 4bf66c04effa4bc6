"""What a run's scores are worth against a stream's truth: ranking, flags, groups, with intervals.

`evaluation_table` puts truth and scores side by side; accounts that have no row in the scores count as lowest and
unflagged, a campaign's pairs count among flagged accounts, a group's among all. `CrossValidation` trains fold models
that have seen neither the people nor the bots they are measured on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.data_splits import split_of
from detector.errors import UsageError
from detector.evidence import COMPONENTS
from detector.models import GRAPH, load_readers
from detector.text import first_stage, second_stage
from training.account import save_account, train_account
from training.account_data import read_truth
from training.account_training_set import POPULATION, TextModels, TrainingSet, gather
from training.calibrate import shipped_thresholds
from training.metrics import auroc, average_precision, p_more_than, p_other_than, share_interval, tpr_at
from training.system import copy_models, read_lines, run_system
from training.text import ProgressCallback, crossfit

DRAWS: Final = 200
"""Bootstrap draws behind a 95% interval."""

BY_POSTS: Final = (5, 10, 20)
"""Posts by which the share of machines flagged is told."""

Score = Mapping[str, Any]


@dataclass(frozen=True)
class EvaluationTable:
    """A stream's accounts with truth and scores side by side, (n,) each.

    Args:
        names: of the accounts in the truth file, in its order.
        label: 1 = machine.
        campaign: true campaign, "" for none.
        slice_name: the slice of the truth file, "" for none.
        components: (n, 4) LLRs in the order of `detector.evidence.COMPONENTS`; NaN where an account has no row.
        flagged: whether it was flagged.
        flag_posts: posts at the flag, infinity where there is none.
        found_campaign, found_group: ids in the scores, "" for none.
    """

    names: list[str]
    label: NDArray[np.int64]
    campaign: NDArray[np.str_]
    slice_name: NDArray[np.str_]
    components: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    flag_posts: NDArray[np.float64]
    found_campaign: NDArray[np.str_]
    found_group: NDArray[np.str_]

    def take(self, chosen: NDArray[Any]) -> EvaluationTable:
        """The accounts `chosen` (a mask or indices)."""
        rows = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        arrays = {name: value[rows] for name, value in vars(self).items() if name != "names"}
        return EvaluationTable(names=[self.names[i] for i in rows.tolist()], **arrays)

    def score(self, components: Sequence[str] = COMPONENTS) -> NDArray[np.float64]:
        """(n,) sum of `components`; accounts without a row lie below all others."""
        total: NDArray[np.float64] = self.components[:, [COMPONENTS.index(name) for name in components]].sum(axis=1)
        here = np.isfinite(total)
        lowest = total[here].min() - 1 if here.any() else 0.0
        return np.where(here, total, lowest)


def evaluation_table(truth: Mapping[str, Score], scores: Sequence[Score]) -> EvaluationTable:
    """Truth (account -> its record) and score rows side by side."""
    rows = {row["account"]: row for row in scores}
    found = [rows.get(name) for name in truth]
    nothing = dict.fromkeys(COMPONENTS, float("nan"))
    return EvaluationTable(
        names=list(truth),
        label=np.array([record["label"] for record in truth.values()], np.int64),
        campaign=np.array([record.get("campaign") or "" for record in truth.values()]),
        slice_name=np.array([record.get("slice") or "" for record in truth.values()]),
        components=np.array(
            [[(row["llr"] if row else nothing)[name] for name in COMPONENTS] for row in found], np.float64
        ),
        flagged=np.array([bool(row and row["flagged"]) for row in found]),
        flag_posts=np.array([_posts_at_flag(row) for row in found]),
        found_campaign=np.array([(row and row.get("campaign")) or "" for row in found]),
        found_group=np.array([(row and row.get("group")) or "" for row in found]),
    )


def measured(stream: str, truth: Mapping[str, Score], scores: Sequence[Score]) -> EvaluationTable:
    """The evaluation table of a stream.

    Args:
        stream: its name, for the message.
        truth: account -> its record.
        scores: rows of the stream.

    Raises:
        UsageError: no account of the truth has a row, so that nothing would be measured.
    """
    if not any(row["account"] in truth for row in scores):
        raise UsageError(
            f"{stream}: none of the {len(truth):,} accounts of the truth is among the {len(scores):,} of the stream: "
            "write `account` in the truth as the events have it"
        )
    return evaluation_table(truth, scores)


def _posts_at_flag(row: Score | None) -> float:
    posts = row.get("posts_at_flag") if row and row["flagged"] else None
    return float("inf") if posts is None else float(posts)


def pooled(tables: Sequence[EvaluationTable]) -> EvaluationTable:
    """Accounts of several tables one after another."""
    names = [name for table in tables for name in table.names]
    columns = [name for name in vars(tables[0]) if name != "names"]
    return EvaluationTable(
        names=names, **{name: np.concatenate([getattr(table, name) for table in tables]) for name in columns}
    )


def ranking(given: EvaluationTable, components: Sequence[str] = COMPONENTS) -> dict[str, float]:
    """AUROC, average precision and TPR at 1% FPR of the sum of `components`; empty without both classes."""
    if not 0 < given.label.sum() < len(given.label):
        return {}
    score = given.score(components)
    return {
        "auroc": auroc(given.label, score),
        "ap": average_precision(given.label, score),
        "tpr_at_1pct_fpr": tpr_at(given.label, score, 0.01),
    }


def flags(given: EvaluationTable, target_fpr: float) -> dict[str, Any]:
    """Precision, recall and false-positive rate of the flags, with an exact interval and tests against the target."""
    people, machines = given.label == 0, given.label == 1
    wrong, right = int(given.flagged[people].sum()), int(given.flagged[machines].sum())
    count = int(people.sum())
    found: dict[str, Any] = {
        "people": count,
        "machines": int(machines.sum()),
        "flagged": wrong + right,
        "false_flags": wrong,
        "precision": right / max(wrong + right, 1),
        "recall": right / int(machines.sum()) if machines.any() else None,
        "fpr": wrong / count if count else None,
        "fpr_95": list(share_interval(wrong, count)),
        "p_more_than_target": p_more_than(wrong, count, target_fpr),
        "p_other_than_target": p_other_than(wrong, count, target_fpr),
    }
    for posts in BY_POSTS:
        share = float((given.flag_posts[machines] <= posts).mean()) if machines.any() else None
        found[f"flagged_by_{posts}"] = share
    return found


def pairs(given: EvaluationTable, field: str) -> dict[str, float] | None:
    """Pair precision, recall and F1 of `campaign` (flagged accounts) or `group` (all) against the true campaigns.

    Also how many true campaigns have half of their members in one found group. None where there is neither.
    """
    true: defaultdict[str, list[str]] = defaultdict(list)
    found: defaultdict[str, list[str]] = defaultdict(list)
    ids = given.found_campaign if field == "campaign" else given.found_group
    for i, name in enumerate(given.names):
        if given.campaign[i]:
            true[str(given.campaign[i])].append(name)
        if ids[i] and (field == "group" or given.flagged[i]):
            found[str(ids[i])].append(name)
    actual, claimed = _pairs_of(true), _pairs_of(found)
    if not actual and not claimed:
        return None
    hits = len(actual & claimed)
    precision, recall = hits / max(len(claimed), 1), hits / max(len(actual), 1)
    halves = [
        max((len(set(members) & set(group)) for group in found.values()), default=0) / len(members)
        for members in true.values()
    ]
    return {
        "true": len(true),
        "found": len(found),
        "found_half": sum(share >= _HALF for share in halves),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
    }


_HALF: Final = 0.5


def _pairs_of(groups: Mapping[str, Sequence[str]]) -> set[tuple[str, ...]]:
    return {tuple(sorted(pair)) for members in groups.values() for pair in combinations(members, 2)}


def intervals(
    given: EvaluationTable,
    measure: Callable[[EvaluationTable], Mapping[str, float]],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> dict[str, tuple[float, float]]:
    """95% bootstrap intervals. A campaign is drawn as a whole, any other account by itself.

    Args:
        given: the accounts.
        measure: figures by name, of a table.
        rng: of the draws.
        draws: how many.

    Returns:
        The 2.5% and 97.5% quantiles of each figure.
    """
    alone = np.array([f"\0{name}" for name in given.names])
    cluster = np.where(given.campaign != "", given.campaign, alone)
    _, inverse = np.unique(cluster, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    machine = np.array([given.label[rows[0]] == 1 for rows in members])
    kinds = [np.flatnonzero(machine), np.flatnonzero(~machine)]
    found: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(draws):
        drawn = [members[i] for kind in kinds if len(kind) for i in rng.choice(kind, len(kind))]
        for name, value in measure(given.take(np.concatenate(drawn))).items():
            found[name].append(value)
    return {
        name: (float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975)))
        for name, values in found.items()
    }


INNER_FOLDS: Final = 3
"""Folds of the calibration inside a fold: two numbers are fitted on them."""


def fold_of(name: str, campaign: str | None, folds: int) -> int:
    """Fold of an account, the same in every stream.

    Args:
        name: of the account.
        campaign: its campaign, which is in one fold as a whole; None or "" for none.
        folds: how many there are.
    """
    key = f"campaign/{campaign}" if campaign else name
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") % folds


def folds_of(truth: Mapping[str, Mapping[str, Any]], folds: int) -> NDArray[np.int64]:
    """Folds of the accounts of a truth file, in its order."""
    return np.array([fold_of(name, record.get("campaign"), folds) for name, record in truth.items()], np.int64)


class CrossValidation:
    """Trains one bundle per fold and runs streams through it.

    Args:
        data: folder with `text/` and `streams/contest-dev.*`, the stream that is learned from.
        models: folder of the text models, trained with the same `exclude`.
        cache: folder of cross-fitted scores.
        work: folder for fold bundles and runs.
        folds: how many.
        exclude: text sets, clusters or sources to leave out.
        say: progress.
    """

    def __init__(
        self,
        data: Path,
        models: Path,
        cache: Path,
        work: Path,
        folds: int,
        *,
        exclude: Sequence[str] = (),
        say: ProgressCallback,
    ) -> None:
        self.data, self.models, self.work, self.folds, self.exclude = data, models, work, folds, list(exclude)
        self._say = say
        text, reader, self._versions = load_readers(models)
        self._table = crossfit(data, cache, exclude=exclude, say=say)
        self._rows = gather(
            data, cache, TextModels(text, reader), exclude=exclude, keep=lambda name, label: True, say=say
        )
        self._fold = {
            name: fold_of(name, record.get("campaign"), folds)
            for name, record in read_truth(data / "streams" / "contest-dev.truth.jsonl").items()
        }

    def bundle(self, fold: int) -> Path:
        """The models directory of `fold`, trained where it is not there yet."""
        place = self.work / f"fold-{fold}"
        if not (place / "thresholds.json").exists():
            unseen = [name for name, of in self._fold.items() if of == fold]
            self._say(f"fold {fold}: learning", fold / self.folds)
            made = self.work / f"models-{fold}"
            copy_models(self.models, made, (first_stage.FILE, first_stage.FAMILIES, second_stage.FILE, GRAPH))
            model = train_account(self._learned(frozenset(unseen)), self._versions, folds=INNER_FOLDS)
            save_account(model, made, excluded=self.exclude, seed=0)
            self._say(f"fold {fold}: calibrating", (fold + 0.3) / self.folds)
            shipped_thresholds(self.data, made, place, self.work / f"work-{fold}", self._table, left_out=unseen)
        return place

    def _learned(self, unseen: frozenset[str]) -> TrainingSet:
        rows = self._rows
        prefix = f"stream/{POPULATION}/"
        keep = np.ones(len(rows), bool)
        for i in np.flatnonzero(rows.timed).tolist():
            name = rows.name[int(rows.account[i])].removeprefix(prefix)
            trains = rows.label[i] == 1 or split_of(POPULATION, name) == "train"
            keep[i] = trains and name not in unseen
        return rows.take(keep)

    def measure(
        self, stream: Path, truth: Mapping[str, Mapping[str, Any]], without: Sequence[str] = ()
    ) -> list[EvaluationTable]:
        """Score a stream with the models of every fold.

        Args:
            stream: the recording.
            truth: account -> its truth record.
            without: components to leave out.

        Returns:
            For each fold, every account of the stream.
        """
        results = []
        for fold in range(self.folds):
            scores = self.work / f"{stream.name}.{'-'.join(without) or 'full'}.{fold}.scores"
            bundle = self.bundle(fold)
            self._say(f"fold {fold}: {stream.name}", (fold + 0.6) / self.folds)
            run_system([stream], bundle, scores=scores, without=without)
            results.append(measured(stream.name, truth, read_lines(scores)))
        return results


def held_out(results: Sequence[EvaluationTable], fold: NDArray[np.int64]) -> EvaluationTable:
    """Every account with the scores of the fold that did not know it."""
    return pooled([result.take(fold == index) for index, result in enumerate(results)])


def once(streams: Sequence[EvaluationTable]) -> NDArray[np.int64]:
    """Of the accounts of several streams one after another, those to count: each person in one stream only.

    Which one is decided by a hash of the name, so that neither stream is preferred.
    """
    where: dict[str, list[int]] = {}
    offset = 0
    for stream in streams:
        for i, name in enumerate(stream.names):
            if stream.label[i] == 0:
                where.setdefault(name, []).append(offset + i)
        offset += len(stream.names)
    chosen = [places[fold_of(name, None, len(places))] for name, places in where.items()]
    return np.array(sorted(chosen), np.int64)
