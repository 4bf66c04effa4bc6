"""Acts a society out into a recording for the detector, with texts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from simulation.arrays import Flags, Ints, Json
from simulation.files import written
from simulation.render import Renderer, truth
from simulation.settings import Society
from simulation.society import World
from simulation.texts.choice import writer_of


@dataclass(frozen=True)
class Recording:
    """A society acted out. `truth`: one row an account; `joint` (accounts,): acts of each that served a task."""

    world: World
    names: list[str]
    truth: list[Json]
    events: int
    texts: int
    joint: Ints
    acting: Flags


def record(society: Society, seed: int, events: Path) -> Recording:
    """Act out a society into the file `events`.

    Raises:
        UsageError: the texts or the file cannot be used.
    """
    world = World(society, seed)
    renderer, writer = Renderer(world), writer_of(world, os.environ)
    n = len(world.people)
    joint, acts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    count = texts = 0
    with written(events) as file:
        for chunk in world.chunks():
            said = writer.texts(chunk) if writer is not None else None
            file.write(renderer.lines(chunk, said))
            texts += sum(text is not None for text in said or ())
            count += len(chunk)
            acts += np.bincount(chunk.account, minlength=n)
            joint += np.bincount(chunk.account[chunk.task >= 0], minlength=n)
    return Recording(world, renderer.names, truth(world, renderer.names), count, texts, joint, acts > 0)


def with_texts(society: Society, people: str, machines: str) -> Society:
    """The society with these sources of texts."""
    return msgspec.structs.replace(
        society, texts=msgspec.structs.replace(society.texts, people=people, machines=machines)
    )
