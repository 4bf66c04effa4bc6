"""The detector on the presets, by slice: which look-alikes are accused, which tactics are missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from detector.errors import UsageError
from simulation.files import PRESETS, preset
from simulation.red_team.detector import Found, detect
from simulation.red_team.recording import Recording, record, with_texts
from simulation.settings import Society

SIZES: Final[dict[str, int]] = dict.fromkeys(PRESETS, 500) | {"quiet": 900}
"""Accounts in place of a preset's own: about as many as the demo's texts are enough for, and the page takes minutes."""

DAYS: Final = 2.0
"""Long enough for accounts that are bought or aged, which begin on the second day."""

PER_DAY: Final = 6.0
"""Events of an account a day, on average: half of the presets' own; texts cost most of the time."""

Detect = Callable[[Path, Path, Path | None], Found]


class Slice(msgspec.Struct, frozen=True):
    """One slice of one preset: accounts that acted, those with a text, flagged, named in a campaign, in a group."""

    name: str
    machines: bool
    acted: int
    spoke: int
    flagged: int
    campaign: int
    group: int


class Result(msgspec.Struct, frozen=True):
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


def small(name: str, people: str, machines: str) -> Society:
    """A preset at the red team's size: as many machines as one small campaign of each of its tactics needs, or more."""
    society = with_texts(preset(name), people, machines)
    needed = sum(round(family.weight) * family.size[0] for family in society.operators)
    return msgspec.structs.replace(
        society,
        accounts=SIZES[name],
        days=DAYS,
        machines=max(society.machines, needed / SIZES[name]),
        campaigns=round(sum(family.weight for family in society.operators)),
        activity=msgspec.structs.replace(society.activity, mean_per_day=PER_DAY),
    )


def measure(
    name: str, folder: Path, key: str, people: str, machines: str, models: Path | None, seed: int,
    detect: Detect = detect,
) -> Result:  # fmt: skip
    """The detector on one preset; what the folder has already under the same `key` is not measured again.

    Raises:
        SwarmlightError: the detector failed.
    """
    file = folder / f"{name}-{key[:16]}-{seed}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Result)
    folder.mkdir(parents=True, exist_ok=True)
    society = small(name, people, machines)
    acted = record(society, seed, folder / "preset.jsonl")
    found = detect(folder / "preset.jsonl", folder, models)
    result = counted(name, society, acted, found)
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(result))
    part.replace(file)
    return result


def counted(name: str, society: Society, acted: Recording, found: Found) -> Result:
    """Count what was found by slice; accounts that did nothing are left out."""
    table: dict[tuple[str, bool], list[int]] = {}
    for row in acted.truth:
        score = found.scores.get(str(row["account"]))
        if score is None:
            continue
        counts = table.setdefault((str(row["slice"]), bool(row["label"])), [0] * 5)
        for i, value in enumerate((True, score.posts > 0, score.flagged, score.campaign, score.group)):
            counts[i] += value is not None and value is not False
    slices = tuple(Slice(slice_, machine, *counts) for (slice_, machine), counts in sorted(table.items()))
    return Result(name, society.accounts, society.days, acted.events, acted.texts, slices, found.models)


def together(results: Sequence[Result]) -> Result:
    """Several societies of one preset as one.

    Raises:
        UsageError: they were not measured with the same models.
    """
    first = results[0]
    if any(each.models != first.models for each in results):
        raise UsageError(f"{first.preset}: the models were replaced while it was measured: remove the work folder")
    return Result(
        first.preset,
        sum(each.accounts for each in results),
        first.days,
        sum(each.events for each in results),
        sum(each.texts for each in results),
        tuple(each for machines in (False, True) for each in summed(results, machines=machines)),
        first.models,
    )


def summed(results: Sequence[Result], *, machines: bool) -> list[Slice]:
    """Slices of the same name over all of several results together."""
    table: dict[str, list[int]] = {}
    for result in results:
        for each in result.of(machines=machines):
            counts = table.setdefault(each.name, [0] * 5)
            values: tuple[Any, ...] = (each.acted, each.spoke, each.flagged, each.campaign, each.group)
            table[each.name] = [a + b for a, b in zip(counts, values, strict=True)]
    return [Slice(name, machines, *counts) for name, counts in sorted(table.items())]
