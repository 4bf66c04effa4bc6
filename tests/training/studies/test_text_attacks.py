"""Attacks change what they say they change; accounts of a study are judged as those of a recording are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.errors import UsageError
from detector.models import GRAPH, SHIPPED
from detector.text import first_stage
from detector.thresholds import NAME as THRESHOLDS
from streaming.cli import main
from training.studies import text_attacks
from training.studies.judged import POSTS, against_people, dealt, judge, people
from training.studies.text_attacks import ATTACKS, attack_costs
from training.system import copy_models

TEXT = "The old cat sat near a church of our village on 12 warm evenings, and the dog saw it leave at 7 or 8 again."


@pytest.mark.parametrize("attack", sorted(set(ATTACKS) - {"none"}))
def test_an_attack_changes_the_text_alike_for_one_seed(attack: str) -> None:
    made = [ATTACKS[attack](TEXT * 3, np.random.default_rng(4)) for _ in range(2)]
    assert made[0] == made[1] != TEXT * 3
    assert ATTACKS["none"](TEXT, np.random.default_rng(4)) == TEXT


def posts(label: int, authors: int, texts: int) -> pd.DataFrame:
    """Posts of a text set."""
    rows = [
        {
            "text": f"{TEXT} {author} {number}", "label": label, "author_id": f"{label}-{author}", "lang": "en",
            "source": "s", "generator": "g", "group": "", "parent_id": None,
        }
        for author in range(authors)
        for number in range(texts)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_posts_are_dealt_by_author_or_within_what_is_alike() -> None:
    rows = pd.concat([posts(1, 3, 12), posts(1, 1, 4).assign(author_id="few")])
    found = dealt(rows, "machines", most=2)
    assert found.groupby("author_id").size().tolist() == [POSTS, POSTS]
    unknown = rows.assign(author_id="", generator=["a"] * 14 + ["b"] * (len(rows) - 14))
    made = dealt(unknown, "machines", most=9, by=["generator"])
    assert sorted(set(made["author_id"])) == ["a:0", "b:0", "b:1", "b:2"], "four posts of `a` are too few for another"
    assert set(made["slice"]) == {"machines"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The shipped models without the second stage, which takes seconds to load."""
    copy_models(SHIPPED, tmp_path / "models", (first_stage.FILE, "account", GRAPH, THRESHOLDS))
    return tmp_path / "models"


def test_every_account_is_judged_and_one_in_an_uncalibrated_language_is_mute(tmp_path: Path, bundle: Path) -> None:
    hindi = posts(1, 1, 6).assign(
        text="हम देखते हैं कि यह क्या है",
        lang="hi",
    )
    study = pd.concat([dealt(posts(1, 3, 6), "machines", most=9), dealt(hindi, "other", most=1)])
    found = judge(study, tmp_path, bundle)
    assert found["slice"].tolist().count("machines") == 3
    assert found.loc[found["slice"] == "other", "abstained"].tolist() != [""]
    assert (found.loc[found["slice"] == "machines", "abstained"] == "").all()


def test_a_slice_is_held_against_people() -> None:
    judged = pd.DataFrame(
        {
            "slice": ["m"] * 4 + ["people/irc"] * 4, "author_id": list("abcdefgh"),
            "score": [4.0, 3.0, 2.0, 0.5, 1.0, 0.0, -1.0, -2.0], "flagged": [True, True, *[False] * 6],
            "abstained": [""] * 3 + ["few", *[""] * 4],
        }
    )  # fmt: skip
    found = against_people(judged, "m")
    assert (found["accounts"], found["tpr"], found["flagged"], found["mute"]) == (4, 0.75, 0.5, 0.25)
    assert found["auroc"] == pytest.approx(15 / 16)


def test_the_command_prints_what_each_attack_costs(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_attacks, "SEEN", {})
    monkeypatch.setattr(text_attacks, "SHORT_NAMES", {"unseen": "texts not trained on"})
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("frontier_posts", "frontier_campaigns"):
        posts(1, 3, 6).to_parquet(folder / f"{name}.parquet")
    irc = posts(0, 40, 6).assign(source="irc_ubuntu_threads", native_speaker="yes", created_at="2010-01-01T00:00:00Z")
    irc["author_id"] = "n" + irc["author_id"]
    irc.to_parquet(folder / "people_authors.parquet")
    assert len(people(tmp_path, 5)) > 0
    assert main(["study", "attacks", "--data", str(tmp_path), "--models", str(bundle), "--accounts", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("texts not trained on") == len(ATTACKS)
    assert "| homoglyphs, all | 4 |" in out
    (folder / "people_authors.parquet").unlink()
    with pytest.raises(UsageError, match="people"):
        attack_costs(tmp_path, bundle, 2)
