"""People serve one purpose each, nobody of the measured stream serves any, and an essay is one person."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from detector.data_splits import ROLES, role_of
from detector.errors import UsageError
from training.populations import BAG_TEXTS, NO_TIME, POST_CHARACTERS, population_people, posts

ESSAY = "This is one sentence of an essay that somebody wrote for a test. " * 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    text = tmp_path / "text"
    text.mkdir()
    lines = [
        {"text": f"line {i} of person {person} about the kernel", "source": "irc_ubuntu_threads",
         "author_id": f"p{person}", "created_at": f"2010-01-01T10:{i:02}:00", "lang": "en", "native_speaker": None}
        for person in range(40) for i in range(3)
    ]  # fmt: skip
    lines += [
        {"text": f"sms number {i} lah, see you there", "source": "nus_sms_en_zh", "author_id": f"en:{i}", "lang": "en",
         "created_at": None, "native_speaker": ("yes", "no", "Yes", None)[i % 4]}
        for i in range(40)
    ]  # fmt: skip
    pd.DataFrame(lines).assign(label=0).to_parquet(text / "people_authors.parquet")
    essays = [{"text": f"Essay {i}. {ESSAY}", "native": 0, "label": int(i == 0), "source": "e"} for i in range(10)]
    pd.DataFrame(essays).assign(author_id=None, lang="en").to_parquet(text / "liang_toefl.parquet")
    tweets = [
        {"text": f"le chat numéro {i} est sur la table", "source": "umsab/french", "lang": "fr"} for i in range(90)
    ]
    pd.DataFrame(tweets).assign(author_id=None, label=0).to_parquet(text / "human_short_text.parquet")
    return tmp_path


def test_every_person_has_one_role_and_all_texts_of_a_person_have_it(data: Path) -> None:
    everybody = population_people(data, None)
    assert (everybody.groupby(["population", "author_id"])["role"].nunique() == 1).all()
    parts = [population_people(data, role) for role in ROLES]
    assert sum(len(part) for part in parts) == len(everybody)
    for role, part in zip(("train", "calibrate", "measure"), parts, strict=True):
        assert len(part)
        roles = {role_of(name, author) for name, author in zip(part["population"], part["author_id"], strict=True)}
        assert roles == {role}


def test_whoever_wrote_a_text_of_the_measured_stream_serves_nothing_however_the_copy_was_cleaned(data: Path) -> None:
    (data / "streams").mkdir()
    event = {"text": "Line 1 of person 7, about the kernel https://x.example"}
    with gzip.open(data / "streams" / "campaigns-dev.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n" + json.dumps({"kind": "like"}) + "\n")
    left = set(population_people(data, None, names=["irc"])["author_id"])
    assert left == {f"p{person}" for person in range(40)} - {"p7"}


def test_whoever_taught_a_model_is_left_out(data: Path) -> None:
    left = set(
        population_people(data, None, names=["irc"], known_texts={"line 2 of person 9 about the kernel"})["author_id"]
    )
    assert left == {f"p{person}" for person in range(40)} - {"p9"}


def test_texts_without_author_are_bags_that_say_so_and_mix_no_roles(data: Path) -> None:
    bags = population_people(data, None, names=["bag-fr"])
    assert bags["mixed"].all()
    assert bags.groupby("author_id").size().max() == BAG_TEXTS
    assert len(bags) == 90
    assert not population_people(data, None, names=["irc"])["mixed"].any()


def test_native_speakers_and_times_are_told_where_known(data: Path) -> None:
    sms = population_people(data, None, names=["sms"])
    assert set(sms["group"]) == {"native", "second language", "unknown"}
    assert (sms["at_ms"] == NO_TIME).all()
    irc = population_people(data, None, names=["irc"])
    assert irc["at_ms"].min() == 1_262_340_000_000


def test_an_essay_is_one_person_in_posts_and_a_machine_s_essay_nobody(data: Path) -> None:
    essays = population_people(data, None, names=["toefl"])
    assert essays["author_id"].nunique() == 9
    assert essays.groupby("author_id").size().min() >= 3


def test_no_word_of_an_essay_is_lost_and_no_post_is_too_long() -> None:
    text = ESSAY + "x" * 700 + " end"
    made = posts(text)
    assert max(map(len, made)) <= POST_CHARACTERS
    assert "".join("".join(made).split()) == "".join(text.split())


def test_an_unknown_population_and_missing_sets_are_refused(data: Path) -> None:
    with pytest.raises(UsageError, match="no population 'ircc'"):
        population_people(data, "train", names=["ircc"])
    with pytest.raises(UsageError, match="cannot read"):
        population_people(data / "nowhere", "train")
