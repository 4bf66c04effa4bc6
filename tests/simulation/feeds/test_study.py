"""The study's feeds: numbers with where they come from, effects of the published signs, a calibration that holds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from simulation.feeds.post_texts import Content
from simulation.feeds.study import (
    CALIBRATION_SEEDS,
    FEEDS,
    Expected,
    StudyParticipants,
    as_published,
    calibrated,
    cohen_d,
    dose_table,
    effects,
    numbers,
    simulated,
)
from simulation.feeds.values import on_scale
from simulation.world import World
from streaming.cli import main
from tests.simulation.populations import QUIET

GIVEN = {name: number.value for name, number in numbers().items()}


@cache
def society(seed: int) -> StudyParticipants:
    return simulated(seed, GIVEN)


def test_every_number_says_where_it_comes_from() -> None:
    known = numbers()
    assert {number.status for number in known.values()} == {"published", "calibrated", "assumed"}
    assert all(len(number.about.split()) > 4 for number in known.values())
    assert known["downrank_d"].status == "published"
    assert known["effect_ratio"].status == "assumed"


def test_feeds_show_what_they_are_made_to_show() -> None:
    asked = society(0)
    dose, warned = dose_table([asked])
    assert (dose[2:] < 0.9 * dose[0]).all()
    assert warned[1] > 0.01
    assert warned[[0, 2, 3]].tolist() == [0, 0, 0]
    assert np.bincount(asked.feed).min() > 200
    assert np.array_equal(simulated(0, GIVEN).dose, asked.dose)


def made_up(people: int = 40_000) -> StudyParticipants:
    """People whose feeds differ in dose by far more than any society's: signs are then certain."""
    rng = np.random.default_rng(0)
    feed = rng.integers(0, len(FEEDS), people)
    dose = np.array([0.05, 0.04, 0.02, 0.03])[feed]
    warned = np.where(feed == 1, 0.3, 0.0)
    return StudyParticipants(feed, rng.random(people) < 0.5, dose, np.full(people, 0.1), warned, seed=0)


def test_effects_follow_doses_are_weaker_on_strong_partisans_and_warnings_alone_are_objected_to() -> None:
    animosity, engagement, objections = effects(made_up(), GIVEN)
    weak, strong, everybody = animosity
    assert everybody[2] < everybody[3] < everybody[1] < 0
    assert (weak[1:] < strong[1:]).all()
    assert (np.abs(engagement[2]) < 0.05).all()
    assert objections[2, 1] > 0.3
    assert (np.abs(objections[2, 2:]) < 0.05).all()


def test_without_an_effect_of_reading_feeds_do_not_differ() -> None:
    animosity = effects(made_up(), GIVEN | {"effect_weak": 0.0})[0]
    assert (np.abs(animosity) < 0.06).all()


def test_calibration_finds_the_effect_that_gives_the_published_figures() -> None:
    asked = [made_up()]
    found = calibrated(asked, GIVEN)
    mean = effects(asked[0], GIVEN | {"effect_weak": found})[0, 2, 2:].mean()
    assert mean == pytest.approx(-(GIVEN["downrank_d"] + GIVEN["replace_d"]) / 2, abs=1e-6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_shipped_effect_is_the_calibrated_one() -> None:
    everybody = [simulated(seed, GIVEN) for seed in CALIBRATION_SEEDS]
    assert calibrated(everybody, GIVEN) == pytest.approx(GIVEN["effect_weak"], abs=0.06)


def test_an_effect_size_is_in_units_of_the_pooled_deviation() -> None:
    values = np.array([1.0, 3.0, 4.0, 6.0])
    treated = np.array([False, False, True, True])
    assert cohen_d(values, treated, ~treated) == pytest.approx(3 / np.sqrt(2))


def test_a_sign_is_as_published_where_it_is_the_same_and_none_where_it_is_small() -> None:
    found = np.array([-0.3, -0.1, 0.1, 0.5])
    assert as_published(found, Expected(-1, None), 0.2) == 0.5
    assert as_published(found, Expected(0, None), 0.2) == 0.5
    assert as_published(found, Expected(1, None), 0.2) == 0.5


def test_posts_of_a_society_have_the_words_and_ratings_of_the_shipped_ones() -> None:
    world = World(QUIET, 0)
    content = Content(world, heated=0.3)
    events = world.step()
    ratings = content(events)
    index = content.index(events.serial, events.account)
    assert np.array_equal(ratings, on_scale(content.ratings)[index])
    hot = content.heat > 0.9
    assert hot.any()
    serial = np.arange(20_000)
    share = (content.scale[content.index(serial, serial % len(hot))] > 0).mean()
    assert abs(share - content.heat.mean()) < 0.02
    again = Content(World(QUIET, 0), heated=0.3)
    assert np.array_equal(again.index(serial, serial % len(hot)), content.index(serial, serial % len(hot)))


def test_the_command_prints_effects_beside_what_was_published(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("simulation.feeds.study.simulated", lambda seed, given: society(seed))
    assert main(["lab", "feeds", "--seeds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "2 societies" in printed
    assert "-0.25" in printed
    assert main(["lab", "feeds", "--numbers"]) == 0
    assert "calibrated" in capsys.readouterr().out


def test_calibration_is_on_other_societies_than_those_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def one(seed: int, given: dict[str, float]) -> StudyParticipants:
        used.append(seed)
        return society(0)

    assert min(CALIBRATION_SEEDS) >= 1000
    monkeypatch.setattr("simulation.feeds.study.CALIBRATION_SEEDS", CALIBRATION_SEEDS[:2])
    monkeypatch.setattr("simulation.feeds.study.simulated", one)
    assert main(["lab", "feeds", "--calibrate"]) == 0
    assert "effect_weak = " in capsys.readouterr().out
    assert used == list(CALIBRATION_SEEDS[:2])
