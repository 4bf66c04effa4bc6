"""Calibration takes the people's own maxima, within the horizon, and refuses what cannot be calibrated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.data_splits import split_of
from detector.errors import UsageError
from training.account_training_set import POPULATION
from training.calibrate import Person, calibrates, horizon_of, read_people, thresholds_of
from training.cards import thresholds_card


def people(count: int, texts: int, total: float, language: str = "en") -> dict[str, Person]:
    return {f"{language}{i}": Person([1, texts], [0.0, total + i / 1000], language) for i in range(count)}


def test_a_maximum_beyond_the_horizon_does_not_count() -> None:
    assert Person([1, 5, 9], [0.5, 1.0, 4.0], "en").maximum(8) == 1.0
    assert Person([1, 5, 9], [0.5, 1.0, 4.0], "en").maximum(9) == 4.0


def test_the_horizon_is_what_a_hundred_people_reach() -> None:
    some = [Person([k], [0.0], "en") for k in range(1, 301)]
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
    looks = [["a", 1, -1.0, "en"], ["b", 1, 3.0, "en"], ["a", 2, 0.5, "en"], ["c", 1, 0.0, ""]]
    path.write_text("\n".join(map(json.dumps, looks)))
    found = read_people(path, lambda name: name != "b")
    assert found == {"a": Person([1, 2], [-1.0, 0.5], "en")}


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
