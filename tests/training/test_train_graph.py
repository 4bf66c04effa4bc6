"""`swarmlight train graph` from texts to a model that runs at work, on societies of some dozens of accounts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from detector.errors import UsageError
from detector.models import SavedWeights
from graph.pair_model import FEATURES, PairModel
from streaming.cli import invoke
from tests.training.society_data import SMALL, WordEncoder, text_sets
from training import pair_network, pair_training, same_controller, society_plan
from training.same_controller import KEPT_TO_MEASURE
from training.society_texts import make_societies


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> WordEncoder:
    """The stand-in that the command reads texts with; societies are small and short, and networks hardly trained."""
    made = WordEncoder()
    monkeypatch.setattr(same_controller, "MeaningEncoder", lambda: made)
    monkeypatch.setattr(same_controller, "make_societies", partial(make_societies, accounts=SMALL))
    monkeypatch.setattr(same_controller, "TABLES", ("texts", "societies"))
    monkeypatch.setattr(society_plan, "DAYS", (1.0, 1.0))
    monkeypatch.setattr(society_plan, "STEP_MINUTES", (60.0, 60.0))
    monkeypatch.setattr(pair_network, "EPOCHS", 1)
    monkeypatch.setattr(pair_training, "CUTS", (-2.0, -1.0, 0.0))
    return made


def test_it_writes_a_model_that_runs_and_a_card_that_says_how_it_was_measured(
    encoder: WordEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = text_sets(tmp_path)
    out, work = tmp_path / "models", tmp_path / "work"
    given = ["train", "graph", "--data", str(data), "--work", str(work), "--societies", "4", "--draws", "1"]
    given += ["--without", "chitchat", "ira-dev"]
    assert invoke([*given, "--out", str(out)]) == 0
    model = PairModel.of(SavedWeights.load(out / "graph"))
    assert (model.coefficients >= 0).all()
    assert model.coefficients.sum() > 0
    saved = SavedWeights.load(out / "graph").meta
    assert saved["report"]["without"] == sorted(["chitchat", "ira-dev", *KEPT_TO_MEASURE])
    card = (out / "graph.card.md").read_text()
    assert all(f"| {name} |" in card for name in FEATURES)
    for said in ("| frontier_campaigns | made for this work |", "Regression or network", "No real operation."):
        assert said in card
    printed = capsys.readouterr().out
    assert "Sets of campaign texts left out" in printed
    assert "regression" in printed
    assert encoder.read

    before = len(encoder.read)
    again = tmp_path / "again"
    for place in work.glob("*/pairs.npz"):
        place.unlink()
    assert invoke([*given, "--out", str(again)]) == 0
    assert len(encoder.read) == before  # each text is read once
    assert (again / "graph.json").read_bytes() == (out / "graph.json").read_bytes()


def test_too_few_societies_and_pools_that_are_not_kept_are_refused(tmp_path: Path) -> None:
    given = ["train", "graph", "--data", str(tmp_path), "--out", str(tmp_path / "models")]
    with pytest.raises(UsageError, match="3 societies are too few"):
        invoke([*given, "--societies", "3"])
    with pytest.raises(UsageError, match=r"synthpai.* is none of contest-dev, frontier_posts"):
        invoke([*given, "--with", "synthpai"])
    with pytest.raises(UsageError, match="no texts of"):
        invoke([*given, "--work", str(tmp_path / "work"), "--without", "chitchat"])


def test_what_is_kept_to_measure_is_used_where_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    asked: list[list[str]] = []

    def stop(*_: object, without: list[str], **__: object) -> None:
        asked.append(without)
        raise StoppedError

    monkeypatch.setattr(same_controller, "make_societies", stop)
    given = ["train", "graph", "--data", str(tmp_path), "--out", str(tmp_path), "--work", str(tmp_path)]
    for more in ([], ["--with", "frontier_posts"]):
        with pytest.raises(StoppedError):
            invoke([*given, *more])
    assert asked == [["contest-dev", "frontier_posts"], ["contest-dev"]]
