"""Makes the sources of texts that a society or the command line names.

`none`; `corpus:FILE`; `demo`, the project's own; for machines also `local:FOLDER`, `local:FILE.gguf`, `smollm2` and
`endpoint:ADDRESS#MODEL`, whose key is read from the variable that `texts.key_env` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detector.errors import UsageError
from simulation.society import World
from simulation.texts.corpus import Corpus, Speakers
from simulation.texts.demo import DEMO, rows
from simulation.texts.endpoint import Endpoint
from simulation.texts.local import SMOLLM2, LocalModel
from simulation.texts.personas import Personas
from simulation.texts.requests import Source
from simulation.texts.writer import Writer


def writer_of(world: World, environ: Mapping[str, str]) -> Writer | None:
    """The writer that the world's society asks for, None for no texts.

    Raises:
        UsageError: a source that does not exist or cannot be used.
    """
    texts = world.society.texts
    personas = Personas.load(Path(texts.personas)) if texts.personas else Personas.shipped()
    people = _corpus(texts.people, world, machines=False)
    if people is None and texts.people != "none":
        raise UsageError(
            f"texts.people = {texts.people!a}: people's texts are people's: name corpus:FILE, demo or none; a model "
            "may write for machines only"
        )
    machines = _corpus(texts.machines, world, machines=True) or _model(texts.machines, world, personas, environ)
    if machines is None and texts.machines != "none":
        raise UsageError(
            f"texts.machines = {texts.machines!a}: name none, corpus:FILE, demo, local:FOLDER, {SMOLLM2} or "
            "endpoint:ADDRESS#MODEL"
        )
    return Writer(world, people, machines, personas) if people or machines else None


def _corpus(choice: str, world: World, *, machines: bool) -> Corpus | None:
    scheme, _, rest = choice.partition(":")
    if scheme != "corpus" and choice != DEMO:
        return None
    cast = world.cast
    busy = np.where((cast.label & (cast.since_ms == 0)) == machines, world.people.rate, 0.0)
    if machines:
        busy = np.where(cast.label, world.people.rate, 0.0)
    speakers = Speakers(world.community, cast.flags["foreign"], busy, world.seed)
    if choice == DEMO:
        return Corpus.of(rows(machines=machines), speakers, DEMO)
    return Corpus.load(Path(rest), speakers)


def _model(choice: str, world: World, personas: Personas, environ: Mapping[str, str]) -> Source | None:
    texts, seed = world.society.texts, world.seed
    scheme, _, rest = choice.partition(":")
    if choice == SMOLLM2 or scheme == "local":
        model = SMOLLM2 if choice == SMOLLM2 else rest
        return LocalModel(model, personas, seed, max_tokens=texts.max_tokens, temperature=texts.temperature)
    if scheme != "endpoint":
        return None
    base, _, name = rest.partition("#")
    if not name:
        raise UsageError(f"texts.machines = {choice!a}: name the model after the address: endpoint:ADDRESS#MODEL")
    key = environ.get(texts.key_env, "") if texts.key_env else ""
    return Endpoint(base, name, personas, seed, key=key, max_tokens=texts.max_tokens, temperature=texts.temperature)
