"""Training the second-stage text model: the packaged encoder fine-tuned, and the first-stage evidence added to it.

`train_second_stage` takes a cross-fitted table (`training.text`) and returns the model's arrays with scores of models
that had not seen the rows. Every third of the sources is left out by one of three models, which also leaves a third of
all threads and authors out of the rest; so each row has a score by a model that had not seen its source, and two rows
in three one by a model that had seen others of it. `calibrate_named` calibrates a Hugging Face model that a user names;
nothing of it is trained.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.evidence import MILLINAT
from detector.text.calibration import Calibrator
from detector.text.encoder import encoder_digest, encoder_folder
from detector.text.huggingface import KIND, RawScorer
from training.data import balance, source_weights
from training.disturb import disturbed
from training.fine_tuning import FineTuning, TunedEncoder
from training.text import NEAR_FOLDS, ProgressCallback, near_folds, quiet, sample
from training.text_calibration import calibrate

ENCODER_TEXTS: Final = 1000
"""Rows of one source and class that the encoder learns from: sources weigh alike, and more of one take time."""

SOURCE_FOLDS: Final = NEAR_FOLDS
"""Models that each leave a part of the sources out, and one part of the threads of the others."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainedSecondStage:
    """What one training made, and scores (n,) of `table`'s rows by models that had not seen them."""

    table: pd.DataFrame
    out: Floats
    """By models that had not seen the row's cluster."""
    near: Floats
    """By models that had not seen its thread or author alone; as `out` where there is none."""
    encoder: Floats
    """The encoder's part of `out`, without the first-stage evidence."""
    calibrator: Calibrator
    arrays: dict[str, NDArray[np.generic]]
    meta: dict[str, Any]


def source_folds(table: pd.DataFrame) -> NDArray[np.int64]:
    """Which of `SOURCE_FOLDS` models leaves each row's cluster out, (n,).

    Clusters with machine texts, and those with people only, are dealt out by their size, back and forth.
    """
    sizes = table.groupby("cluster").agg(rows=("label", "size"), machine=("label", "max")).reset_index()
    sizes = sizes.sort_values(["rows", "cluster"], ascending=[False, True])
    order = [*range(SOURCE_FOLDS), *reversed(range(SOURCE_FOLDS))]
    fold: dict[str, int] = {}
    for kind in (1, 0):
        names = sizes.loc[sizes["machine"] == kind, "cluster"]
        fold |= {str(name): order[place % len(order)] for place, name in enumerate(names)}
    return table["cluster"].map(fold).to_numpy().astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Task:
    """One fine-tuning: what is learned from and what is scored, and the folder that keeps answers."""

    texts: list[str]
    label: NDArray[np.int64]
    weight: Floats
    scored: list[str]
    settings: FineTuning
    seed: int
    device: str
    cache: Path

    def path(self) -> Path:
        """The file that keeps the answer, named by all that it depends on."""
        digest = hashlib.sha256()
        for part in (*self.texts, "", *self.scored, repr(sorted(asdict(self.settings).items())), str(self.seed)):
            digest.update(part.encode() + b"\0")
        digest.update(self.label.tobytes() + self.weight.tobytes() + encoder_digest(encoder_folder()).encode())
        return self.cache / f"tuned-{digest.hexdigest()[:16]}.npz"


def _tune(task: _Task, say: ProgressCallback = quiet) -> dict[str, NDArray[Any]]:
    """Scores of what is to be scored, and the model's arrays; from the cache where they are there."""
    path = task.path()
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    import torch

    torch.set_num_threads(1)  # so that the weights do not depend on how many cores trained them
    model = TunedEncoder(task.device, task.seed)
    learned = disturbed(task.texts, task.settings.disturbed, task.seed)
    model.fit(model.pieces(learned), task.label, task.weight, task.settings, task.seed, say)
    scores = model.score(model.pieces(task.scored), say) if task.scored else np.zeros(0)
    made: dict[str, NDArray[Any]] = {"scores": scores, **model.arrays()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npz")
    np.savez(beside, **made)  # type: ignore[arg-type]
    beside.replace(path)
    return made


def _tune_all(tasks: Sequence[_Task], processes: int, say: ProgressCallback) -> list[dict[str, NDArray[Any]]]:
    if processes <= 1 or len(tasks) == 1:
        done = []
        for place, task in enumerate(tasks):
            done.append(_tune(task, lambda what, share, place=place: say(what, (place + share) / len(tasks))))  # type: ignore[misc]
        return done
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(_tune, task): place for place, task in enumerate(tasks)}
        found: dict[int, dict[str, NDArray[Any]]] = {}
        for future in as_completed(waiting):
            found[waiting[future]] = future.result()
            say("fine-tuning the encoder", len(found) / len(tasks))
    return [found[place] for place in range(len(tasks))]


