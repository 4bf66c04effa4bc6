"""Parts that add up, under a cap that keeps their order.

Conformal thresholds: the promised rate holds, and what the people do not support is refused.
"""

from __future__ import annotations

from math import erf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.account.features import language_code
from detector.errors import ModelError, UsageError
from detector.thresholds import TOTALS, PeopleTotals, Thresholds, combine, posterior, quantiles_of

nats = st.floats(-40, 40)


@given(st.lists(st.tuples(nats, nats, nats, nats), min_size=1, max_size=20), st.floats(1, 9))
def test_parts_sum_to_a_total_within_the_cap(rows: list[tuple[float, float, float, float]], cap: float) -> None:
    text, behaviour, coordination, graph = np.array(rows).T
    fused = combine(text, behaviour, coordination, graph, cap)
    assert np.allclose(fused.text + fused.behaviour + fused.coordination + fused.graph, fused.total, atol=1e-9)
    assert (np.abs(fused.total) <= cap + 0.003).all()
    raw = text + behaviour + coordination + graph
    order = np.argsort(raw, kind="stable")
    assert (np.diff(fused.total[order]) >= -0.005).all()


@given(nats)
def test_an_abstaining_part_stays_zero(value: float) -> None:
    one, none = np.array([value]), np.zeros(1)
    fused = combine(one, none, none, none, 5.0)
    assert fused.behaviour[0] == fused.coordination[0] == fused.graph[0] == 0.0
    assert fused.total[0] == fused.text[0]


def test_small_evidence_is_left_as_it_is() -> None:
    small = np.array([0.3])
    fused = combine(small, small, -small, np.zeros(1), 5.7)
    assert fused.total[0] == pytest.approx(0.3, abs=2e-3)


def test_the_posterior_without_evidence_is_the_prior() -> None:
    assert posterior(np.zeros(1), 0.01)[0] == pytest.approx(0.01)
    assert posterior(np.array([np.log(99)]), 0.01)[0] == pytest.approx(0.5)


def thresholds(**maxima: list[float]) -> Thresholds:
    return Thresholds.of(maxima, 20, frozenset({"en", "fr"}), "1")


def test_the_cut_is_the_kth_largest_maximum() -> None:
    made = thresholds(people=[float(i) for i in range(1, 100)])
    assert made.threshold(0.01) == 99.0
    assert made.threshold(0.05) == 95.0
    assert made.cap_nats == pytest.approx(np.log(100))


def test_a_finer_rate_than_the_people_support_is_refused_with_the_finest() -> None:
    made = thresholds(people=[float(i) for i in range(98)])
    with pytest.raises(UsageError, match=r"the finest is 0\.01"):
        made.threshold(0.01)
    assert made.threshold(made.finest_fpr) == 97.0


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="between 0 and 1"):
        thresholds(people=[1.0]).threshold(rate)


def test_of_two_populations_the_stricter_sets_the_cut() -> None:
    low, high = [0.0] * 99, [1.0] * 99
    assert thresholds(contest=low, chat=high).threshold(0.02) == 1.0
    assert thresholds(contest=high, chat=low).threshold(0.02) == 1.0


def test_a_population_too_small_for_the_rate_does_not_loosen_it() -> None:
    assert thresholds(contest=[0.0] * 199, chat=[5.0] * 20).threshold(0.01) == 0.0


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 400), st.sampled_from([0.05, 0.1, 0.2]), st.integers(0, 2**31))
def test_new_people_pass_no_more_often_than_promised(n: int, rate: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    passed = []
    for _ in range(200):
        people = rng.standard_t(3, n)
        passed.append(np.mean(rng.standard_t(3, 50) > thresholds(people=list(people)).threshold(rate)))
    error = np.std(passed) / np.sqrt(len(passed))
    assert np.mean(passed) <= rate + 4 * error


def test_the_band_is_where_the_realised_rate_lies() -> None:
    rng = np.random.default_rng(1)
    low, high = thresholds(people=list(rng.normal(size=199))).interval(0.05)
    realised = [1 - _cdf(np.sort(rng.normal(size=199))[::-1][9]) for _ in range(2000)]
    assert np.mean([low <= rate <= high for rate in realised]) == pytest.approx(0.95, abs=0.02)


def _cdf(x: float) -> float:
    return 0.5 * (1 + erf(x / 2**0.5))


def test_thresholds_come_back_from_their_files(tmp_path: Path) -> None:
    made = thresholds(contest=[1.0, 3.0, 2.0], chat=[0.5] * 4)
    made.save(tmp_path)
    again = Thresholds.load(tmp_path)
    assert again.threshold(0.3) == made.threshold(0.3)
    assert again.horizon_posts == 20
    assert again.languages == {"en", "fr"}
    assert again.people == 7


def test_damaged_thresholds_do_not_load(tmp_path: Path) -> None:
    thresholds(contest=[1.0, 3.0, 2.0]).save(tmp_path)
    body = (tmp_path / "thresholds.safetensors").read_bytes()
    (tmp_path / "thresholds.safetensors").write_bytes(body[:-1])
    with pytest.raises(ModelError):
        Thresholds.load(tmp_path)


def test_accounts_in_other_languages_are_ranked_but_not_flagged() -> None:
    made = thresholds(people=[1.0])
    codes = np.array([language_code(tag) for tag in ("en", "yo", "fr", "")], np.uint16)
    assert made.calibrated(codes).tolist() == [True, False, True, False]
    assert made.why_uncalibrated(language_code("yo")) == "uncalibrated: language yo (calibrated: en, fr)"


def test_nobody_to_calibrate_on_is_said() -> None:
    with pytest.raises(UsageError, match="nothing to calibrate on"):
        thresholds(people=[])


def test_totals_of_people_are_quantiles_of_the_last_totals_or_else_of_the_highest() -> None:
    maxima = {"a": [float(i) for i in range(21)]}
    older = Thresholds.of(maxima, 5, frozenset({"en"}), "1")
    assert older.people_totals() == PeopleTotals(21, [float(i) for i in range(21)], highest=True)
    newer = Thresholds.of(maxima, 5, frozenset({"en"}), "1", {TOTALS: quantiles_of([-1.0, 1.0])})
    assert newer.people_totals().quantiles[::10] == [-1.0, 0.0, 1.0]
    assert not newer.people_totals().highest
