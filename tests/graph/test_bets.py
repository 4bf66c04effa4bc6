"""Bets: what opens one, what counts, and that they are fair."""

from __future__ import annotations

import math

import numpy as np

from graph.bets import CLOSED, Bets, activity_cell, close, learn, meet, mixture
from graph.touches import HOUR_MS, MINUTE_MS, TOUCH_KINDS, CoordinationSettings, Touch, TraceKind
from graph.window import TouchWindow

SETTINGS = CoordinationSettings()
FAIR = [1.0] * TOUCH_KINDS
LINK = TraceKind.LINK


def frozen(members: range, pool: range = range(100, 150), rate: float = 0.0) -> Bets:
    share = dict.fromkeys(members, 1 / len(members))
    return Bets(dict.fromkeys(members, 0), list(pool), [rate] * TOUCH_KINDS, [rate] * TOUCH_KINDS, share)


class Table:
    """A window and one group's bets; every touch is met at once."""

    def __init__(self, members: range) -> None:
        self.window, self.bets = TouchWindow(), frozen(members)
        self.totals: dict[int, int] = {}

    def touch(self, at: int, row: int, *keys: str, kind: TraceKind = LINK) -> int:
        first = self.window.end
        self.window.add([Touch(at, row, kind, key) for key in keys])
        cell = activity_cell(kind, at, SETTINGS.activity_bin_ms)
        self.totals[cell] = self.totals.get(cell, 0) + len(keys)
        if row not in self.bets.members:
            return CLOSED
        self.bets.active[cell] = self.bets.active.get(cell, 0) + len(keys)
        slots = [self.window.slot_of(kind, key) for key in keys]
        touched = [(first + n, slot, int(kind)) for n, slot in enumerate(slots) if slot is not None]
        return meet(self.bets, row, at, touched, self.window, SETTINGS)

    def close(self, number: int, at: int, end: bool = False) -> list[tuple[int, int, float]]:
        return close(self.bets, number, at, self.window, self.totals, FAIR, SETTINGS, end)


def test_objects_nobody_else_touches_cost_nothing() -> None:
    table = Table(range(5))
    number = table.touch(1000, 0, "a")
    table.close(number, 10 * HOUR_MS)
    assert math.isclose(table.bets.log_value, 0.0, abs_tol=1e-9)
    assert not table.bets.bundles


def test_members_count_once_and_the_cap_ends_the_bet() -> None:
    table = Table(range(6))
    for n in range(30):
        table.touch(1000 + n, 200 + n, f"noise{n}")
    number = table.touch(2000, 0, "a")
    for member in (1, 1, 2, 3, 4):
        table.touch(3000 + member, member, "a")
    settled = table.close(number, 4000)
    assert [hits for _, hits, _ in settled] == [SETTINGS.hit_cap]
    assert table.bets.log_value > 1.0
    assert not table.bets.bundles


def test_outsiders_coming_lowers_the_value() -> None:
    table = Table(range(6))
    number = table.touch(2000, 0, "a")
    for outsider in range(200, 230):
        table.touch(3000, outsider, "a")
    table.close(number, 10 * HOUR_MS)
    assert table.bets.log_value < 0.0


def test_an_object_that_a_member_touched_before_is_not_bet_on() -> None:
    table = Table(range(5))
    del table.bets.members[4]
    table.touch(1000, 4, "a")
    table.bets.members[4] = 1500
    assert table.touch(2000, 0, "a") == CLOSED


def test_a_popular_object_is_not_bet_on() -> None:
    table = Table(range(5))
    for n in range(SETTINGS.popular + 1):
        table.touch(1000 + n, 200 + n, "a")
    assert table.touch(5000, 0, "a") == CLOSED


def test_one_event_is_one_observation() -> None:
    one, many = Table(range(5)), Table(range(5))
    for table, keys in ((one, ("a",)), (many, ("a", "b", "c"))):
        for n in range(40):
            table.touch(1000, 200 + n, f"noise{n}")
        number = table.touch(2000, 0, *keys)
        for member in (1, 2, 3):
            assert table.touch(2000 + member, member, *keys) == number
        table.close(number, 10 * HOUR_MS)
    assert 1.0 < many.bets.log_value <= one.bets.log_value


def test_a_member_that_joined_later_does_not_count() -> None:
    table = Table(range(5))
    table.bets.members[1] = 2500
    number = table.touch(2000, 0, "a")
    table.touch(3000, 1, "a")
    assert table.close(number, 10 * HOUR_MS)[0][1] == 0


def test_bets_on_independent_people_are_fair() -> None:
    # 200 people touch 30 objects at random; a fixed ten of them are bet on, with what they and all others do known.
    values = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        table = Table(range(10))
        opened = []
        for at in np.sort(rng.integers(0, 3 * HOUR_MS, 150)).tolist():
            number = table.touch(at, int(rng.integers(0, 200)), f"o{int(rng.integers(0, 30))}")
            opened += [number] if number >= 0 else []
        for number in sorted(set(opened)):
            table.close(number, 4 * HOUR_MS, end=True)
        values.append(math.exp(table.bets.log_value))
    assert np.mean(values) <= 1.0 + 2 * np.std(values) / math.sqrt(len(values))
    assert np.mean(values) > 0.3


def test_affinity_is_learned_from_the_pool_without_its_outliers() -> None:
    bets = frozen(range(5))
    bets.pool_share = dict.fromkeys(bets.pool, 1 / len(bets.pool))
    bets.visits_expected[LINK] = 20.0
    bets.visits = {row * TOUCH_KINDS + LINK: 2 for row in bets.pool}
    learn(bets, FAIR)
    assert 3.5 < bets.affinity[LINK] < 6.0
    # Three accounts that come to everything the group opens are likely of the group.
    bets.visits = {row * TOUCH_KINDS + LINK: 15 for row in bets.pool[:3]}
    learn(bets, FAIR)
    assert bets.affinity[LINK] < 1.2


def test_the_mixture_of_ones_is_one() -> None:
    assert math.isclose(mixture(Bets({}).log_e), 0.0, abs_tol=1e-12)


def test_windows_end() -> None:
    table = Table(range(5))
    number = table.touch(1000, 0, "a", kind=TraceKind.DOMAIN)
    table.touch(1000 + 61 * MINUTE_MS, 1, "a", kind=TraceKind.DOMAIN)
    assert table.bets.bundles[number].items[1].hits == []
