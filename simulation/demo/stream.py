"""Makes the stream that the demo plays: the preset `demo` acted out with a seed.

Out comes a `Stream`: events as JSON lines in order of time, and the truth about every account.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from simulation.content.language_models import writer_of
from simulation.output import Renderer, truth
from simulation.population_config import PopulationConfig
from simulation.population_files import preset
from simulation.sampling import Json
from simulation.world import World

PRESET: Final = "demo"

CLUB: Final = "fan-club"
"""The slice of the people who act together and are people."""


class PlayedEvent(msgspec.Struct, frozen=True):
    """One event: who acted, when (ms since 1970), and its line of JSON."""

    account: str
    at_ms: int
    line: bytes


class Stream(msgspec.Struct, frozen=True):
    """Events in order of time, and for every account its label (1: planted) and campaign."""

    events: list[PlayedEvent]
    truth: list[Json]

    def campaigns(self) -> dict[str, set[str]]:
        """Accounts of each planted campaign."""
        found: dict[str, set[str]] = {}
        for row in self.truth:
            if row["campaign"]:
                found.setdefault(row["campaign"], set()).add(row["account"])
        return found

    def club(self) -> set[str]:
        """The people who act together and are people."""
        return {row["account"] for row in self.truth if row["slice"] == CLUB}

    def machines(self) -> set[str]:
        """The planted accounts."""
        return {row["account"] for row in self.truth if row["label"]}


def make_stream(seed: int, population: PopulationConfig | None = None) -> Stream:
    """Act out a simulated population, the preset `demo` where None.

    Raises:
        UsageError: `chitchat-dataset`, where the preset's people come from, is not installed.
    """
    world = World(preset(PRESET) if population is None else population, seed)
    renderer, writer = Renderer(world), writer_of(world, os.environ)
    events = []
    for chunk in world.chunks():
        lines = renderer.rows(chunk, writer.texts(chunk) if writer is not None else None)
        names = [renderer.names[account] for account in chunk.account.tolist()]
        events += [
            PlayedEvent(name, at, line.encode()) for name, at, line in zip(names, chunk.at.tolist(), lines, strict=True)
        ]
    return Stream(events, truth(world, renderer.names))
