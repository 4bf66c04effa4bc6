"""Societies to learn from, calibration of increments, and a graph model trained by the command into a bundle."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detector.models import SavedWeights
from graph.links import SageModel
from simulation.population_config import PopulationConfig
from tests.training.twins import example, traces_of
from training import train_cli
from training.links import Judgements, TrainingPlan, ablation, calibration, increments, rising
from training.metrics import auroc
from training.societies import FAMILIES, Societies, at_ms, drawn_evidence, shuffled, society_toml
from training.system import BUNDLE_FILES


def test_societies_are_ones_that_the_simulator_takes_and_every_family_occurs() -> None:
    seen: Counter[str] = Counter()
    for seed in range(30):
        society = msgspec.convert(tomllib.loads(society_toml(np.random.default_rng(seed))), PopulationConfig)
        seen.update(operator.name for operator in society.operators)
    assert set(seen) == set(FAMILIES)
    assert society_toml(np.random.default_rng(3)) == society_toml(np.random.default_rng(3))


def test_a_shuffle_keeps_who_is_active_when_and_what_is_popular_when(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {"id": f"e{i}", "account": f"u{rng.integers(9)}", "at": int(i * 60_000), "kind": "post", "urls": [f"l{i % 7}"]}
        for i in range(1000)
    ]
    given, mixed = tmp_path / "given.jsonl", tmp_path / "mixed.jsonl"
    given.write_text("\n".join(map(json.dumps, rows)))
    shuffled(given, mixed, 1)
    found = [json.loads(line) for line in mixed.read_text().splitlines()]
    block = 6 * 3_600_000
    for column in ("account", "urls"):
        of = [Counter((row["at"] // block, str(row[column])) for row in each) for each in (rows, found)]
        assert of[0] == of[1]
    assert sum(a["account"] != b["account"] for a, b in zip(rows, found, strict=True)) > 700
    assert at_ms("1970-01-01T00:01:00Z") == at_ms(60_000)


def judgements(effect: float, seed: int = 0) -> Judgements:
    """Machines in campaigns of ten among people, whose logit is a normal LLR of strength `effect`."""
    rng = np.random.default_rng(seed)
    people, machines = 8000, 600
    label = np.r_[np.zeros(people), np.ones(machines)].astype(np.int64)
    logit = (label - 0.5) * effect**2 + rng.normal(size=len(label)) * max(effect, 0.1)
    cluster = np.r_[np.arange(people), people + np.arange(machines) // 10]
    n = len(label)
    return Judgements(
        logit, np.ones(n, bool), np.zeros(n), np.zeros(n), np.full(n, np.log(machines / people)), label, cluster,
        np.where(label == 1, "waves", "ordinary"), np.ones(n, bool),
    )  # fmt: skip


def test_increments_are_log_likelihood_ratios_bounded_towards_nothing() -> None:
    knots, values = calibration(judgements(1.2), 0)
    assert (np.diff(values) >= 0).all()
    between = np.abs(knots) < 2
    assert (np.abs(values[between]) <= np.abs(knots[between]) + 0.25).all()
    assert values[-1] > 1.0
    fresh = judgements(1.2, seed=5)
    found = ablation(fresh, increments(fresh, knots, values), 0)
    assert found["gain in nats"][1] > 0.1


def test_where_there_is_nothing_to_gain_increments_are_nothing() -> None:
    knots, values = calibration(judgements(0.0), 0)
    assert np.abs(values).max() < 0.35
    fresh = judgements(0.0, seed=5)
    assert ablation(fresh, increments(fresh, knots, values), 0)["gain in nats"][1] <= 0


def test_rising_pools_what_falls() -> None:
    assert rising(np.array([1.0, 0.0, 2.0]), np.array([1.0, 3.0, 1.0])).tolist() == [0.25, 0.25, 2.0]


def test_made_up_evidence_is_a_calibrated_ratio() -> None:
    one = example(1, traces_of(1))
    rng = np.random.default_rng(0)
    drawn = [drawn_evidence(one, rng, speaks=True) for _ in range(150)]
    llr = np.concatenate([own.llr[own.speaks] for own in drawn])
    label = np.concatenate([one.label[own.speaks] for own in drawn])
    assert 0.6 < auroc(label, llr) < 0.9
    # E[exp(LLR)] over people is 1 for an exact ratio, and E[exp(-LLR)] over those it is about, members of campaigns,
    # who are drawn a little less spread.
    assert abs(np.exp(llr[label == 0]).mean() - 1.0) < 0.05
    assert abs(np.exp(-llr[label == 1]).mean() - 1.0) < 0.1
    for own in drawn[:5]:
        assert not own.standing[~own.speaks].any()
        assert (np.diff(own.standing[own.speaks][np.argsort(own.llr[own.speaks])]) >= 0).all()
    silent = drawn_evidence(one, rng, speaks=False)
    assert not silent.speaks.any()
    assert not silent.llr.any()
    assert not silent.coordination.any()


def test_what_is_written_is_part_of_a_bundle_and_says_what_it_is_worth(tmp_path: Path) -> None:
    ones = [example(seed, traces_of(seed)) for seed in (1, 2, 3, 4)]
    broken = [example(5, traces_of(5))]
    societies = Societies(ones[:2], ones[2:3], ones[3:], broken, {"train": 2, "calibrate": 1, "test": 1})
    plan = TrainingPlan(width=8, bases=2, epochs=12)
    meta = train_cli.train(societies, tmp_path, 0, lambda what, share: None, plans=(plan,))
    saved = SavedWeights.load(tmp_path / "graph")
    model = SageModel.of(saved)
    assert "graph" in BUNDLE_FILES
    assert (model is None) == bool(meta["abstains"])
    assert saved.version.startswith("1.")
    card = (tmp_path / "graph.card.md").read_text()
    assert "gain in nats" in card
    assert "member" in card
