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
from training.linear import FitSettings
from training.model_reports import second_stage_report
from training.second_stage import TrainedSecondStage, calibrate_named, train_second_stage
from training.text import TrainedFirstStage, crossfit_table, first_stage_model, train_first_stage

MACHINE = "a truly vibrant journey to foster insight and tapestry"
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


def test_the_head_is_trained_calibrated_and_described(trained: TrainedFirstStage, tmp_path: Path) -> None:
    crossed = crossfit_table(trained, first_stage_model(trained))
    second_stage = train_second_stage(crossed, tmp_path, cap=30)
    again = train_second_stage(crossed, tmp_path, cap=30)  # embeddings from the cache
    assert np.array_equal(second_stage.arrays["weights"], again.arrays["weights"])
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


def test_a_named_model_that_knows_nothing_leaves_the_cheap_evidence_its_weight(
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
