"""What a component adds: the runs that are compared, the figures, and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import UsageError
from detector.evidence import COMPONENTS, Component
from tests.training.society_data import SMALL, text_sets
from training import ablation, society_plan
from training.ablation import CONDITIONS, LabelledRecording, ablate, figures, held_out, page, run, side_by_side
from training.evaluate import EvaluationTable

STRENGTH = {"text": 1.0, "behaviour": 0.0, "coordination": 0.0, "graph": 3.0}
"""Nats that each component of the stand-in gives a machine."""


class Bundle:
    """A models directory of one model, and a system that gives machines what their components are worth."""

    def __init__(self, place: Path, truth: dict[str, int]) -> None:
        self.place, self.truth = place, truth
        self.runs: list[tuple[str, ...]] = []
        place.mkdir()
        self.upgrade("1")

    def upgrade(self, version: str) -> None:
        (self.place / "text.json").write_text(json.dumps({"name": "text", "version": version}))

    def system(self, inputs: Sequence[Path], models: Path, *, scores: Path, without: Sequence[str]) -> None:
        self.runs.append(tuple(without))
        rng = np.random.default_rng(0)
        rows: list[dict[str, Any]] = []
        for name, label in self.truth.items():
            noise = rng.normal(size=len(COMPONENTS)) * 0.5
            llr = {
                part: 0.0 if part in without else STRENGTH[part] * label + float(noise[n])
                for n, part in enumerate(COMPONENTS)
            }
            rows.append({"account": name, "llr": llr, "flagged": False})
        scores.write_text("\n".join(map(json.dumps, rows)))


TRUTH = {f"u{n:03d}": int(n < 20) for n in range(60)}
"""Twenty machines, two in each campaign, and forty people."""


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    made = Bundle(tmp_path / "models", TRUTH)
    monkeypatch.setattr(ablation, "run_system", made.system)
    return made


@pytest.fixture
def recording(tmp_path: Path) -> LabelledRecording:
    events, truth = tmp_path / "town.jsonl", tmp_path / "town.truth.jsonl"
    events.write_text("{}\n")
    truth.write_text("\n".join(
        json.dumps({"account": name, "label": label, "campaign": f"c{n // 2}" if label else None})
        for n, (name, label) in enumerate(TRUTH.items())
    ))  # fmt: skip
    return LabelledRecording("town", events, truth)


def test_every_component_is_added_to_those_before_with_text_and_without(
    bundle: Bundle, recording: LabelledRecording, tmp_path: Path
) -> None:
    out, saved = tmp_path / "page.md", tmp_path / "figures.json"

    def measure() -> None:
        given = [recording.events, recording.truth]
        models, work = bundle.place, tmp_path / "work"
        assert ablate(given, out=out, figures_file=saved, models=models, work=work, draws=30) == 0

    measure()
    assert bundle.runs == [
        ("behaviour", "coordination", "graph"), ("coordination", "graph"), ("graph",), (),
        ("text", "coordination", "graph"), ("text", "graph"), ("text",),
    ]  # fmt: skip
    found = json.loads(saved.read_text())
    (with_text,), (without,) = (found["figures"][name] for name in CONDITIONS)
    assert (with_text["people"], with_text["machines"], with_text["campaigns"]) == (40, 20, 10)
    assert [row["row"] for row in with_text["rows"]] == ["text", "+ behaviour", "+ coordination", "+ graph"]
    assert [row["row"] for row in without["rows"]] == ["behaviour", "+ coordination", "+ graph"]
    assert with_text["rows"][-1]["adds"][1] > 0  # the graph is shown to add
    value, low, high = with_text["rows"][1]["adds"]
    assert low <= value <= high
    assert low <= 0  # behaviour is not

    text = out.read_text()
    assert "`text@1`" in text
    assert "| town | 40, 20, 10 | text |" in text
    value, low, high = without["rows"][-1]["adds"]
    assert f"**{value:+.3f} [{low:+.3f}, {high:+.3f}]** |" in text
    assert "**Societies**" not in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120

    before = len(bundle.runs)
    measure()
    assert len(bundle.runs) == before  # scores of the same models are kept
    bundle.upgrade("2")
    measure()
    assert len(bundle.runs) == 2 * before


def test_what_is_added_is_the_difference_of_the_rankings(
    bundle: Bundle, recording: LabelledRecording, tmp_path: Path
) -> None:
    nested: list[list[Component]] = [["text"], ["text", "graph"]]
    runs = [run(recording, kept, bundle.place, tmp_path) for kept in nested]
    both = side_by_side(runs)
    assert np.allclose(both.components[:, 1], runs[1].score())
    text, graph = figures(both, ["text", "+ graph"], 0, 20)
    assert text["adds"][0] == pytest.approx(text["auroc"][0] - 0.5)
    assert graph["adds"][0] == pytest.approx(graph["auroc"][0] - text["auroc"][0])
    assert graph["tpr"][0] > text["tpr"][0]
    assert all(each.startswith(tuple("0123456789abcdef")) for each in set(both.campaign.tolist()) - {""})


def test_accounts_without_a_row_are_the_lowest(bundle: Bundle, recording: LabelledRecording, tmp_path: Path) -> None:
    bundle.truth = {name: label for name, label in TRUTH.items() if name != "u000"}
    found = side_by_side([run(recording, COMPONENTS, bundle.place, tmp_path)])
    assert found.components[0, 0] < found.components[1:, 0].min()


def test_societies_are_pooled_under_one_name(bundle: Bundle, recording: LabelledRecording, tmp_path: Path) -> None:
    other = LabelledRecording("societies", tmp_path / "other.jsonl", recording.truth)
    other.events.write_text("{}\n{}\n")
    both = [replace(recording, name="societies"), other]
    found = ablation.measure_all(both, bundle.place, tmp_path / "w", seed=0, draws=5, say=lambda what, share: None)
    assert found["societies"] == 2
    for condition in CONDITIONS:
        (one,) = found["figures"][condition]
        assert (one["people"], one["machines"], one["campaigns"]) == (80, 40, 20)  # a campaign of each is its own
    assert "**Societies** (2)" in page(found)


def test_held_out_societies_are_others_than_those_of_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(society_plan, "DAYS", (1.0, 1.0))
    monkeypatch.setattr(society_plan, "STEP_MINUTES", (60.0, 60.0))
    made = held_out(text_sets(tmp_path), tmp_path / "work", 1, 3, lambda what, share: None, SMALL)
    assert [each.events.parent.name for each in made] == ["500003-000"]
    label = json.loads((made[0].events.parent / "made.json").read_text())
    assert label["without"] == ["contest-dev", "frontier_posts"]
    assert label["role"] != "train"


def test_nothing_to_measure_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give --stream EVENTS TRUTH or --data DIR"):
        ablate(out=tmp_path / "page.md")


def test_a_table_of_one_column_is_ranked_by_it() -> None:
    label = np.array([1, 1, 0, 0])
    nothing = np.zeros(4)
    names = np.array(["a", "", "", ""])
    given = EvaluationTable(
        ["a", "b", "c", "d"], label, names, names, np.array([[3.0], [2.0], [1.0], [0.0]]), nothing > 0, nothing,
        names, names,
    )  # fmt: skip
    (only,) = figures(given, ["text"], 0, 10)
    assert only["auroc"][0] == 1.0
