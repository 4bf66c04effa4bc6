"""Fold models that have seen neither the people nor the bots they are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.bundle import GRAPH, load_readers
from detector.people import role_of
from detector.text import cheap, minilm
from training.account import Learning
from training.accounts import read_truth
from training.commands.train_account import save, train_account
from training.evaluation import Judged, judged, pooled
from training.fusion import shipped_thresholds
from training.learning import POPULATION, Readers, gather
from training.system import copy_parts, read_lines, run_system
from training.text import Say, crossfit

INNER_FOLDS: Final = 3
"""Folds of the calibration inside a fold: two numbers are fitted on them."""


def fold_of(name: str, campaign: str | None, folds: int) -> int:
    """Fold of an account: of its campaign where it has one, so that none is seen in part; the same in every stream."""
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
        say: Say,
    ) -> None:
        self.data, self.models, self.work, self.folds, self.exclude = data, models, work, folds, list(exclude)
        self._say = say
        text, expert, self._versions = load_readers(models)
        self._table = crossfit(data, cache, exclude=exclude, say=say)
        self._rows = gather(data, cache, Readers(text, expert), exclude=exclude, keep=lambda name, label: True, say=say)
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
            copy_parts(self.models, made, (cheap.FILE, minilm.FILE, GRAPH))
            model = train_account(self._learned(frozenset(unseen)), self._versions, folds=INNER_FOLDS)
            save(model, made, excluded=self.exclude, seed=0)
            self._say(f"fold {fold}: calibrating", (fold + 0.3) / self.folds)
            shipped_thresholds(self.data, made, place, self.work / f"work-{fold}", self._table, left_out=unseen)
        return place

    def _learned(self, unseen: frozenset[str]) -> Learning:
        rows = self._rows
        prefix = f"stream/{POPULATION}/"
        keep = np.ones(len(rows), bool)
        for i in np.flatnonzero(rows.timed).tolist():
            name = rows.name[int(rows.account[i])].removeprefix(prefix)
            trains = rows.label[i] == 1 or role_of(POPULATION, name) == "train"
            keep[i] = trains and name not in unseen
        return rows.take(keep)

    def measure(
        self, stream: Path, truth: Mapping[str, Mapping[str, Any]], without: Sequence[str] = ()
    ) -> list[Judged]:
        """For each fold, every account of `stream` as the fold's models judge it."""
        results = []
        for fold in range(self.folds):
            scores = self.work / f"{stream.name}.{'-'.join(without) or 'full'}.{fold}.scores"
            bundle = self.bundle(fold)
            self._say(f"fold {fold}: {stream.name}", (fold + 0.6) / self.folds)
            run_system([stream], bundle, scores=scores, without=without)
            results.append(judged(truth, read_lines(scores)))
        return results


def held_out(results: Sequence[Judged], fold: NDArray[np.int64]) -> Judged:
    """Every account as judged by the fold that did not know it."""
    return pooled([result.take(fold == index) for index, result in enumerate(results)])


def once(streams: Sequence[Judged]) -> NDArray[np.int64]:
    """Of the accounts of several judged streams one after another, those to count: each person in one stream only.

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
