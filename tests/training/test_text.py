"""Training the text model end to end on made-up sets."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.errors import UsageError
from detector.text.features import TextAbstain
from detector.text.first_stage import FirstStageModel
from streaming.cli import invoke
from tests.training import textsets
from training.linear import FitSettings, design, fit, log_ratios, within_sources
from training.metrics import auroc_at_like_length
from training.text import (
    cluster_folds,
    crossfit,
    crossfit_table,
    first_stage_model,
    near_folds,
    sample,
    text_features_of,
    train_first_stage,
)

QUICK = FitSettings(iterations=15)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return textsets.write(tmp_path_factory.mktemp("data"))


def test_the_command_trains_ships_and_describes_a_model(data: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    arguments = ["text", "--data", str(data), "--out", str(out), "--cache", str(cache), "--no-second-stage"]
    assert invoke(["train", *arguments]) == 0
    model = FirstStageModel.load(out)
    machine, person = "a truly vibrant journey to foster insight", "lol dunno about stuff anyway mate"
    text_features = model.read([machine, person], ["en", "fr"])
    assert text_features["abstain"].tolist() == [TextAbstain.NONE] * 2
    assert text_features["llr"][0] > 300 > -300 > text_features["llr"][1]
    report = json.loads((out / "text.report.json").read_text())
    assert {"style_auroc", "cheap_auroc", "cheap_tpr_at_1pct_fpr"} <= set(report["leave_one_source_out"][0])
    card = (out / "text.card.md").read_text()
    for word in ("electai", "people/tweeteval/irony", "en, fr", "Left out of training on request: nothing"):
        assert word in card
    rows = crossfit(data, cache)  # what the command left in its cache, without training again
    assert (text_features_of(rows)["llr"] == rows["llr"]).all()


def test_an_excluded_generator_is_not_learned_from(data: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(data), "--out", str(tmp_path), "--cache", str(tmp_path / "cache"), "--no-second-stage"]
    assert invoke(["train", "text", *arguments, "--exclude", "frontier_social"]) == 0
    meta = json.loads((tmp_path / "text.json").read_text())
    assert meta["excluded"] == ["frontier_social"]
    assert not any(record["set"] == "frontier_social" for record in meta["report"]["sources"])


def test_training_is_seeded(data: Path) -> None:
    first, again = (train_first_stage(data, seed=3, settings=QUICK) for _ in range(2))
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in first.arrays)
    assert first_stage_model(first).version == first_stage_model(again).version


def test_masks_alone_are_worth_nothing(tmp_path: Path) -> None:
    trained = train_first_stage(textsets.write(tmp_path, telling=0.0, rows=150), settings=QUICK)
    label, words = trained.table["label"].to_numpy(), trained.table["words"].to_numpy()
    assert abs(auroc_at_like_length(trained.cross.near, label, words) - 0.5) < 0.09


def test_cross_fitted_scores_know_words_that_sources_share(data: Path) -> None:
    trained = train_first_stage(data, settings=QUICK)
    rows = crossfit_table(trained, first_stage_model(trained))
    label, words = rows["label"].to_numpy(), rows["words"].to_numpy()
    for score in ("raw", "raw_near", "llr"):
        assert auroc_at_like_length(rows[score].to_numpy().astype(float), label, words) > 0.85


def test_folds_leave_out_whole_clusters_and_whole_authors(data: Path) -> None:
    table = train_first_stage(data, settings=FitSettings(iterations=1)).table
    for left_out in cluster_folds(table):
        inside = set(table.loc[left_out, "cluster"])
        assert not inside & set(table.loc[~left_out, "cluster"])
    assert np.sum(cluster_folds(table), axis=0).min() >= 1
    fold = near_folds(table)
    assert table.assign(fold=fold).groupby(["set", "author_id"])["fold"].nunique().max() == 1


def test_a_sample_takes_texts_from_everywhere_and_always_the_same() -> None:
    table = pd.DataFrame({"text": [f"text {i:03}" for i in range(400)], "source": "s", "label": [0, 1] * 200})
    taken = sample(table, 50)
    assert taken.groupby("label").size().tolist() == [50, 50]
    assert taken["text"].is_monotonic_increasing
    assert taken["text"].iloc[-1] > "text 300"
    assert taken.equals(sample(table, 50))


def test_the_fit_finds_the_minimum_of_a_convex_loss() -> None:
    texts = ["alpha beta gamma delta", "omega psi chi phi"] * 20
    label = np.array([1, 0] * 20)
    rows, weight = design(texts), np.ones(40)
    loose, tight = (
        fit(rows, label, weight, np.full(40, "s"), FitSettings(penalty=p, ratio_share=0)) for p in (1e-4, 1e-1)
    )
    assert (loose.score(rows)[label == 1] > 0).all()
    assert (loose.score(rows)[label == 0] < 0).all()
    assert np.abs(tight.weights).sum() < np.abs(loose.weights).sum()


def test_ratios_within_sources_know_nothing_of_sources_with_one_class() -> None:
    grams = design(["alpha beta"] * 20 + ["alpha gamma"] * 20 + ["beta delta"] * 40).grams
    label = np.repeat([1, 0, 1], [20, 20, 40])
    ratio = within_sources(grams, label, np.repeat(["both", "machines"], 40))
    alpha, beta, gamma, delta = (set(design([one]).grams.indices) for one in ("alpha", "beta", "gamma", "delta"))
    assert np.abs(ratio[list(delta - beta - gamma - alpha)]).max() == 0
    assert ratio[list(beta - alpha - gamma - delta)].min() > 5 > -5 > ratio[list(gamma - alpha - beta - delta)].max()


def test_log_ratios_count_weighted_texts() -> None:
    rows = design(["alpha beta", "alpha gamma", "beta delta"]).grams
    ratio = log_ratios(rows, np.array([1, 1, 0]), np.array([3.0, 1.0, 1.0]), smoothing=0.5)
    both, machine, people = (design([word]).grams.indices for word in ("beta", "alpha", "delta"))
    assert ratio[np.setdiff1d(machine, np.concatenate([both, people]))].max() == pytest.approx(np.log(3))
    assert ratio[np.setdiff1d(people, np.concatenate([both, machine]))].min() == pytest.approx(-np.log(3))
    assert np.median(ratio[both]) == pytest.approx(np.log((0.75 + 0.5) / (1.0 + 0.5)))


def test_every_subcommand_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["train", "--help"]) == 0
    told = capsys.readouterr().out
    rows = dict(re.findall(r"^  (\w+) +(\w.+)$", told.split("Commands:")[1], flags=re.MULTILINE))
    assert set(rows) == {"text", "account", "graph", "fusion", "decisions", "sample", "shadow"}
    with pytest.raises(UsageError, match="nonsense"):
        invoke(["train", "nonsense"])
    with pytest.raises(UsageError, match="--report leave-one-source-out"):
        invoke(["train", "text", "--data", "x"])


def test_a_cached_table_keeps_its_columns(data: Path, tmp_path: Path) -> None:
    rows = crossfit(data, tmp_path)
    assert isinstance(rows, pd.DataFrame)
    wanted = ["text", "label", "source", "generator", "author_id", "parent_id", "lang", "group", "llr", "llr_near"]
    assert set(wanted) <= set(rows)
