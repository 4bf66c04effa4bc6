"""The detector on simulated populations: which look-alikes are accused, which tactics are missed.

A population is acted out with texts into a recording (`record`), read by the detector in this process (`detect`), and
counted by slice (`measure`). The work folder keeps texts and results, under a fingerprint of texts and models that says
whether they still count. Shares have exact intervals (Clopper-Pearson).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from scipy.stats import binomtest

from detector.errors import UsageError
from detector.models import SHIPPED
from simulation.content.corpus import Row, rows
from simulation.content.given import planted
from simulation.content.language_models import writer_of
from simulation.output import Renderer, truth
from simulation.population_config import PopulationConfig
from simulation.population_files import PRESETS as SHIPPED_PRESETS
from simulation.population_files import preset, written
from simulation.sampling import Flags, Ints, Json
from simulation.world import World
from streaming.pipeline import run_recording
from streaming.schema.score import ScoreRecord

LEVEL: Final = 0.95


def clopper_pearson(hits: int, of: int) -> tuple[float, float]:
    """The exact 95% interval of the share `hits` of `of` (Clopper and Pearson 1934); 0 to 1 where `of` is 0."""
    if of == 0:
        return 0.0, 1.0
    low, high = binomtest(hits, of).proportion_ci(LEVEL, method="exact")
    return float(low), float(high)


def shown(hits: int, of: int) -> str:
    """A share with its interval, in words of a table; a dash where there was nobody."""
    if of == 0:
        return "-"
    low, high = clopper_pearson(hits, of)
    return f"{hits} of {of}: {hits / of:.0%} ({low:.0%} to {high:.0%})"


def people_corpus(path: Path, seed: int = 0) -> str:
    """Write the people's corpus; the name of the source, as `--people-texts` takes it.

    Raises:
        UsageError: `chitchat-dataset` is not installed, or the file cannot be written.
    """
    return _write(path, rows(machines=False, seed=seed))


def machine_corpus(path: Path) -> str:
    """Write the machines' corpus; the name of the source, as `--machine-texts` takes it.

    Raises:
        UsageError: the file cannot be written.
    """
    return _write(path, rows(machines=True))


def _write(path: Path, table: list[Row]) -> str:
    names = ("author", "text", "lang")
    with written(path) as file:
        file.writelines(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n" for row in table)
    return f"corpus:{path}"


def sources(folder: Path, people: str | None, machines: str | None) -> tuple[str, str]:
    """The sources of texts: those named, or the project's own, which are written into the folder.

    Args:
        folder: where the project's own are written.
        people: source of people's texts, None for the demo's.
        machines: the same for machines.

    Raises:
        UsageError: the folder cannot be written, or the demo's people are not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be used as a work folder: {error.strerror}; name another") from None
    return (
        people if people is not None else people_corpus(folder / "people.jsonl"),
        machines if machines is not None else machine_corpus(folder / "machines.jsonl"),
    )


def fingerprint(people: str, machines: str, models: Path | None) -> str:
    """SHA-256 over the contents of both corpora and of the models, so that results are not mixed.

    Args:
        people: source of people's texts.
        machines: source of machines' texts.
        models: models directory, None for the shipped one.
    """
    digest = hashlib.sha256()
    for source in (people, machines):
        scheme, _, rest = source.partition(":")
        digest.update(_content(Path(rest)) if scheme == "corpus" else source.encode())
    for file in sorted((models or SHIPPED).glob("*.safetensors")):
        digest.update(file.name.encode() + _content(file))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; is its name right?") from None


def own_posts() -> int:
    """How many posts the project's own machine corpus has."""
    return sum(len(each.posts) for each in planted())


@dataclass(frozen=True)
class ActedPopulation:
    """A population acted out. `truth`: one row an account; `joint` (accounts,): acts of each that served a task."""

    world: World
    names: list[str]
    truth: list[Json]
    events: int
    texts: int
    joint: Ints
    acting: Flags


def record(population: PopulationConfig, seed: int, events: Path) -> ActedPopulation:
    """Act out a simulated population into the file `events`.

    Args:
        population: what is simulated.
        seed: equal seeds give equal recordings.
        events: file to write.

    Raises:
        UsageError: the texts or the file cannot be used.
    """
    world = World(population, seed)
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
    return ActedPopulation(world, renderer.names, truth(world, renderer.names), count, texts, joint, acts > 0)


def with_texts(population: PopulationConfig, people: str, machines: str) -> PopulationConfig:
    """The simulated population with these sources of texts.

    Args:
        population: what is changed.
        people: source of people's texts.
        machines: source of machines' texts.
    """
    return msgspec.structs.replace(
        population, texts=msgspec.structs.replace(population.texts, people=people, machines=machines)
    )


@dataclass(frozen=True)
class DetectorResult:
    """What a run found: scores by account, and the versions of the models it ran with."""

    scores: dict[str, ScoreRecord]
    models: dict[str, str]


def detect(events: Path, models: Path | None) -> DetectorResult:
    """Run the detector over a recording, in this process, with default settings.

    Args:
        events: the recording.
        models: models directory; the shipped one where None.

    Raises:
        SwarmlightError: the run failed.
    """
    result = run_recording([events], models=models)
    return DetectorResult({row.account: row for row in result.scores}, dict(result.summary.models))


