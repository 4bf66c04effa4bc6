"""Calibration recovers a likelihood ratio, says no more than the data support, and accuses no language on the whole."""

from __future__ import annotations

import numpy as np
import pytest

from training.text_calibration import fit_calibrator, fit_line, tail_bound


def test_a_line_recovers_the_likelihood_ratio_of_two_normals() -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 20_000)
    score = rng.normal(np.where(label == 1, 1.0, -1.0), 2.0)
    # log N(x; 1, 2) / N(x; -1, 2) = x / 2
    slope, offset = fit_line(score, label, np.ones(40_000), (0.0, 0.0), 1.0)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert offset == pytest.approx(0.0, abs=0.03)


def test_with_little_data_a_line_stays_where_it_was_told() -> None:
    slope, offset = fit_line(np.array([0.0, 5.0]), np.array([1, 0]), np.ones(2), (0.7, -0.2), 1e5)
    assert slope == pytest.approx(0.7, abs=0.01)
    assert offset == pytest.approx(-0.2, abs=0.01)


def test_a_bound_grows_with_what_the_tail_supports() -> None:
    llr = np.linspace(-3, 3, 2000)
    machine, people = (llr > 1.5).astype(float), (llr <= 1.5).astype(float)
    sure = tail_bound(llr, machine, people)
    unsure = tail_bound(llr[::100], machine[::100], people[::100])
    none = tail_bound(np.zeros(2000), machine, people)
    assert sure == 4.0 or sure > unsure > none
    assert none == pytest.approx(0.0, abs=0.05)


def test_no_language_is_accused_on_the_whole() -> None:
    rng = np.random.default_rng(2)
    label = np.tile([0, 1], 2000)
    lang = np.array(["en", "fr"] * 1000 + ["fr", "en"] * 1000)
    score = rng.normal(label * 1.0, 1.0) + np.where(lang == "fr", 2.0, 0.0)  # everything French looks like a machine's
    words = rng.integers(4, 50, 4000)
    calibrator = fit_calibrator(score, label, np.ones(4000), words, lang)
    llr = calibrator.millinats(score, words, calibrator.group_of(lang.tolist())) / 1000
    for one in ("en", "fr"):
        people = (lang == one) & (label == 0)
        assert np.exp(llr[people]).mean() < 1.05
        assert llr[people].mean() < 0 < llr[(lang == one) & (label == 1)].mean()


def test_a_language_with_few_texts_is_not_calibrated() -> None:
    label, words = np.tile([0, 1], 200), np.full(400, 12)
    lang = np.array(["en"] * 390 + ["xx"] * 10)
    calibrator = fit_calibrator(label.astype(float), label, np.ones(400), words, lang)
    assert calibrator.languages == {"en"}
