"""Bets: what opens one, what counts, and that they are fair.

e-LOND's budget.

Stakes: what bundles of bets amount to.
"""

from __future__ import annotations

import math

import numpy as np

from graph.baselines import learn
from graph.group_test import (
    CELLS,
    CLOSED,
    THETAS,
    AuthorRates,
    Bets,
    Record,
    Settled,
    TracedObject,
    activity_cell,
    by_class,
    capped,
    class_of,
    close,
    due_ms,
    e_value,
    gamma,
    log_threshold,
    meet,
    multiply,
    no_bets,
    worth,
)
from graph.groups import Group, inherit
from graph.trace_kind import ANSWERED, CLASSES, LIKED, PUBLISHED, SHARED
from graph.trace_window import TraceWindow
from graph.traces import (
    DOMAIN,
    HOUR_MS,
    INTERACTION,
    KINDS,
    LINK,
    MINUTE_MS,
    NEAR_DUPLICATE,
    REPLY_TARGET,
    REPOST,
    CoordinationSettings,
    Trace,
)

SETTINGS = CoordinationSettings()
FAIR = [1.0] * KINDS
LINK = LINK


def frozen(members: range, controls: range = range(100, 150), rate: float = 0.0) -> Bets:
    share = dict.fromkeys(members, 1 / len(members))
    control_share = dict.fromkeys(controls, 1 / len(controls))
    return Bets(dict.fromkeys(members, 0), [rate] * KINDS, [rate] * KINDS, share, control_share)


class Table:
    """A window and one group's bets; every trace is met at once."""

    def __init__(self, members: range) -> None:
        self.window, self.bets = TraceWindow(), frozen(members)
        self.totals: dict[int, int] = {}

    def trace(self, at: int, row: int, *keys: str, kind: int = LINK) -> int:
        first = self.window.end
        self.window.add([Trace(at, row, kind, key) for key in keys])
        cell = activity_cell(kind, at, SETTINGS.activity_bin_ms)
        self.totals[cell] = self.totals.get(cell, 0) + len(keys)
        if row not in self.bets.members:
            return CLOSED
        self.bets.active[cell] = self.bets.active.get(cell, 0) + len(keys)
        slots = [self.window.slot_of(kind, key) for key in keys]
        objects = [
            TracedObject(first + n, int(kind), self.window.uid(slot), int(self.window.count[slot]) - 1)
            for n, slot in enumerate(slots)
            if slot is not None
        ]
        return meet(self.bets, row, at, objects, SETTINGS.popular)

    def close(self, number: int, at: int = 10 * HOUR_MS) -> list[Settled]:
        author_rates = AuthorRates(self.window, at, SETTINGS)
        settled = close(self.bets, number, Record(self.window, author_rates, self.totals, FAIR, SETTINGS))
        self.bets.log_value = worth(self.bets)
        return settled


def test_objects_nobody_else_touches_cost_nothing() -> None:
    table = Table(range(5))
    number = table.trace(1000, 0, "a")
    table.close(number)
    assert math.isclose(table.bets.log_value, 0.0, abs_tol=1e-9)
    assert not table.bets.bundles


def test_members_count_once_and_the_cap_ends_the_bet() -> None:
    table = Table(range(6))
    for n in range(30):
        table.trace(1000 + n, 200 + n, f"noise{n}")
    number = table.trace(2000, 0, "a")
    for member in (1, 1, 2, 3, 4):
        table.trace(3000 + member, member, "a")
    assert capped(table.bets.bundles[number], SETTINGS.hit_cap)
    settled = table.close(number)
    assert [outcome.hits for outcome in settled] == [SETTINGS.hit_cap]
    assert table.bets.log_value > 1.0
    assert not table.bets.bundles


def test_outsiders_coming_lowers_the_value() -> None:
    table = Table(range(6))
    number = table.trace(2000, 0, "a")
    for outsider in range(200, 230):
        table.trace(3000, outsider, "a")
    table.close(number)
    assert table.bets.log_value < 0.0


def test_a_popular_object_is_not_bet_on() -> None:
    table = Table(range(5))
    for n in range(SETTINGS.popular + 1):
        table.trace(1000 + n, 200 + n, "a")
    assert table.trace(5000, 0, "a") == CLOSED


