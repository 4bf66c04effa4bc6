"""Small societies for tests: alike people, and nothing going on but what a test puts in."""

from __future__ import annotations

import msgspec
import numpy as np

from simulation.actors import Crew, Crews, Sittings
from simulation.settings import Activity, LookAlike, LookAlikes, News, Society, Tactics, Ties
from simulation.world import World

NOBODY = LookAlikes(**{name: LookAlike(share=0.0) for name in LookAlikes.__struct_fields__})

QUIET = Society(
    accounts=600,
    machines=0.0,
    burn_in_hours=0.0,
    step_minutes=60.0,
    activity=Activity(spread=0.05, branching=0.02, branching_concentration=1000.0, mean_per_day=8.0),
    ties=Ties(community=100),
    news=News(per_day=0.0),
    lookalikes=NOBODY,
)


MEMBERS = 300
"""Accounts of `world_with` that belong to crews; the next `CREWS` are those who lead them, if anybody does."""

CREWS = 30
"""Many small crews: how many tasks a crew happens to have is the same for all its members."""


def world_with(tactics: Tactics, seed: int = 0, **changes: object) -> World:
    """A quiet world in which the first accounts are crews; who leads one sits down 60 times a day."""
    world = World(msgspec.structs.replace(QUIET, **changes), seed)
    led = tactics.cadence in ("copied", "framing")
    if led:
        world.people.rate[MEMBERS : MEMBERS + CREWS] = 60.0
        world.sittings = Sittings(world.people, world.society.activity.peakedness)
    groups = np.arange(MEMBERS).reshape(CREWS, -1)
    recast(world, [Crew(group, tactics, 0, leader=MEMBERS + i if led else -1) for i, group in enumerate(groups)])
    return world


def recast(world: World, crews: list[Crew]) -> None:
    """Other crews than the society's own."""
    world.cast.crews[:] = crews
    world.crews = Crews(crews, len(world.people), world.start_ms)
    world.gather()
