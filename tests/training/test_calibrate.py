"""Calibration takes the people's own maxima, within the horizon, and refuses what cannot be calibrated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detector.data_splits import split_of
from detector.errors import UsageError
from streaming.assess.outputs import Look
from training.account_data import RawEvents, read_stream
from training.account_training_set import POPULATION
from training.calibrate import (
    Person,
    calibrates,
    horizon_of,
    looks_of,
    pauses_of,
    population_recording,
    read_people,
    thresholds_of,
)
from training.cards import thresholds_card
from training.populations import NO_TIME


def person(posts: Sequence[int], totals: Sequence[float], language: str = "en", log_words: float = 0.3) -> Person:
    looks = [Look("a", count, total, language, count, log_words) for count, total in zip(posts, totals, strict=True)]
    return Person(looks, language)


def people(count: int, texts: int, total: float, language: str = "en") -> dict[str, Person]:
    return {f"{language}{i}": person([1, texts], [0.0, total + i / 1000], language) for i in range(count)}


def test_a_maximum_beyond_the_horizon_or_on_too_few_texts_does_not_count() -> None:
    some = person([1, 5, 9], [2.0, 1.0, 4.0])
    assert some.maximum(8) == 2.0
    assert some.maximum(9) == 4.0
    assert some.maximum(8, min_texts=3) == 1.0


def test_people_with_too_few_texts_calibrate_nothing() -> None:
    made = thresholds_of({"people": {**people(99, 20, 1.0), "x": person([1, 2], [9.0, 9.0])}}, {}, 3)
    assert made.people == 99
    assert made.min_texts == 3
    assert made.threshold(0.01) < 9.0


def test_looks_keep_the_highest_total_of_a_person_in_every_group_they_were_in() -> None:
    looks = looks_of([person([3, 4, 6, 7], [1.0, 2.0, 0.5, 0.1]), person([3], [7.0], "fr", 0.9)], 50, 1)
    assert looks.person.tolist() == [0, 0, 1]
    assert looks.highest.tolist() == [2.0, 0.5, 7.0]
    assert looks.cell.tolist() == [0, 1, 6]
    assert looks.maxima().tolist() == [2.0, 7.0]


def test_the_horizon_is_what_a_hundred_people_reach() -> None:
    some = [person([k], [0.0]) for k in range(1, 301)]
    assert horizon_of(some) == 201
    assert horizon_of(some[:7]) == 1
    with pytest.raises(UsageError, match="nothing to calibrate on"):
        horizon_of([])


def test_only_languages_with_enough_people_are_calibrated() -> None:
    made = thresholds_of({"people": {**people(150, 20, 1.0), **people(49, 20, 1.0, "fr")}}, {})
    assert (made.people_totals().people, made.people_totals().highest) == (199, False)
    assert made.languages == {"en"}
    assert made.people == 199
    with pytest.raises(UsageError, match="no language has"):
        thresholds_of({"people": people(49, 20, 1.0)}, {})


def test_accounts_are_read_with_the_looks_at_them(tmp_path: Path) -> None:
    path = tmp_path / "t"
    looks = [
        Look("a", 1, -1.0, "en", 1, 0.3),
        Look("b", 1, 3.0, "en", 1, 0.3),
        Look("a", 2, 0.5, "en", 2, 0.3),
        Look("c", 1, 0.0, "", 0, 0.0),
    ]
    path.write_text("\n".join(map(json.dumps, looks)))
    found = read_people(path, lambda name: name != "b")
    assert found == {"a": person([1, 2], [-1.0, 0.5])}


def test_people_without_times_post_in_pauses_of_others_and_the_same_ones_each_time(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["one", "two", "three"], "author_id": ["p", "p", "q"], "population": "sms"})
    table["at_ms"] = [NO_TIME, NO_TIME, 1_000_000_000_000]
    for name in ("a", "b"):
        population_recording(table, np.array([7_000]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    raw = read_stream(tmp_path / "a")
    assert np.diff(raw.at_ms).max() > 0
    assert 7_000 in np.diff(raw.at_ms).tolist()
    assert len(raw.names) == 2
    assert "sms/p" not in raw.names, "who it is, is not shown"


def test_pauses_are_those_of_the_chosen_accounts() -> None:
    raw = RawEvents(
        ["a", "b"], np.array([0, 1, 0, 1]), np.array([0, 1, 10, 100]), np.zeros(4, np.int64), [""] * 4, [""] * 4,
        np.zeros(4, np.int64), [()] * 4,
    )  # fmt: skip
    assert pauses_of(raw, lambda name: name == "a").tolist() == [10]


def test_nobody_both_trains_and_calibrates_and_no_machine_calibrates() -> None:
    truth = {f"p{i}": {"label": 0} for i in range(100)} | {f"m{i}": {"label": 1} for i in range(20)}
    chosen = [name for name in truth if calibrates(truth, left_out=["p3"])(name)]
    assert chosen
    assert not any(split_of(POPULATION, name) == "train" for name in chosen)
    assert not any(name.startswith("m") for name in chosen)
    assert "p3" not in chosen


def test_the_card_names_the_people_and_only_supported_rates() -> None:
    made = thresholds_of({"people": people(199, 20, 1.0)}, {"people": {"people": "friends"}})
    card = thresholds_card(made)
    assert "| people | 199 |" in card
    assert "friends" in card
    assert "| 0.01 |" in card
    assert "| 0.002 |" not in card
