"""A labelled recording as a text set: who is learned from, campaigns and accounts whole, and too little is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.errors import UsageError
from detector.text.features import TextAbstain
from detector.text.first_stage import FirstStageModel
from detector.times import AT_MAX
from streaming.cli import invoke
from streaming.schema.event import Event, parse
from tests.streaming.builders import event
from tests.training.textsets import sentence
from training.data import load_texts
from training.own_texts import FEWEST_EACH, own_texts
from training.text import crossfit_path


def stream(people: int = 12, machines: int = 12, posts: int = 10) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events and truth: machines in campaigns of three."""
    rng = np.random.default_rng(0)
    names = [(f"p{i}", 0, None) for i in range(people)] + [(f"m{i}", 1, f"c{i // 3}") for i in range(machines)]
    items = [
        event(
            name, at=1000 * k, id=f"{name}-{k}", lang="en", text=f"{sentence(rng, bool(label), 0.4)} and so on it goes"
        )
        for name, label, _ in names
        for k in range(posts)
    ]
    items += [event("p0", id="r", kind="repost", target="x"), event("stranger", id="s", text="not in the truth at all")]
    return items, [{"account": name, "label": label, "campaign": campaign} for name, label, campaign in names]


def events(items: list[dict[str, Any]]) -> list[Event]:
    return [parse(json.dumps(item).encode(), now_ms=AT_MAX) for item in items]


def labels(truth: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["account"]: row for row in truth}


def test_texts_of_known_accounts_are_dealt_out_whole() -> None:
    items, truth = stream()
    table = own_texts(events(items), labels(truth))
    assert len(table) == 240
    assert set(table["author_id"]) == set(labels(truth))
    campaign = table["author_id"].map(lambda name: labels(truth)[name]["campaign"])
    assert table.groupby("author_id")["source"].nunique().max() == 1
    assert table[campaign.notna()].groupby(campaign[campaign.notna()])["source"].nunique().max() == 1


def test_too_little_to_learn_from_is_said() -> None:
    items, truth = stream(posts=1)
    with pytest.raises(UsageError, match=rf"at least {FEWEST_EACH} of each"):
        own_texts(events(items), labels(truth))
    with pytest.raises(UsageError, match="write `account` in the truth as the events have it"):
        own_texts(events(items), {"nobody": {"label": 1}})
    items, truth = stream(machines=3, posts=20)
    with pytest.raises(UsageError, match="one campaign, or too few accounts"):
        own_texts(events(items), labels(truth))


def test_a_set_of_ones_own_stands_beside_no_other_or_any(tmp_path: Path) -> None:
    items, truth = stream()
    table = own_texts(events(items), labels(truth))
    loaded = load_texts(None, own=table)
    assert set(loaded["set"]) == {"own"}
    assert set(loaded["cluster"]) == set(loaded["source"]) == {f"own/{part}" for part in set(table["source"])}
    with pytest.raises(UsageError, match="holds none of the text sets"):
        load_texts(tmp_path)
    assert crossfit_path(tmp_path, (), 0, table) != crossfit_path(tmp_path, (), 0)
    assert crossfit_path(tmp_path, (), 0, table) != crossfit_path(tmp_path, (), 0, table[1:])


def test_the_command_learns_from_a_recording_of_any_format(tmp_path: Path) -> None:
    items, truth = stream()
    table, labelled = tmp_path / "posts.csv", tmp_path / "truth.jsonl"
    written = [item for item in items if item.get("text")]
    table.write_text("id,user_id,created_at,text,lang\n" + "".join(
        f"{item['id']},{item['account']},{item['at']},{item['text']},en\n" for item in written
    ))  # fmt: skip
    labelled.write_text("".join(json.dumps(row) + "\n" for row in truth))
    given = ["--recording", str(table), "--truth", str(labelled), "--format", "table"]
    out = ["--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache"), "--no-second-stage"]
    assert invoke(["train", "text", *given, *out]) == 0
    model = FirstStageModel.load(tmp_path / "models")
    read = model.read(["a truly vibrant journey to foster insight", "lol dunno about stuff anyway mate"], ["en", "en"])
    assert read["abstain"].tolist() == [TextAbstain.NONE] * 2
    assert read["llr"][0] > 0 > read["llr"][1]
    card = (tmp_path / "models" / "text.card.md").read_text(encoding="utf-8")
    assert "own/part-" in card
    assert "that of whoever trained" in card
    with pytest.raises(UsageError, match="go together"):
        invoke(["train", "text", "--recording", str(table), *out])
    with pytest.raises(UsageError, match="give --data DIR, or a labelled recording"):
        invoke(["train", "text", *out])
