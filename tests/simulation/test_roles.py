"""Who plays what: campaigns, matched controls and look-alikes in the numbers that the simulated population states."""

from __future__ import annotations

from math import log

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.population import People, draw
from simulation.population_config import Crude, LookAlike, LookAlikes, Operator, PopulationConfig, Tactics
from simulation.roles import RoleAssignment, assign_roles, fitted, sizes
from simulation.sampling import DAY_MS
from tests.simulation.populations import NOBODY
from tests.simulation.stated import Deviations, held, mean

ONE = PopulationConfig(accounts=4000, machines=0.1, lookalikes=NOBODY, operators=(Operator(name="one", size=(5, 80)),))


def cast_of(population: PopulationConfig, seed: int = 0) -> tuple[People, RoleAssignment]:
    people = draw(population, seed)
    return people, assign_roles(population, people, seed)


def with_family(**changes: object) -> PopulationConfig:
    return msgspec.structs.replace(ONE, operators=(msgspec.structs.replace(ONE.operators[0], **changes),))


def test_sizes_of_campaigns_are_log_uniform() -> None:
    def deviations(made: Operator, stated: Operator, rng: np.random.Generator) -> Deviations:
        drawn = sizes(made, 20_000, rng)
        low, high = stated.size
        middle = (log(low) + log(high + 1)) / 2
        return [mean(np.log(drawn + 0.5), middle), float(drawn.min() != low) * 9, float(drawn.max() != high) * 9]

    held(Operator(name="a", size=(30, 200)), ["size"], deviations)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 100)), min_size=1, max_size=30), st.data())
def test_fitted_campaigns_keep_their_bounds_and_never_exceed_what_is_wanted(
    bounds: list[tuple[int, int]], data: st.DataObject
) -> None:
    planned = []
    for low, more in bounds:
        family = Operator(name="a", size=(low, low + more))
        planned.append((family, data.draw(st.integers(low, low + more))))
    wanted = data.draw(st.integers(max(low for low, _ in bounds), 3000))
    found = fitted(planned, wanted)
    assert all(family.size[0] <= size <= family.size[1] for family, size in found)
    total = sum(size for _, size in found)
    assert total <= wanted
    if len(found) == len(planned):
        assert total == sum(f.size[1] for f, _ in planned) or total > wanted - 31 * len(planned)


@pytest.mark.parametrize("machines", [0.05, 0.06, 0.1, 0.12])
def test_machines_and_their_controls_are_as_many_as_stated(machines: float) -> None:
    _, found = cast_of(msgspec.structs.replace(ONE, machines=machines))
    assert machines * 4000 * 0.95 <= found.label.sum() <= machines * 4000
    assert sum(control is not None for control in found.control_of) == found.label.sum()


@pytest.mark.parametrize("campaigns", [20, 24, 30])
def test_there_are_at_least_as_many_campaigns_as_asked_for(campaigns: int) -> None:
    _, found = cast_of(msgspec.structs.replace(ONE, campaigns=campaigns))
    assert len(found.campaigns) == campaigns


def test_families_are_divided_by_weight() -> None:
    two = (Operator(name="a", size=(4, 4), weight=3.0), Operator(name="b", size=(4, 4), weight=2.0))
    _, found = cast_of(msgspec.structs.replace(ONE, operators=two))
    names = [campaign.family.name for campaign in found.campaigns]
    assert names.count("a") == 60
    assert names.count("b") == 40


def test_a_control_is_a_person_with_the_members_parameters_and_a_group_of_its_own() -> None:
    people, found = cast_of(with_family(tactics=Tactics(clique=0.5)))
    for campaign in found.campaigns:
        for name in ("rate", "branching", "gap_s", "peak", "zone", "links", "fame", "age_days", "community"):
            values = getattr(people, name)
            assert np.array_equal(values[campaign.members], values[campaign.controls])
        assert not found.label[campaign.controls].any()
    groups = {tuple(group.members.tolist()) for group in found.groups}
    assert all((control,) in groups for campaign in found.campaigns for control in campaign.controls.tolist())


