"""Small simulated populations for tests: alike people, and nothing going on but what a test puts in."""

from __future__ import annotations

import msgspec
import numpy as np

from simulation.actors import Sessions
from simulation.coordinated_groups import CoordinatedGroup, CoordinatedGroups
from simulation.population_config import Activity, LookAlike, LookAlikes, News, PopulationConfig, Tactics, TieSettings
from simulation.world import World

NOBODY = LookAlikes(**{name: LookAlike(share=0.0) for name in LookAlikes.__struct_fields__})

QUIET = PopulationConfig(
    accounts=600,
    machines=0.0,
    burn_in_hours=0.0,
    step_minutes=60.0,
    activity=Activity(spread=0.05, branching=0.02, branching_concentration=1000.0, mean_per_day=8.0),
    ties=TieSettings(community=100),
    news=News(per_day=0.0),
    lookalikes=NOBODY,
)


MEMBERS = 300
"""Accounts of `world_with` that belong to groups; the next `GROUPS` are those who lead them, if anybody does."""

GROUPS = 30
"""Many small groups: how many tasks a group happens to have is the same for all its members."""


def world_with(tactics: Tactics, seed: int = 0, **changes: object) -> World:
    """A quiet world in which the first accounts are groups; who leads one starts a session 60 times a day."""
    world = World(msgspec.structs.replace(QUIET, **changes), seed)
    led = tactics.cadence in ("copied", "framing")
    if led:
        world.people.rate[MEMBERS : MEMBERS + GROUPS] = 60.0
        world.sessions = Sessions(world.people, world.population.activity.peakedness)
    groups = np.arange(MEMBERS).reshape(GROUPS, -1)
    regroup(
        world,
        [CoordinatedGroup(group, tactics, 0, leader=MEMBERS + i if led else -1) for i, group in enumerate(groups)],
    )
    return world


def regroup(world: World, groups: list[CoordinatedGroup]) -> None:
    """Other groups than the simulated population's own."""
    world.roles.groups[:] = groups
    world.groups = CoordinatedGroups(groups, len(world.people), world.start_ms)
    world.gather()
