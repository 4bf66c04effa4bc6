"""A calibrator for a Hugging Face model that a user names as the expert: nothing of the model itself is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from detector.evidence import MILLINAT
from detector.text.huggingface import KIND, RawScorer
from training.datasets import balance
from training.expert import TrainedExpert
from training.text import Say, calibrate, quiet, sample

CAP: Final = 60
"""Texts of one source and class that the model reads: three numbers are fitted, and a causal LM reads ten a second."""


def calibrate_named(
    crossed: pd.DataFrame, model: str, *, machine_label: int = -1, cap: int = CAP, say: Say = quiet
) -> TrainedExpert:
    """Mix a model's own number with the cross-fitted cheap LLR, and calibrate the mix by length and language.

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
    return TrainedExpert(table, out, near, calibrator, arrays, meta)
