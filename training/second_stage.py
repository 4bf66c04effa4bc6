"""Training the second-stage text model: a linear head over frozen MiniLM embeddings, style and first-stage evidence.

`train_second_stage` takes a cross-fitted table (`training.text`) and returns the head's arrays with scores of models
that had not seen the rows. `calibrate_named` calibrates a Hugging Face model that a user names; nothing of it is
trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from detector.evidence import MILLINAT
from detector.text.calibration import Calibrator
from detector.text.features import FOR_TEXT, styles
from detector.text.huggingface import KIND, RawScorer
from detector.text.second_stage import DIM, INPUT_LIMIT, INPUTS, LAYERS, Encoder, encoder_digest, encoder_folder
from detector.text.tokenize import encode
from training.data import balance
from training.linear import Block, fit_logistic
from training.text import NEAR_FOLDS, ProgressCallback, cluster_folds, near_folds, quiet, sample
from training.text_calibration import calibrate

HEAD_TEXTS: Final = 800
"""Rows of one source and class: the encoder reads some hundred and seventy texts a second and core."""

PENALTY: Final = 0.03
"""Per unit of mean loss: with a thousand inputs that overlap, weak evidence from each."""

BATCH: Final = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearHead:
    """score = clip((inputs - mean) / spread) @ weights + bias."""

    weights: Floats
    mean: Floats
    spread: Floats
    bias: float

    def score(self, inputs: NDArray[np.float32]) -> Floats:
        """Raw scores of (n, INPUTS), (n,)."""
        z = np.clip((inputs - self.mean) / self.spread, -INPUT_LIMIT, INPUT_LIMIT)
        out: Floats = z @ self.weights + self.bias
        return out


@dataclass(frozen=True, slots=True)
class TrainedSecondStage:
    """What one training of the head made, and scores (n,) of `table`'s rows by heads that had not seen them."""

    table: pd.DataFrame
    out: Floats
    """By heads that had not seen the row's cluster."""
    near: Floats
    """By heads that had not seen its thread or author alone."""
    calibrator: Calibrator
    arrays: dict[str, NDArray[np.generic]]
    meta: dict[str, Any]


def embed_cached(texts: Sequence[str], cache: Path, say: ProgressCallback = quiet) -> NDArray[np.float32]:
    """Embeddings of `texts`, (n, len(LAYERS) * DIM); each text is embedded once and kept in `cache`, one file for each
    encoder.

    Args:
        texts: n texts.
        cache: folder.
        say: told of progress.
    """
    digest = hashlib.sha256(f"{encoder_digest(encoder_folder())} {LAYERS}".encode()).hexdigest()
    path = cache / f"minilm-{digest[:12]}.npz"
    known, kept = np.zeros(0, np.uint64), np.zeros((0, len(LAYERS) * DIM), np.float16)
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            known, kept = stored["texts"], stored["embeddings"]
    keys = np.array(
        [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts], np.uint64
    )
    fresh, first = np.unique(keys, return_index=True)
    new = first[~np.isin(fresh, known)]
    if len(new):
        made = _embed([texts[row] for row in new], say)
        known, kept = np.concatenate([known, keys[new]]), np.concatenate([kept, made])
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, texts=known, embeddings=kept)
    order = np.argsort(known)
    return kept[order[np.searchsorted(known[order], keys)]].astype(np.float32)


def _embed(texts: Sequence[str], say: ProgressCallback) -> NDArray[np.float16]:
    encoder = Encoder(encoder_folder())
    out = np.zeros((len(texts), len(LAYERS) * DIM), dtype=np.float16)
    order = np.argsort([len(text) for text in texts], kind="stable")  # texts of like length waste little padding
    for begin in range(0, len(texts), BATCH):
        say("embedding", begin / len(texts))
        rows = order[begin : begin + BATCH]
        out[rows] = encoder.embed_together([texts[row] for row in rows])
    return out


def fit_head(
    inputs: NDArray[np.float32], label: NDArray[np.int64], weight: Floats, source: NDArray[np.str_]
) -> LinearHead:
    """Logistic regression within sources on standardised, clipped embeddings and style; lengths and case unused.

    The first-stage evidence gets no weight here, for it would get too little: it is cross-fitted, the embeddings are
    not.

    Args:
        inputs: (n, INPUTS) from `second_stage_inputs`.
        label: (n,) 1 = machine.
        weight: (n,) how much each text counts.
        source: (n,) where each is from.
    """
    used = np.concatenate([np.ones(len(LAYERS) * DIM, dtype=bool), FOR_TEXT, [False]])
    mean = np.average(inputs.astype(np.float64), axis=0, weights=weight)
    spread = np.sqrt(np.average((inputs - mean) ** 2, axis=0, weights=weight)) + 1e-3
    z = (np.clip((inputs - mean) / spread, -INPUT_LIMIT, INPUT_LIMIT) * used).astype(np.float32)
    found = fit_logistic([Block(z, PENALTY)], label, weight, source)
    return LinearHead(found.weights[0] * used, mean, spread, found.bias)


