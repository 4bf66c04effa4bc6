"""e-LOND's budget."""

from __future__ import annotations

import math

from graph.elond import gamma, log_bar


def test_the_budget_is_not_exceeded() -> None:
    known = 200_000
    tail = 0.5 / (1 + math.log(known))  # integral of gamma from there on
    assert sum(gamma(number) for number in range(1, known + 1)) + tail <= 1.0


def test_the_bar_rises_with_the_number_and_falls_with_discoveries() -> None:
    assert log_bar(1, 0, 0.05) < log_bar(2, 0, 0.05) < log_bar(100, 0, 0.05)
    assert math.isclose(log_bar(7, 0, 0.05) - log_bar(7, 3, 0.05), math.log(4))
