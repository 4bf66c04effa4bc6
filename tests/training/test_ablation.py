"""The ablation's folds, figures and page; and a bundle whose graph model has learned nothing from some families."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from detector.evidence import COMPONENTS
from detector.models import SHIPPED, SavedWeights
from graph.links import SageModel
from tests.training.twins import example, traces_of
from training.ablation import figures, folds, leave_out, page
from training.evaluate import EvaluationTable
from training.links import TrainingPlan
from training.societies import FAMILIES, society_toml

COUNT = 40


def accounts(components: dict[str, float]) -> EvaluationTable:
    """Ten campaigns of two machines and as many people; a component of strength x gives machines x nats more."""
    label = np.repeat([1, 0], COUNT // 2)
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=COUNT) * 0.5 + components.get(component, 0.0) * label for component in COMPONENTS]
    campaign = np.where(label == 1, np.char.add("c", (np.arange(COUNT) // 2).astype(str)), "")
    nothing = np.zeros(COUNT)
    return EvaluationTable(
        [f"u{i}" for i in range(COUNT)], label, campaign, campaign, np.stack(columns, axis=1), nothing > 0,
        nothing, campaign, campaign,
    )  # fmt: skip


def test_every_family_is_left_out_once_and_a_society_can_be_of_some_alone() -> None:
    assert sorted(name for fold in folds() for name in fold) == sorted(FAMILIES)
    society = tomllib.loads(society_toml(np.random.default_rng(1), folds()[0], (900, 950), "demo"))
    assert sorted(operator["name"] for operator in society["operators"]) == sorted(folds()[0])
    assert 900 <= society["accounts"] <= 950
    assert society["texts"] == {"people": "demo", "machines": "demo"}


def test_what_a_part_adds_is_the_difference_of_the_rankings_with_and_without_it() -> None:
    found = figures(accounts({"behaviour": 1.0, "graph": 3.0}), COMPONENTS, "x", 0, 50)
    assert (found.people, found.machines, found.campaigns) == (20, 20, 10)
    rows = [found.rows[" + ".join(COMPONENTS[: i + 1])]["auroc"][0] for i in range(len(COMPONENTS))]
    assert found.adds["graph"][0] == pytest.approx(rows[3] - rows[2])
    assert found.adds["behaviour"][0] == pytest.approx(rows[1] - rows[0])
    assert found.adds["graph"][1] > 0
    value, low, high = found.adds["coordination"]
    assert low <= value <= high
    assert low < 0
    without = figures(accounts({"graph": 3.0}), COMPONENTS[1:], "x", 0, 10)
    assert list(without.adds) == list(COMPONENTS[1:])


def test_a_bundle_without_some_families_has_a_graph_model_that_speaks_and_is_kept(tmp_path: Path) -> None:
    ones = [example(seed, traces_of(seed)) for seed in (1, 2)]
    leave_out(ones, ones, ["waves", "drip"], SHIPPED, tmp_path, 0, TrainingPlan(width=8, bases=2, epochs=2))
    saved = SavedWeights.load(tmp_path / "graph")
    assert SageModel.of(saved) is not None
    assert saved.version == "0.without-waves-drip"
    assert {path.stem for path in tmp_path.glob("*.safetensors")} >= {
        path.stem for path in SHIPPED.glob("*.safetensors")
    }
    before = (tmp_path / "graph.safetensors").read_bytes()
    leave_out([], [], ["waves", "drip"], SHIPPED, tmp_path, 0)
    assert (tmp_path / "graph.safetensors").read_bytes() == before


def test_the_page_says_what_was_measured_and_marks_what_is_shown() -> None:
    one = vars(figures(accounts({"graph": 3.0}), COMPONENTS, "a stream", 0, 50))
    found = {
        "figures": {"with text": [one], "without text": []},
        "models": {"cheap": "cheap@1"},
        "spoke": 7,
        "accounts": 40,
        "societies": 4,
    }
    text = page(found)
    assert "`cheap@1`" in text
    assert "| a stream | 20, 20, 10 |" in text
    assert "| graph adds |" in text
    value, low, high = one["adds"]["graph"]
    assert f"**{value:+.3f} [{low:+.3f}, {high:+.3f}]**" in text
    value, low, high = one["adds"]["coordination"]
    assert f"| {value:+.3f} [{low:+.3f}, {high:+.3f}] |" in text
    assert "## Without text" not in text
    assert "The graph component adds on: a stream." in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
