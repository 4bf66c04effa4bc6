"""Training the MiniLM expert's head: a linear layer over frozen embeddings, style, and the cheap model's evidence."""

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

from detector.evidence import MILLINAT
from detector.text.calibration import Calibrator
from detector.text.embedding import DIM, LAYERS, Encoder
from detector.text.encode import encode
from detector.text.minilm import INPUT_LIMIT, INPUTS, encoder_digest, encoder_folder
from detector.text.style import FOR_TEXT, styles
from training.datasets import balance
from training.text import Say, calibrate, cluster_folds, quiet, sample

CAP: Final = 250
"""Rows of one source and class: the encoder reads some hundred and seventy texts a second and core."""

STRENGTH: Final = 1e-3
"""scikit-learn's C of the head: with a thousand inputs that overlap, weak evidence from each."""

BATCH: Final = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Head:
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
class TrainedExpert:
    """What one training of the head made; `out` (n,) are scores of `table`'s rows by heads that had not seen them."""

    table: pd.DataFrame
    out: Floats
    calibrator: Calibrator
    arrays: dict[str, NDArray[np.generic]]
    meta: dict[str, Any]


def embed_cached(texts: Sequence[str], cache: Path, say: Say = quiet) -> NDArray[np.float32]:
    """Embeddings of `texts`, (n, len(LAYERS) * DIM), kept in `cache` under a name that says which texts and encoder."""
    digest = hashlib.sha256("\0".join([encoder_digest(encoder_folder()), str(LAYERS), *texts]).encode()).hexdigest()
    path = cache / f"minilm-{digest[:12]}.npy"
    if path.is_file():
        kept: NDArray[np.float16] = np.load(path, allow_pickle=False)
        return kept.astype(np.float32)
    encoder = Encoder(encoder_folder())
    out = np.zeros((len(texts), len(LAYERS) * DIM), dtype=np.float16)
    order = np.argsort([len(text) for text in texts], kind="stable")  # texts of like length waste little padding
    for begin in range(0, len(texts), BATCH):
        say("embedding", begin / len(texts))
        rows = order[begin : begin + BATCH]
        out[rows] = encoder.embed_together([texts[row] for row in rows])
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, out, allow_pickle=False)
    return out.astype(np.float32)


def fit_head(inputs: NDArray[np.float32], label: NDArray[np.int64], weight: Floats) -> Head:
    """L2-regularised logistic regression on standardised, clipped inputs. Lengths and case stay unused, as in cheap."""
    used = np.concatenate([np.ones(len(LAYERS) * DIM, dtype=bool), FOR_TEXT, [True]])
    mean = np.average(inputs.astype(np.float64), axis=0, weights=weight)
    spread = np.sqrt(np.average((inputs - mean) ** 2, axis=0, weights=weight)) + 1e-3
    z = (np.clip((inputs - mean) / spread, -INPUT_LIMIT, INPUT_LIMIT) * used).astype(np.float32)
    model = LogisticRegression(C=STRENGTH, max_iter=100, tol=1e-3).fit(z, label, sample_weight=weight)
    return Head(model.coef_[0].astype(np.float64) * used, mean, spread, float(model.intercept_[0]))


def expert_inputs(table: pd.DataFrame, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, INPUTS): embedding, style, cross-fitted cheap LLR in nats."""
    style = styles(encode(table["text"].tolist())).astype(np.float32)
    cheap = table["llr"].to_numpy().astype(np.float32)[:, None] / MILLINAT
    return np.concatenate([embedding, style, cheap], axis=1)


def train_expert(crossed: pd.DataFrame, cache: Path, *, cap: int = CAP, say: Say = quiet) -> TrainedExpert:
    """Train the head on a part of a cross-fitted table (`training.text.crossfit_table`).

    The cheap evidence that the head sees is cross-fitted, so it learns what that is worth on unseen sources; its own
    calibration, too, is on sources left out of the head.
    """
    table = sample(crossed, cap)
    inputs = expert_inputs(table, embed_cached(table["text"].tolist(), cache, say))
    label = table["label"].to_numpy().astype(np.int64)
    total, count = np.zeros(len(table)), np.zeros(len(table))
    folds = cluster_folds(table)
    for index, left_out in enumerate(folds):
        say("leaving sources out of the expert", index / len(folds))
        head = fit_head(inputs[~left_out], label[~left_out], balance(table[~left_out]))
        total[left_out] += head.score(inputs[left_out])
        count[left_out] += 1
    out = total / np.maximum(count, 1)
    calibrator = calibrate(table, out)
    head = fit_head(inputs, label, balance(table))
    arrays: dict[str, NDArray[np.generic]] = {
        "weights": head.weights.astype(np.float32),
        "mean": head.mean.astype(np.float32),
        "spread": head.spread.astype(np.float32),
        "bias": np.array([head.bias], dtype=np.float32),
        **calibrator.arrays(),
    }
    assert inputs.shape[1] == INPUTS
    meta = {"languages": dict(calibrator.groups), "encoder_sha256": encoder_digest(encoder_folder())}
    return TrainedExpert(table, out, calibrator, arrays, meta)