def second_stage_inputs(table: pd.DataFrame, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, INPUTS): embedding, style, cross-fitted first-stage LLR in nats."""
    style = styles(encode(table["text"].tolist())).astype(np.float32)
    first_stage = table["llr"].to_numpy().astype(np.float32)[:, None] / MILLINAT
    return np.concatenate([embedding, style, first_stage], axis=1)


def stack(head: LinearHead, out: Floats, first_stage: Floats, weight: Floats) -> tuple[LinearHead, float, float]:
    """The head with the first-stage evidence in it, and the weights of the two in it.

    Each counts in units of its own spread on unseen sources. Fitted weights did worse there: they follow whichever of
    the two knows the larger of the sources that are left in.

    Args:
        head: trained on everything, without the first-stage evidence.
        out: (n,) scores of heads that had not seen the row's cluster.
        first_stage: (n,) first-stage LLR in nats from models that had not seen it.
        weight: (n,).
    """
    own, other = (1 / max(_spread(score, weight), 1e-9) for score in (out, first_stage))
    mean, spread, weights = head.mean.copy(), head.spread.copy(), head.weights * own
    mean[-1], spread[-1], weights[-1] = 0.0, 1.0, other
    return LinearHead(weights, mean, spread, head.bias * own), own, other


def _spread(score: Floats, weight: Floats) -> float:
    return float(np.sqrt(np.average((score - np.average(score, weights=weight)) ** 2, weights=weight)))


def train_second_stage(
    crossed: pd.DataFrame, cache: Path, *, cap: int = HEAD_TEXTS, say: ProgressCallback = quiet
) -> TrainedSecondStage:
    """Train the head on a part of a cross-fitted table (`training.text.crossfit_table`).

    Head, stacking and calibration all rest on sources left out: what is fitted says what the evidence is worth there.

    Args:
        crossed: the table.
        cache: folder of embeddings.
        cap: rows of one source and class.
        say: told of progress.
    """
    with threadpool_limits(limits=1):  # so that the weights do not depend on how many cores trained them
        return _train_second_stage(sample(crossed, cap), cache, say)


def _train_second_stage(table: pd.DataFrame, cache: Path, say: ProgressCallback) -> TrainedSecondStage:
    inputs = second_stage_inputs(table, embed_cached(table["text"].tolist(), cache, say))
    label = table["label"].to_numpy().astype(np.int64)
    source = table["source"].to_numpy().astype(str)

    def head_without(rows: NDArray[np.bool_]) -> LinearHead:
        kept = ~rows
        return fit_head(inputs[kept], label[kept], balance(table[kept]), source[kept])

    total, count, near = np.zeros(len(table)), np.zeros(len(table)), np.zeros(len(table))
    folds = cluster_folds(table)
    for index, left_out in enumerate(folds):
        say("leaving sources out of the second stage", index / len(folds))
        total[left_out] += head_without(left_out).score(inputs[left_out])
        count[left_out] += 1
    out = total / np.maximum(count, 1)
    fold = near_folds(table)
    for index in range(NEAR_FOLDS):
        say("leaving threads out of the second stage", index / NEAR_FOLDS)
        near[fold == index] = head_without(fold == index).score(inputs[fold == index])
    weight = balance(table)
    head, own, other = stack(fit_head(inputs, label, weight, source), out, inputs[:, -1].astype(np.float64), weight)
    out = own * out + other * table["llr"].to_numpy() / MILLINAT
    near = own * near + other * table["llr_near"].to_numpy() / MILLINAT
    calibrator = calibrate(table, out, near)
    arrays: dict[str, NDArray[np.generic]] = {
        "weights": head.weights.astype(np.float32),
        "mean": head.mean.astype(np.float32),
        "spread": head.spread.astype(np.float32),
        "bias": np.array([head.bias], dtype=np.float32),
        **calibrator.arrays(),
    }
    assert inputs.shape[1] == INPUTS
    meta = {"languages": dict(calibrator.groups), "encoder_sha256": encoder_digest(encoder_folder())}
    return TrainedSecondStage(table, out, near, calibrator, arrays, meta)


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
    return TrainedSecondStage(table, out, near, calibrator, arrays, meta)