def train_second_stage(
    crossed: pd.DataFrame,
    cache: Path,
    *,
    cap: int = ENCODER_TEXTS,
    settings: FineTuning | None = None,
    device: str = "cpu",
    processes: int = 1,
    say: ProgressCallback = quiet,
) -> TrainedSecondStage:
    """Fine-tune the encoder on a part of a cross-fitted table (`training.text.crossfit_table`).

    Mix and calibration rest on sources left out: they say what the evidence is worth there.

    Args:
        crossed: the table.
        cache: folder that keeps each model, so that none is trained twice.
        cap: rows of one source and class.
        settings: of the fine-tuning; the defaults where None.
        device: of torch, "cpu" or "cuda".
        processes: trainings at the same time, each in one thread.
        say: told of progress.

    Raises:
        ModelError: the encoder is not installed.
    """
    table = sample(crossed, cap)
    how = settings or FineTuning()
    label = table["label"].to_numpy().astype(np.int64)
    texts = table["text"].tolist()
    fold, thread = source_folds(table), near_folds(table)

    def task(learned: NDArray[np.bool_], scored: NDArray[np.intp]) -> _Task:
        rows = np.flatnonzero(learned)
        return _Task(
            [texts[row] for row in rows], label[rows], source_weights(table.iloc[rows]),
            [texts[row] for row in scored], how, 0, device, cache,
        )  # fmt: skip

    held = [np.flatnonzero((fold == k) | (thread == k)) for k in range(SOURCE_FOLDS)]
    tasks = [task((fold != k) & (thread != k), held[k]) for k in range(SOURCE_FOLDS)]
    tasks.append(task(np.ones(len(table), dtype=bool), np.zeros(0, np.intp)))
    done = _tune_all(tasks, processes, say)
    encoder, encoder_near = np.zeros(len(table)), np.full(len(table), np.nan)
    for k, rows in enumerate(held):
        unseen = fold[rows] == k
        encoder[rows[unseen]] = done[k]["scores"][unseen]
        encoder_near[rows[~unseen]] = done[k]["scores"][~unseen]
    weight = balance(table)
    first_stage = {name: table[name].to_numpy() / MILLINAT for name in ("llr", "llr_near")}
    mix = np.array([1 / max(_spread(score, weight), 1e-9) for score in (encoder, first_stage["llr"])])
    out = mix[0] * encoder + mix[1] * first_stage["llr"]
    near = np.where(np.isnan(encoder_near), out, mix[0] * encoder_near + mix[1] * first_stage["llr_near"])
    with threadpool_limits(limits=1):
        calibrator = calibrate(table, out, near)
    whole = {name: value for name, value in done[-1].items() if name != "scores"}
    arrays: dict[str, NDArray[np.generic]] = {**whole, "mix": mix.astype(np.float32), **calibrator.arrays()}
    meta = {"languages": dict(calibrator.groups), "encoder_sha256": encoder_digest(encoder_folder())}
    return TrainedSecondStage(table, out, near, encoder, calibrator, arrays, meta)


def _spread(score: Floats, weight: Floats) -> float:
    return float(np.sqrt(np.average((score - np.average(score, weights=weight)) ** 2, weights=weight)))


NAMED_TEXTS: Final = 60
"""Texts of one source and class that the model reads: three numbers are fitted, and a causal LM reads ten a second."""


def calibrate_named(
    crossed: pd.DataFrame, model: str, *, machine_label: int = -1, cap: int = NAMED_TEXTS, say: ProgressCallback = quiet
) -> TrainedSecondStage:
    """Mix a model's own number with the cross-fitted first-stage LLR, and calibrate the mix by length and language.

    Args:
        crossed: a cross-fitted table (`training.text.crossfit_table`).
        model: folder or hub name of a sequence classifier or causal LM.
        machine_label: which of a classifier's outputs means machine.
        cap: texts of one source and class.
        say: told of progress.

    Raises:
        ModelError: the model cannot be loaded.
    """
    table = sample(crossed, cap)
    scorer = RawScorer(model, machine_label=machine_label)
    raw = np.zeros(len(table))
    for row, text in enumerate(table["text"]):
        if row % 50 == 0:
            say("reading with the named model", row / len(table))
        raw[row] = scorer.score(text)
    inputs = np.stack([raw, table["llr"].to_numpy() / MILLINAT], axis=1)
    label = table["label"].to_numpy().astype(np.int64)
    fitted = LogisticRegression(C=1.0).fit(inputs, label, sample_weight=balance(table))
    mix = np.array([*fitted.coef_[0], fitted.intercept_[0]])
    out = inputs @ mix[:2] + mix[2]
    near = out + mix[1] * (table["llr_near"].to_numpy() - table["llr"].to_numpy()) / MILLINAT
    calibrator = calibrate(table, out, near)
    arrays: dict[str, NDArray[np.generic]] = {"mix": mix.astype(np.float32), **calibrator.arrays()}
    meta: dict[str, Any] = {
        "name": Path(model).name,
        "kind": KIND,
        "model": model,
        "machine_label": machine_label,
        "languages": dict(calibrator.groups),
    }
    return TrainedSecondStage(table, out, near, raw, calibrator, arrays, meta)
