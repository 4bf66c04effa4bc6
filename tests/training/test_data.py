"""Text sets become one table in which no source, class or length stands for another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.errors import UsageError
from tests.training import textsets
from training.data import SETS, balance, describe, length_bins, load_texts


def test_the_frontier_posts_of_a_measured_stream_are_never_loaded(tmp_path: Path) -> None:
    textsets.write(tmp_path)
    (tmp_path / "text" / "electai.parquet").rename(tmp_path / "text" / "frontier_posts.parquet")
    table = load_texts(tmp_path)
    assert "frontier_posts" not in {spec.name for spec in SETS}
    assert set(table["set"]) == {"showerthoughts", "frontier_social", "human_short_text"}


def test_texts_are_normal_distinct_and_of_four_words_at_least(tmp_path: Path) -> None:
    table = load_texts(textsets.write(tmp_path))
    assert not table["text"].str.contains("@|http").any()
    assert table["text"].is_unique
    assert table["words"].min() >= 4


def test_a_source_is_left_out_by_name_of_set_cluster_or_source(tmp_path: Path) -> None:
    textsets.write(tmp_path)
    for name, gone in (("electai", "electai"), ("frontier", "frontier_social/chat"), ("frontier_social/topic",) * 2):
        assert gone not in set(load_texts(tmp_path, [name])["source"])
    with pytest.raises(UsageError, match="no such set"):
        load_texts(tmp_path, ["electia"])


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        load_texts(tmp_path)


def test_long_texts_are_cut_at_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    text = "This is one sentence of a long answer. " * 40
    pd.DataFrame({"text": [text], "label": [1], "source": ["x"], "lang": ["en"]}).to_parquet(folder / "electai.parquet")
    assert load_texts(tmp_path)["text"][0].endswith("answer.")
    assert 200 < len(load_texts(tmp_path)["text"][0]) <= 280


def test_the_same_seed_keeps_the_same_rows(tmp_path: Path) -> None:
    textsets.write(tmp_path)
    first, again, other = (load_texts(tmp_path, seed=seed, cap=20) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first["text"].equals(other["text"])
    assert first.groupby(["source", "label"]).size().max() == 20


def test_weights_even_out_classes_sources_lengths_and_languages() -> None:
    rng = np.random.default_rng(0)
    sizes = {("a", 0): 400, ("a", 1): 100, ("b", 1): 900, ("c", 0): 50}
    table = pd.DataFrame(
        [(source, label, "en" if i % 3 else "fr") for (source, label), n in sizes.items() for i in range(n)],
        columns=["source", "label", "lang"],
    )
    table["words"] = np.where(table["label"] == 1, 20, 14) + rng.integers(0, 12, len(table))
    weight = balance(table)
    label = table["label"].to_numpy()
    assert weight.mean() == pytest.approx(1)
    assert weight[label == 1].sum() == pytest.approx(weight[label == 0].sum(), rel=0.02)
    bins = length_bins(table["words"].to_numpy())
    for one in range(10):
        both = [weight[(bins == one) & (label == k)].sum() for k in (0, 1)]
        if min(np.bincount(label[bins == one], minlength=2)) > 20:
            assert both[0] == pytest.approx(both[1], rel=0.2)
    totals = [weight[(table["source"] == s) & (label == k)].sum() for s, k in (("a", 1), ("b", 1))]
    assert totals[0] == pytest.approx(totals[1], rel=0.35)


def test_descriptions_count_both_classes(tmp_path: Path) -> None:
    records = {record["source"]: record for record in describe(load_texts(textsets.write(tmp_path)))}
    assert records["people/tweeteval/irony"]["machine"] == 0
    assert records["electai"]["generators"] == ["llama"]


def test_a_person_s_text_in_a_model_s_words_teaches_nothing(tmp_path: Path) -> None:
    rows = [
        {"text": f"{who} text number {number} about the harbour and the ferry", "label": label, "source": "spin"}
        for who, label in (("own", 0), ("paraphrased", 1))
        for number in range(3)
    ]
    pd.DataFrame(rows).assign(parent_id="", lang="en").to_parquet(tmp_path / "frontier_social.parquet")
    assert set(load_texts(tmp_path)["label"]) == {0}