PRESETS: Final = tuple(name for name in SHIPPED_PRESETS if name != "demo")
"""The demo's people and posts are given, so that it cannot be had in another size."""

SIZES: Final[dict[str, int]] = dict.fromkeys(PRESETS, 500) | {"quiet": 900}
"""Accounts in place of a preset's own: about as many as the demo's texts are enough for, and the page takes minutes."""

DAYS: Final = 2.0
"""Long enough for accounts that are bought or aged, which begin on the second day."""

PER_DAY: Final = 6.0
"""Events of an account a day, on average: half of the presets' own; texts cost most of the time."""

Detect = Callable[[Path, Path | None], DetectorResult]


class Slice(msgspec.Struct, frozen=True):
    """One slice of one preset: accounts that acted, those with a text, flagged, named in a campaign, in a group."""

    name: str
    machines: bool
    acted: int
    spoke: int
    flagged: int
    campaign: int
    group: int


class PresetResult(msgspec.Struct, frozen=True):
    """What the detector said about one preset."""

    preset: str
    accounts: int
    days: float
    events: int
    texts: int
    slices: tuple[Slice, ...]
    models: dict[str, str]

    def of(self, *, machines: bool) -> list[Slice]:
        """The slices of machines or of people."""
        return [each for each in self.slices if each.machines == machines]


def small(name: str, people: str, machines: str) -> PopulationConfig:
    """A preset at the red team's size: as many machines as one small campaign of each of its tactics needs, or more.

    Args:
        name: of the preset.
        people: source of people's texts.
        machines: source of machines' texts.
    """
    population = with_texts(preset(name), people, machines)
    needed = sum(round(family.weight) * family.size[0] for family in population.operators)
    return msgspec.structs.replace(
        population,
        accounts=SIZES[name],
        days=DAYS,
        machines=max(population.machines, needed / SIZES[name]),
        campaigns=round(sum(family.weight for family in population.operators)),
        activity=msgspec.structs.replace(population.activity, mean_per_day=PER_DAY),
    )


def measure(
    name: str, folder: Path, key: str, people: str, machines: str, models: Path | None, seed: int,
    detect: Detect = detect,
) -> PresetResult:  # fmt: skip
    """The detector on one preset; what the folder has already under the same `key` is not measured again.

    Args:
        name: of the preset.
        folder: keeps recordings and results.
        key: fingerprint of texts and models (`fingerprint`).
        people: source of people's texts.
        machines: source of machines' texts.
        models: models directory; the shipped one where None.
        seed: of the simulated population.
        detect: reads a recording with models; the detector as it ships.

    Raises:
        SwarmlightError: the detector failed.
    """
    file = folder / f"{name}-{key[:16]}-{seed}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=PresetResult)
    folder.mkdir(parents=True, exist_ok=True)
    population = small(name, people, machines)
    acted = record(population, seed, folder / "preset.jsonl")
    found = detect(folder / "preset.jsonl", models)
    result = counted(name, population, acted, found)
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(result))
    part.replace(file)
    return result


def counted(name: str, population: PopulationConfig, acted: ActedPopulation, found: DetectorResult) -> PresetResult:
    """Count what was found by slice; accounts that did nothing are left out.

    Args:
        name: of the preset.
        population: its configuration.
        acted: what was simulated.
        found: what the detector said.
    """
    table: dict[tuple[str, bool], list[int]] = {}
    for row in acted.truth:
        score = found.scores.get(str(row["account"]))
        if score is None:
            continue
        counts = table.setdefault((str(row["slice"]), bool(row["label"])), [0] * 5)
        for i, value in enumerate((True, score.posts > 0, score.flagged, score.campaign, score.group)):
            counts[i] += value is not None and value is not False
    slices = tuple(Slice(slice_, machine, *counts) for (slice_, machine), counts in sorted(table.items()))
    return PresetResult(name, population.accounts, population.days, acted.events, acted.texts, slices, found.models)


def together(results: Sequence[PresetResult]) -> PresetResult:
    """Several simulated populations of one preset as one.

    Raises:
        UsageError: they were not measured with the same models.
    """
    first = results[0]
    if any(each.models != first.models for each in results):
        raise UsageError(f"{first.preset}: the models were replaced while it was measured: remove the work folder")
    return PresetResult(
        first.preset,
        sum(each.accounts for each in results),
        first.days,
        sum(each.events for each in results),
        sum(each.texts for each in results),
        tuple(each for machines in (False, True) for each in summed(results, machines=machines)),
        first.models,
    )


def summed(results: Sequence[PresetResult], *, machines: bool) -> list[Slice]:
    """Slices of the same name over all of several results together."""
    table: dict[str, list[int]] = {}
    for result in results:
        for each in result.of(machines=machines):
            counts = table.setdefault(each.name, [0] * 5)
            values: tuple[Any, ...] = (each.acted, each.spoke, each.flagged, each.campaign, each.group)
            table[each.name] = [a + b for a, b in zip(counts, values, strict=True)]
    return [Slice(name, machines, *counts) for name, counts in sorted(table.items())]
