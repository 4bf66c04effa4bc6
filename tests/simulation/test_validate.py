"""The gate finds what metadata tell, and on the presets that are meant to be hard they tell next to nothing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from simulation.population_config import Crude, PopulationConfig
from simulation.population_files import preset
from simulation.validate import FEATURES, MetadataReport, auroc, features, judge
from simulation.world import Chunk, World
from streaming.cli import invoke

HARD = ("town", "election", "botnet-frontier", "quiet")


def judged(population: PopulationConfig, seed: int = 0) -> MetadataReport:
    world = World(population, seed)
    return judge(world, world.chunks())


def test_auroc_is_the_chance_that_a_positive_ranks_higher_ties_half() -> None:
    score = np.array([1.0, 2.0, 2.0, 3.0])
    label = np.array([False, True, False, True])
    assert auroc(score, label) == (1 + 0.5 + 1 + 1) / 4
    assert auroc(-score, label) == 1 - 3.5 / 4
    assert auroc(score, np.zeros(4, bool)) == 0.5


def test_every_account_has_every_feature() -> None:
    world = World(PopulationConfig(accounts=300, days=1.0, machines=0.0, burn_in_hours=6.0), 0)
    found = Chunk.joined(list(world.chunks()))
    table = features(world, found)
    assert table.shape == (300, len(FEATURES))
    column = dict(zip(FEATURES, table.T, strict=True))
    assert column["events"].sum() == len(found)
    assert column["received"].sum() == (found.target_account >= 0).sum()
    shares = sum(column[name] for name in ("posts", "replies", "reposts", "quotes", "likes"))
    assert np.nanmax(shares) <= 1 + 1e-9
    for name in ("links", "distinct links", "night", "mutual", "hour spread"):
        assert 0 <= np.nanmin(column[name]) <= np.nanmax(column[name]) <= 1 + 1e-9


def test_town_is_hard() -> None:
    assert judged(msgspec.structs.replace(preset("town"), days=1.5)).failures() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", HARD)
def test_hard_presets_are_hard_whatever_the_seed(name: str, seed: int) -> None:
    assert judged(preset(name), seed).failures() == []


def test_a_crude_operator_is_found_by_the_gate() -> None:
    population = msgspec.structs.replace(preset("botnet-classic"), accounts=1500, days=1.0)
    found = judged(population)
    assert found.boosted > 0.9
    assert found.controls > 0.9
    assert len(found.failures()) == 3


@pytest.mark.parametrize(("factor", "feature"), [({"rate": 1.8}, "events"), ({"age": 0.5}, "age")])
def test_one_habit_that_differs_is_found_and_named(factor: dict[str, float], feature: str) -> None:
    town = preset("town")
    families = tuple(msgspec.structs.replace(family, crude=Crude(**factor)) for family in town.operators)
    found = judged(msgspec.structs.replace(town, accounts=3000, days=1.0, operators=families))
    assert found.worst[0] == feature
    assert found.failures()


def test_the_command_fails_where_metadata_tell_too_much() -> None:
    small = ["--accounts", "1500", "--days", "1"]
    assert invoke(["simulate", "--preset", "botnet-classic", "--gate", *small]) == 0  # it is meant to be easy
    assert invoke(["simulate", "--preset", "null", "--gate", *small]) == 0