def test_one_event_is_one_observation() -> None:
    one, many = Table(range(5)), Table(range(5))
    for table, keys in ((one, ("a",)), (many, ("a", "b", "c"))):
        for n in range(40):
            table.trace(1000, 200 + n, f"noise{n}")
        number = table.trace(2000, 0, *keys)
        for member in (1, 2, 3):
            assert table.trace(2000 + member, member, *keys) == number
        table.close(number)
    assert 1.0 < many.bets.log_value <= one.bets.log_value


def test_a_member_that_joined_later_does_not_count() -> None:
    table = Table(range(5))
    table.bets.members[1] = 2500
    number = table.trace(2000, 0, "a")
    table.trace(3000, 1, "a")
    assert table.close(number)[0].hits == 0


def test_bets_on_independent_people_are_fair() -> None:
    # 200 people act on 30 objects at random; a fixed ten of them are bet on, with what they and all others do known.
    values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        table = Table(range(10))
        opened = []
        for at in np.sort(rng.integers(0, 3 * HOUR_MS, 150)).tolist():
            number = table.trace(at, int(rng.integers(0, 200)), f"o{int(rng.integers(0, 30))}")
            opened += [number] if number >= 0 else []
        for number in sorted(set(opened)):
            table.close(number)
        values.append(math.exp(table.bets.log_value))
    assert np.mean(values) <= 1.0 + 2 * np.std(values) / math.sqrt(len(values))
    assert np.mean(values) > 0.3


def test_affinity_is_learned_from_the_pool_without_its_outliers() -> None:
    bets = frozen(range(5))
    bets.visits_expected[LINK] = 20.0
    bets.visits = {row * KINDS + LINK: 2 for row in bets.controls}
    learn(bets, FAIR)
    assert 3.5 < bets.baseline_rate[LINK] < 6.0
    # Three accounts that come to everything the group opens are likely of the group.
    bets.visits = {row * KINDS + LINK: 15 for row in list(bets.controls)[:3]}
    learn(bets, FAIR)
    assert bets.baseline_rate[LINK] < 1.2


def test_windows_end() -> None:
    table = Table(range(5))
    number = table.trace(1000, 0, "a", kind=DOMAIN)
    table.trace(1000 + 61 * MINUTE_MS, 1, "a", kind=DOMAIN)
    assert table.bets.bundles[number].items[0].hits == []
    assert due_ms(table.bets.bundles[number]) == 1000 + 60 * MINUTE_MS


def test_followers_of_one_author_are_expected_on_its_posts() -> None:
    # Members like the author's posts day by day; the same co-occurrences on posts of ever new authors are evidence.
    fans, allies, opened = Table(range(5)), Table(range(5)), 0
    for table, post in ((fans, "star\n{}"), (allies, "author{}\n0")):
        for day, members in enumerate([(0, 1, 2), (1, 2, 3), (2, 3, 4), (0, 2, 4)]):
            start = (day + 1) * 9 * HOUR_MS
            for n in range(60):
                table.trace(start, 200 + n, f"x{day}{n}\n0", kind=INTERACTION)
            for late, member in enumerate(members):
                number = table.trace(start + 1 + late, member, post.format(day), kind=INTERACTION)
                opened = max(number, 0) if late == 0 else opened
        table.close(opened, 37 * HOUR_MS)
    assert fans.bets.log_value < 0.2 < 0.5 < allies.bets.log_value


def test_the_budget_is_not_exceeded() -> None:
    known = 200_000
    tail = 0.5 / (1 + math.log(known))  # integral of gamma from there on
    assert sum(gamma(number) for number in range(1, known + 1)) + tail <= 1.0


def test_the_bar_rises_with_the_number_and_falls_with_discoveries() -> None:
    assert log_threshold(1, 0, 0.05) < log_threshold(2, 0, 0.05) < log_threshold(100, 0, 0.05)
    assert math.isclose(log_threshold(7, 0, 0.05) - log_threshold(7, 3, 0.05), math.log(4))


def test_no_bets_amount_to_one() -> None:
    assert math.isclose(e_value(no_bets()), 0.0, abs_tol=1e-12)
    assert len(no_bets()) == CLASSES * CELLS


def test_an_event_has_one_class() -> None:
    assert class_of({LINK, DOMAIN, NEAR_DUPLICATE}) == PUBLISHED
    assert class_of({REPLY_TARGET, LINK}) == ANSWERED
    assert class_of({REPOST}) == SHARED
    assert class_of({INTERACTION}) == LIKED


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
