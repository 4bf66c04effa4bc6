"""The second stage is asked about a text once, and its budget is measured beside reading everything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.errors import UsageError
from tests.streaming.assess.fakes import EchoSecondStage, models
from tests.streaming.assess.harness import posts
from training.reading_budget import RememberingSecondStage, reading_costs


def test_an_answer_is_remembered_and_still_counted_as_asked() -> None:
    echo = EchoSecondStage()
    reader = RememberingSecondStage(echo)
    first = np.array([5, 7, 5], np.int16)
    for _ in range(2):
        said = reader.score(["a", "b", "a"], ["en"] * 3, first)
        assert said.tolist() == [1005, 1007, 1005]
    assert echo.asked == ["a", "b"]
    assert reader.asked == 6
    assert reader.score(["a"], ["en"], np.array([6], np.int16)).tolist() == [1006], "another question"


def test_reading_without_limit_reads_more_than_the_budget_allows(tmp_path: Path) -> None:
    mild, human = "robot said the old man here", "human human human human human human human human here"
    items = [*posts("ann", 9, mild), *posts("bob", 9, human, start=7), *posts("eve", 9, mild, start=9)]
    path = tmp_path / "stream.jsonl"
    path.write_text("\n".join(json.dumps(item) for item in sorted(items, key=lambda item: int(item["at"]))))
    truth = {"ann": {"label": 1}, "bob": {"label": 0}, "eve": {"label": 1}}
    whole, budget = reading_costs(path, truth, models(EchoSecondStage()), tmp_path)
    assert whole["texts"] == budget["texts"] == 27
    assert whole["reads"] > budget["reads"] > 0
    assert budget["share"] <= 0.15
    assert whole["auroc"] == budget["auroc"] == 1.0
    with pytest.raises(UsageError, match="no second stage"):
        reading_costs(path, truth, models(), tmp_path)
