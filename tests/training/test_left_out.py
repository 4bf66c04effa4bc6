"""A population left out is held against thresholds of the others, and passes or does not."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.assess.outputs import Look
from training.calibrate import Person
from training.left_out import FEWEST, MOST, Audited, failing, gap, left_out


def crowd(count: int, shift: float, language: str = "en", texts: int = 5) -> dict[str, Person]:
    return {
        f"{language}{i}": Person([Look(f"{language}{i}", texts, shift + i / count, language, texts, 0.3)], language)
        for i in range(count)
    }


def test_a_population_like_the_others_passes_and_one_unlike_them_does_not() -> None:
    rows = {row.name: row for row in left_out({"a": crowd(200, 0.0), "b": crowd(200, 0.0)}, {}, 0.01)}
    assert all(row.passes for row in rows.values())
    assert rows["a"].share <= 0.01
    rows = {row.name: row for row in left_out({"a": crowd(200, 0.0), "b": crowd(200, 0.5)}, {}, 0.01)}
    assert rows["a"].passes
    assert not rows["b"].passes
    assert rows["b"].share == pytest.approx(0.5, abs=0.02)
    assert failing(list(rows.values())) == [rows["b"]]


def test_a_language_that_nobody_else_calibrates_is_ranked_only_and_passes() -> None:
    populations = {"a": crowd(200, 0.0), "b": {**crowd(200, 0.0), **crowd(60, 9.0, "fr")}}
    rows = {row.name: row for row in left_out(populations, {}, 0.01)}
    assert (rows["b: fr"].judged, rows["b: fr"].ranked_only, rows["b: fr"].passes) == (0, 60, True)


def test_who_only_measures_calibrates_nothing_and_people_with_too_few_texts_are_nobody() -> None:
    populations = {"a": crowd(200, 0.0), "b": crowd(200, 0.0)}
    measuring = {"x": crowd(200, 5.0), "few": crowd(50, 9.0, texts=2)}
    rows = {row.name: row for row in left_out(populations, measuring, 0.01)}
    assert rows["a"].passes
    assert rows["x"].share == 1.0
    assert rows["few"].people == 0


def test_few_people_fail_only_where_even_so_few_tell() -> None:
    assert Audited("few", FEWEST - 1, 0, 2).share > MOST
    assert Audited("few", FEWEST - 1, 0, 2).passes
    assert not Audited("few", FEWEST - 1, 0, 9).passes
    assert not Audited("many", 100, 0, 6).passes


def test_the_gap_between_two_populations_has_its_interval() -> None:
    apart = gap(Audited("a", 70, 0, 56), Audited("b", 80, 0, 48))  # the example of Newcombe (1998), table II (a)
    assert apart.share - apart.other == pytest.approx(0.2)
    assert np.allclose(apart.interval, (0.0524, 0.3339), atol=1e-4)