def test_operators_accounts_are_like_everybodys() -> None:
    people, found = cast_of(ONE)
    assert found.label.sum() > 100
    for values in (people.rate, people.kinds[:, 2], people.fame, people.links):
        rank = np.argsort(np.argsort(values)) / len(values)
        assert abs(rank[found.label].mean() - 0.5) < 0.02


@pytest.mark.parametrize("part", [0.4, 0.5, 0.6])
@pytest.mark.parametrize("name", ["quiet", "bought"])
def test_quiet_and_bought_members_are_as_many_as_stated(name: str, part: float) -> None:
    _, found = cast_of(with_family(size=(10, 80), **{name: part}))
    assert len(found.campaigns) > 3
    for campaign in found.campaigns:
        assert len(getattr(campaign, name)) == int(part * len(campaign.members))
        assert all(found.role[account] == name for account in getattr(campaign, name).tolist())


@pytest.mark.parametrize("day", [0.8, 1.0, 1.2])
def test_bought_accounts_are_machines_from_the_campaigns_beginning_on(day: float) -> None:
    _, found = cast_of(with_family(bought=1.0, begin_day=day))
    start = 1_709_510_400_000
    assert set(found.since_ms[found.label].tolist()) == {start + round(day * DAY_MS)}
    assert {group.begin_ms for group in found.groups} == {round(day * DAY_MS)}


@pytest.mark.parametrize("factor", [2.0, 2.4])
def test_crude_operators_accounts_differ_by_the_stated_factors(factor: float) -> None:
    plain, found = cast_of(ONE)
    who = found.label
    crude = Crude(rate=factor, reposts=factor, likes=1 / factor, age=1 / factor, audience=1 / factor, flat=factor / 4)
    changed, _ = cast_of(with_family(crude=crude))
    assert np.allclose(changed.rate[who], plain.rate[who] * factor)
    assert np.allclose(changed.age_days[who], plain.age_days[who] / factor)
    assert np.allclose(changed.fame[who], plain.fame[who] / factor)
    for kind, times in ((2, factor), (4, 1 / factor)):
        odds = [people.kinds[who, kind] / people.kinds[who, 0] for people in (changed, plain)]
        assert np.allclose(odds[0], odds[1] * times)
    assert np.allclose(changed.night[who], 0.1 * (1 - factor / 4) + factor / 4)
    assert np.array_equal(changed.rate[~who], plain.rate[~who])


@pytest.mark.parametrize("name", LookAlikes.__struct_fields__)
@pytest.mark.parametrize("share", [0.05, 0.06])
def test_every_look_alike_is_as_common_as_stated_and_named(name: str, share: float) -> None:
    only = msgspec.structs.replace(NOBODY, **{name: LookAlike(share=share, size=(10, 50), joint=0.3, lag_s=77.0)})
    _, found = cast_of(PopulationConfig(accounts=2000, machines=0.0, lookalikes=only))
    slices = [value for value in found.slice if value != "ordinary"]
    assert slices == [name.replace("_", "-")] * round(share * 2000)
    assert not found.label.any()
    grouped = sum(group is not None for group in found.group)
    assert grouped == (len(slices) if name in ("activists", "fan_club") else 0)
    for group in found.groups:
        assert group.tactics.joint == 0.3
        assert group.tactics.lag_s == 77.0
        assert group.tactics.tasks_per_day == 4.0


def test_crowds_are_of_log_uniform_size() -> None:
    def deviations(made: LookAlike, stated: LookAlike, rng: np.random.Generator) -> Deviations:
        only = msgspec.structs.replace(NOBODY, activists=made)
        _, found = cast_of(PopulationConfig(accounts=20_000, machines=0.0, lookalikes=only), int(rng.integers(9)))
        drawn = np.array([len(group.members) for group in found.groups[:-1]])
        low, high = stated.size
        return [mean(np.log(drawn + 0.5), (log(low) + log(high + 1)) / 2), float(drawn.min() < low) * 9]

    held(LookAlike(share=0.9, size=(10, 20)), ["size"], deviations)


def test_without_operators_nobody_is_a_machine() -> None:
    _, found = cast_of(PopulationConfig(accounts=500, machines=0.0))
    assert not found.label.any()
    assert found.campaigns == []
