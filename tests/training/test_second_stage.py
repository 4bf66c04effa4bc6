"""Training the shipped second stage's head, and calibrating a model that a user names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.models import load_second_stage
from detector.text.huggingface import HuggingFaceClassifier
from detector.text.second_stage import FILE, MiniLMSecondStage, SecondStageModel
from detector.weights_io import save_weights
from tests.detector.text.test_huggingface import tiny_classifier
from tests.training import textsets
from training.cards import second_stage_card
from training.fine_tuning import FineTuning
from training.linear import FitSettings
from training.model_reports import second_stage_report
from training.second_stage import (
    SOURCE_FOLDS,
    TrainedSecondStage,
    calibrate_named,
    source_folds,
    train_second_stage,
)
from training.text import TrainedFirstStage, crossfit_table, first_stage_model, train_first_stage

MACHINE = "a truly vibrant journey to foster insight and tapestry"
CAP = 12
"""Texts of a source and class: the encoder learns from a hundred texts a second."""

PERSON = "lol dunno about stuff anyway mate, grandma took the bus"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFirstStage:
    data = textsets.write(tmp_path_factory.mktemp("data"), rows=50)
    return train_first_stage(data, settings=FitSettings(iterations=10))


def shipped(second_stage: TrainedSecondStage, folder: Path) -> SecondStageModel:
    """The second stage as a run would load it."""
    save_weights(folder / FILE, second_stage.arrays, {"name": "minilm", **second_stage.meta, "version": "1"})
    loaded = load_second_stage(folder)
    assert loaded is not None
    return loaded


def test_the_encoder_is_tuned_calibrated_and_described(trained: TrainedFirstStage, tmp_path: Path) -> None:
    crossed = crossfit_table(trained, first_stage_model(trained))
    settings = FineTuning(rate=1e-3)
    second_stage = train_second_stage(crossed, tmp_path / "cache", cap=CAP, settings=settings)
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == SOURCE_FOLDS + 1
    again = train_second_stage(crossed, tmp_path / "cache", cap=CAP, settings=settings)
    assert sorted((tmp_path / "cache").iterdir()) == kept  # nothing is tuned twice
    assert all(np.array_equal(value, again.arrays[name]) for name, value in second_stage.arrays.items())
    report = second_stage_report(second_stage, trained, seed=0, draws=3)
    assert {"style_auroc", "cheap_auroc", "full_auroc"} <= set(report["leave_one_source_out"][0])
    card = second_stage_card(
        {"name": "minilm", "version": "1", "excluded": [], "seed": 0, "report": report, **second_stage.meta}
    )
    assert "MiniLM" in card
    model = shipped(second_stage, tmp_path)
    assert isinstance(model, MiniLMSecondStage)
    llr = model.score([MACHINE, PERSON], ["en", "en"], np.array([900, -900], dtype=np.int16))
    assert llr[0] > 300 > -300 > llr[1]


def test_each_source_is_left_out_by_one_model(trained: TrainedFirstStage) -> None:
    table = trained.table
    fold = source_folds(table)
    assert set(fold.tolist()) == set(range(SOURCE_FOLDS))
    clusters = table.assign(fold=fold).groupby("cluster")["fold"].nunique()
    assert (clusters == 1).all()
    for left_out in range(SOURCE_FOLDS):  # what is left holds both classes
        assert set(table.loc[fold != left_out, "label"]) == {0, 1}


def test_a_named_model_that_knows_nothing_leaves_the_first_stage_its_weight(
    trained: TrainedFirstStage, tmp_path: Path
) -> None:
    model = tiny_classifier(tmp_path)
    crossed = crossfit_table(trained, first_stage_model(trained))
    named = calibrate_named(crossed, model, cap=30)
    assert named.arrays["mix"][1] > 0.5
    second_stage = shipped(named, tmp_path)
    assert isinstance(second_stage, HuggingFaceClassifier)
    llr = second_stage.score([MACHINE] * 2, ["en"] * 2, np.array([900, -900], dtype=np.int16))
    assert llr[0] > llr[1]
    card = second_stage_card(
        {**named.meta, "version": "1", "excluded": [], "seed": 0, "report": second_stage_report(named, trained, 0)}
    )
    assert model in card
