"""Slices are made as they say, and told of apart: machines, and people whom a model helped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from detector.models import GRAPH, SHIPPED
from detector.text import first_stage
from detector.thresholds import NAME as THRESHOLDS
from streaming.cli import main
from tests.training.studies.test_text_attacks import posts
from training.studies import hard_cases
from training.studies.hard_cases import NEAR, TRAINED, UNSEEN, HardCase, _copied, _essays, _split_hands, _two_languages
from training.studies.judged import POSTS, dealt
from training.system import copy_models


def test_a_copying_account_has_no_two_posts_of_one_person_and_a_sold_one_two_hands() -> None:
    people = dealt(posts(0, 12, 10), "people", most=12)
    owner = dict(zip(people["text"], people["author_id"], strict=True))
    copies = _copied(people)
    assert copies.groupby("author_id").size().max() == POSTS
    assert (copies["text"].map(owner).groupby(copies["author_id"]).nunique() == POSTS).all()
    machines = posts(1, 2, 10)
    machines["text"] = "it says: " + machines["text"]
    sold = _split_hands(people, dealt(machines, "machines", most=2))
    assert sold.groupby("author_id").size().tolist() == [POSTS, POSTS]
    assert sold["text"].map(lambda text: text in owner).tolist()[:POSTS] == [True] * 5 + [False] * 5


def test_a_post_of_two_languages_begins_in_one_and_ends_in_the_other() -> None:
    one = pd.DataFrame({"text": ["one two three four"]})
    other = pd.DataFrame({"text": ["eins zwei drei vier"]})
    assert _two_languages(one, other, 0)["text"].tolist() == ["one two drei vier"]


def test_an_essay_is_an_account_of_posts(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    essay = posts(0, 1, 1).assign(group="TOEFL_real_91", text=" ".join(["We went home early that day."] * 40))
    essay.to_parquet(tmp_path / "text" / "liang_toefl.parquet")
    made = _essays(tmp_path, "TOEFL_real_91")
    assert set(made["author_id"]) == {"essay:0"}
    assert made["text"].str.len().max() <= 280
    assert len(made) >= 4


def test_the_command_prints_machines_and_helped_people_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def few(data: Path, most: int, seed: int = 0) -> Iterator[HardCase]:
        yield HardCase("disguised", NEAR, dealt(posts(1, 3, 6), "", most=most))
        yield HardCase("people/multi-de", TRAINED, dealt(posts(0, 2, 6).assign(lang="de"), "", most=most))
        yield HardCase("writes de", TRAINED, dealt(posts(1, 2, 6).assign(lang="de"), "", most=most), "people/multi-de")
        yield HardCase("polished by GPT-4", UNSEEN, dealt(posts(1, 2, 6), "", most=most))

    monkeypatch.setattr(hard_cases, "slices", few)
    monkeypatch.setattr(hard_cases, "people", lambda *given: dealt(posts(0, 4, 6), "people/irc", most=9))
    copy_models(SHIPPED, tmp_path / "models", (first_stage.FILE, "account", GRAPH, THRESHOLDS))
    given = ["study", "hard-cases", "--data", str(tmp_path), "--models", str(tmp_path / "models"), "--accounts", "3"]
    assert main(given) == 0
    machines, helped = capsys.readouterr().out.strip().split("\n\n")
    assert [line.split(" | ")[0].strip("| ") for line in machines.splitlines()[2:]] == ["disguised", "writes de"]
    assert machines.splitlines()[3].endswith(" 2 |"), "two people beside, those of its language"
    assert "| polished by GPT-4 | nothing | 2 |" in helped
