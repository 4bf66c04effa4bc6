"""Measures that compare like with like."""

from __future__ import annotations

import numpy as np
import pytest

from training.metrics import auroc_at_like_length, bootstrap, tpr_at_like_length

RNG = np.random.default_rng(1)


def test_length_alone_is_worth_nothing_at_like_length() -> None:
    label = np.repeat([0, 1], 3000)
    words = np.where(label == 1, RNG.integers(10, 40, 6000), RNG.integers(5, 30, 6000))
    assert auroc_at_like_length(words.astype(float), label, words) < 0.62
    assert auroc_at_like_length(words // 50 + 0.0, label, words) == 0.5


@pytest.mark.parametrize(("sign", "want"), [(1, 1.0), (-1, 0.0)])
def test_a_perfect_score_is_perfect_and_its_opposite_is_not(sign: int, want: float) -> None:
    label = np.repeat([0, 1], 100)
    words = np.tile(np.arange(100), 2)
    assert auroc_at_like_length(sign * label.astype(float), label, words) == want
    assert tpr_at_like_length(sign * label.astype(float), label, words) == want


def test_without_both_classes_nothing_is_known() -> None:
    ones = np.ones(5, dtype=np.int64)
    assert auroc_at_like_length(np.arange(5.0), ones, ones) == 0.5
    assert tpr_at_like_length(np.arange(5.0), ones, ones) == 0.0


def test_people_are_weighed_to_the_lengths_of_machines() -> None:
    # Short people score high, but machines are long: at their length the cut is low.
    label = np.repeat([0, 0, 1], 1000)
    words = np.repeat([5, 50, 50], 1000)
    score = np.concatenate([np.full(1000, 9.0), RNG.normal(0, 1, 1000), np.full(1000, 5.0)])
    assert tpr_at_like_length(score, label, words) == 1.0


def test_the_interval_holds_the_value_and_narrows_with_rows() -> None:
    def width(n: int) -> float:
        label = np.repeat([0, 1], n)
        score = RNG.normal(label.astype(float), 1)
        found = bootstrap(auroc_at_like_length, score, label, np.full(2 * n, 9), np.random.default_rng(0), draws=60)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(2000) < width(100)
