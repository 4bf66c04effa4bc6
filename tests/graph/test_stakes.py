"""Stakes: what bundles of bets amount to."""

from __future__ import annotations

import math

import numpy as np

from graph.bets import Bets
from graph.group import Group, inherit
from graph.stakes import (
    ANSWERED,
    CELLS,
    CLASSES,
    LIKED,
    PUBLISHED,
    SHARED,
    THETAS,
    by_class,
    class_of,
    e_value,
    multiply,
    no_bets,
)
from graph.touches import TraceKind


def test_no_bets_amount_to_one() -> None:
    assert math.isclose(e_value(no_bets()), 0.0, abs_tol=1e-12)
    assert len(no_bets()) == CLASSES * CELLS


def test_an_event_has_one_class() -> None:
    assert class_of({TraceKind.LINK, TraceKind.DOMAIN, TraceKind.NEAR_DUPLICATE}) == PUBLISHED
    assert class_of({TraceKind.REPLY_TARGET, TraceKind.LINK}) == ANSWERED
    assert class_of({TraceKind.REPOST}) == SHARED
    assert class_of({TraceKind.INTERACTION}) == LIKED


def test_classes_add_up_and_a_losing_class_costs_little() -> None:
    one, both, mixed = no_bets(), no_bets(), no_bets()
    win, lose = [(1.0, [2.0] * len(THETAS))], [(1.0, [-2.0] * len(THETAS))]
    for _ in range(4):
        multiply(one, PUBLISHED, win)
        multiply(both, PUBLISHED, win)
        multiply(both, ANSWERED, win)
        multiply(mixed, PUBLISHED, win)
    for _ in range(500):
        multiply(mixed, LIKED, lose)
    assert e_value(both) > e_value(one) + 2.0
    assert e_value(mixed) > e_value(one) - 2.5
    assert by_class(mixed)[LIKED] < 0.0


def test_fair_bets_stay_fair_whatever_the_mix() -> None:
    rng = np.random.default_rng(1)
    values = []
    for _ in range(3000):
        log_e = no_bets()
        for _ in range(6):
            # A factor of 3 with chance 1/3, else nothing, for both thetas at once: mean one.
            outcome = math.log(3.0) if rng.random() < 1 / 3 else -30.0
            multiply(log_e, int(rng.integers(0, CLASSES)), [(1.0, [outcome] * len(THETAS))])
        values.append(math.exp(e_value(log_e)))
    assert abs(np.mean(values) - 1.0) < 3 * np.std(values) / math.sqrt(len(values))


def test_a_merged_group_is_worth_the_mean_of_both() -> None:
    groups = []
    for number, turn in ((1, PUBLISHED), (2, SHARED)):
        bets = Bets({1: 0})
        for _ in range(number + 2):
            multiply(bets.log_e, turn, [(1.0, [3.0] * len(THETAS))])
        bets.log_value = e_value(bets.log_e)
        groups.append(Group(f"g{number}", number, 0, 0, 0, 1, bets))
    mean = (math.exp(groups[0].log_e) + math.exp(groups[1].log_e)) / 2
    inherit(*groups)
    assert math.exp(groups[0].log_e) <= mean * (1 + 1e-9)
    assert groups[0].log_e > math.log(mean) - 3.0
