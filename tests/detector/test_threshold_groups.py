"""Accounts have their own group's threshold, no population passes far more than others, thin groups take a parent's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.account.features import language_code
from detector.models import load_models
from detector.threshold_groups import (
    CELLS,
    MOST_OF_A_POPULATION,
    PRESENT,
    GroupThresholds,
    Looks,
    cell_name,
    cells,
    group_thresholds,
    passing,
)
from detector.thresholds import Thresholds

EN, FR = language_code("en"), language_code("fr")


def looks(rows: list[tuple[int, int, int, float]]) -> Looks:
    """Looks of (person, language, cell, total)."""
    person, language, cell, highest = zip(*rows, strict=True)
    return Looks(np.array(person), np.array(language, np.uint16), np.array(cell), np.array(highest, float))


def steady(
    count: int, cell: int, shift: float, language: int = EN, start: int = 0
) -> list[tuple[int, int, int, float]]:
    """People who stay in one group, with totals from `shift` up by hundredths."""
    return [(start + i, language, cell, shift + i / 100) for i in range(count)]


def of(**populations: list[tuple[int, int, int, float]]) -> Mapping[str, Looks]:
    return {name: looks(rows) for name, rows in populations.items()}


def at(made: GroupThresholds, language: int, cell: int) -> float:
    return float(made.thresholds(np.array([language], np.uint16), np.array([cell]))[0])


def test_accounts_fall_into_groups_by_length_and_number_of_texts() -> None:
    words = np.log1p([7.9, 8.1, 17.9, 18.1]) / np.log1p(256)
    assert cells(words, np.array([5, 6, 14, 15])).tolist() == [0, 4, 4, 8]
    assert cell_name(4) == "8 to 17 words, 6 to 14 texts"
    assert len({cell_name(cell) for cell in range(CELLS)}) == CELLS


def test_a_group_with_enough_people_has_a_threshold_of_its_own() -> None:
    made = group_thresholds(of(p=[*steady(199, 0, 0.0), *steady(199, 8, 5.0, start=199)]), {"en"}, 0.05)
    assert made is not None
    assert made.depth == 3
    assert at(made, EN, 0) < 2.0 < 5.0 < at(made, EN, 8)
    assert made.source(EN, 8).people == 199
    low, high = made.source(EN, 8).interval()
    assert low < 0.05 < high


def test_a_thin_group_takes_its_parent_s_threshold() -> None:
    some = [*steady(199, 0, 0.0), *steady(PRESENT - 1, 1, 9.0, start=199)]
    made = group_thresholds(of(p=some), {"en"}, 0.05)
    assert made is not None
    assert made.source(EN, 1).people == 199 + PRESENT - 1, "language and length, of any number of texts"
    assert made.source(EN, 8).people == 199 + PRESENT - 1, "and where there is nobody, the language"
    assert made.source(FR, 0) == made.everybody


def test_people_of_all_populations_speak_together_in_a_group() -> None:
    made = group_thresholds(of(one=steady(199, 0, 0.0), other=steady(199, 0, 0.005)), {"en"}, 0.05)
    assert made is not None
    assert made.source(EN, 0).people == 398
    assert made.source(EN, 0).rank == 19


def test_no_population_passes_more_than_it_may() -> None:
    mild, harsh = steady(800, 0, 0.0), steady(100, 0, 20.0)
    made = group_thresholds(of(mild=mild, harsh=harsh), {"en"}, 0.01)
    assert made is not None
    passed = passing(looks(harsh), made, {"en"}).sum()
    assert passed <= 100 * MOST_OF_A_POPULATION
    together = group_thresholds(of(all=[*mild, *steady(100, 0, 20.0, start=800)]), {"en"}, 0.01)
    assert together is not None
    assert at(together, EN, 0) < at(made, EN, 0), "as one population more of them would pass"


def test_people_who_pass_through_several_groups_are_flagged_in_any_of_them_no_more_often_than_asked() -> None:
    rng = np.random.default_rng(0)
    rows = [(i, EN, cell, float(rng.normal())) for i in range(400) for cell in (0, 1, 2)]
    some = of(p=rows)
    made = group_thresholds(some, {"en"}, 0.05)
    assert made is not None
    assert (made.depth, made.share) != (3, 0.05), "less for each group, or fewer groups"
    assert passing(some["p"], made, {"en"}).mean() <= 0.05


def test_what_nobody_supports_has_no_thresholds() -> None:
    assert group_thresholds(of(p=steady(50, 0, 0.0)), {"en"}, 0.01) is None


def _draw(rng: np.random.Generator, count: int) -> tuple[Looks, NDArray[np.float64]]:
    base = rng.normal(size=count)
    rows = [
        (i, EN if i % 3 else FR, cell, float(base[i] + rng.normal() / 2 + cell / 4))
        for i in range(count)
        for cell in range(int(rng.integers(1, 4)))
    ]
    return looks(rows), base


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_new_people_are_flagged_in_any_group_no_more_often_than_promised(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(30):
        made = group_thresholds({"p": _draw(rng, 250)[0]}, {"en", "fr"}, 0.05)
        assert made is not None
        shares.append(passing(_draw(rng, 300)[0], made, {"en", "fr"}).mean())
    assert np.mean(shares) <= 0.05 + 4 * np.std(shares) / np.sqrt(len(shares))


def test_languages_that_nobody_calibrated_flag_nobody() -> None:
    some = of(p=steady(199, 0, 0.0))
    made = group_thresholds(some, {"en"}, 0.05)
    assert made is not None
    assert not passing(looks(steady(10, 0, 99.0, FR)), made, {"en"}).any()


def test_groups_come_back_from_their_files(tmp_path: Path) -> None:
    some = of(p=[*steady(199, 0, 0.0), *steady(199, 8, 5.0, start=199)])
    made = Thresholds.of(
        {"p": some["p"].maxima()}, 20, frozenset({"en"}), "1", looks=some, min_texts=3
    )  # fmt: skip
    made.save(tmp_path)
    again = Thresholds.load(tmp_path)
    assert again.min_texts == 3
    assert at(again.by_group(0.05), EN, 8) == at(made.by_group(0.05), EN, 8)
    assert at(again.by_group(0.05), EN, 0) != at(again.by_group(0.05), EN, 8)


def test_without_groups_everybody_has_the_same_threshold() -> None:
    made = Thresholds.of({"p": list(np.linspace(0, 1, 99))}, 20, frozenset({"en"}), "1")
    assert at(made.by_group(0.05), EN, 0) == at(made.by_group(0.05), FR, 8) == made.threshold(0.05)


def test_who_allows_more_false_flags_does_not_get_higher_thresholds() -> None:
    shipped = load_models(None, "").thresholds
    assert group_thresholds(shipped.looks, shipped.languages, 0.05) is None  # one population would be let through
    assert shipped.by_group(0.05).groups
    at_1, *looser = (shipped.by_group(rate).everybody.threshold for rate in (0.01, 0.02, 0.03, 0.04, 0.05, 0.1, 0.2))
    assert max(looser) < at_1
