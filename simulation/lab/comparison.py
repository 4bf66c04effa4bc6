"""Policies compared over societies: every society under every policy, kept in a folder, and found again there.

`compare` makes what is missing, several societies at once, and gives all outcomes. A run that is broken off goes on
where it was: each answer of the detector and each outcome is a file named by all that it depends on. The first few
societies are acted out again with every assumed number a fifth lower and a fifth higher (`variants`); what does not
concern a policy is not acted out again under it.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from detector.errors import UsageError
from simulation.lab.interventions import VARIED, Assumed, Policy, concerning
from simulation.lab.live_detector import remembered
from simulation.lab.outcomes import Loop, SocietyOutcome, detected, outcome
from simulation.lab.spoken_words import default_ratings
from simulation.lab.trial_society import SocietySettings
from simulation.population_files import written

CHANGE: Final = 0.2
"""How far each assumed number is varied, either way."""

BASE: Final = ""
"""Name of the variant in which nothing is varied."""


class ComparisonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a comparison depends on. Equal settings give equal outcomes.

    Args:
        trial: what societies share.
        policies: that are compared; one of them does nothing.
        assumed: what nobody has measured.
        societies: how many, with seeds from `seed` on.
        varied: how many of them are acted out under every variant too.
        seed: of the first.
    """

    trial: SocietySettings
    policies: tuple[Policy, ...]
    assumed: Assumed = Assumed()
    societies: int = 30
    varied: int = 4
    seed: int = 0


class ComparisonWorkspace(NamedTuple):
    """Where outcomes are kept, and which models the detector has (None: the shipped ones)."""

    folder: Path
    models: Path | None = None
    processes: int = 1


Outcomes = dict[tuple[str, str], list[SocietyOutcome]]
"""(variant, policy) -> outcomes, one a society, in the order of their seeds."""


def variants(assumed: Assumed) -> dict[str, Assumed]:
    """`BASE`, and each assumed number a fifth lower and higher by name; shares end at 1."""
    found = {BASE: assumed}
    for name in VARIED:
        for sign, word in ((-1, "lower"), (1, "higher")):
            value = getattr(assumed, name) * (1 + sign * CHANGE)
            if name in _SHARES:
                value = min(value, 1.0)
            found[f"{name} {word}"] = msgspec.structs.replace(assumed, **{name: value})
    return found


_SHARES: Final = ("catches", "spares", "people_verify", "machines_verify")


def outcome_file(folder: Path, trial: SocietySettings, seed: int, policy: Policy, assumed: Assumed) -> Path:
    """The file of one outcome, named by all that it depends on.

    Args:
        folder: of all of them.
        trial: what societies share.
        seed: of the society.
        policy: its description counts for nothing.
        assumed: what nobody has measured.
    """
    said = msgspec.json.encode((trial, seed, msgspec.structs.replace(policy, about=""), concerning(policy, assumed)))
    return folder / f"outcome-{hashlib.sha256(said).hexdigest()[:24]}.json"


def _society(
    setting: ComparisonSettings, seed: int, place: ComparisonWorkspace
) -> list[tuple[str, str, SocietyOutcome]]:
    """All outcomes of one society, what the folder has not yet made."""
    import torch

    torch.set_num_threads(1)  # several societies are made at once, each on a core
    trial = setting.trial
    ratings = default_ratings()
    ratings.remember(place.folder)
    worlds = variants(setting.assumed) if seed - setting.seed < setting.varied else {BASE: setting.assumed}
    found = []
    for variant, assumed in worlds.items():
        for policy in setting.policies:
            file = outcome_file(place.folder, trial, seed, policy, assumed)
            if file.exists():
                made = msgspec.json.decode(file.read_bytes(), type=SocietyOutcome)
            else:
                made = acted_out(trial, seed, policy, assumed, place)
                with written(file) as out:
                    out.write(msgspec.json.encode(made))
            found.append((variant, policy.name, made))
    ratings.keep(place.folder)
    return found


def acted_out(
    trial: SocietySettings, seed: int, policy: Policy, assumed: Assumed, place: ComparisonWorkspace
) -> SocietyOutcome:
    """One society under one policy, with the detector in the loop or what it says where nothing is done.

    Args:
        trial: what societies share.
        seed: of the society.
        policy: what the platform does.
        assumed: what nobody has measured.
        place: folder that keeps what the detector says, and models.
    """
    if trial.closed and not policy.idle:  # what changes nothing needs no second reading
        return outcome(trial, seed, policy, (), assumed, Loop(remembered(place.models), trial.rounds))
    found = [] if policy.idle else detected(trial, seed, policy.target_fpr, place.models, place.folder)
    return outcome(trial, seed, policy, found, assumed)


def compare(
    setting: ComparisonSettings, place: ComparisonWorkspace, told: Callable[[int], None] = lambda done: None
) -> Outcomes:
    """Every society under every policy.

    Args:
        setting: what is compared.
        place: folder that keeps outcomes, models, and how many societies are made at once.
        told: called with how many societies are done.

    Raises:
        UsageError: the folder is another comparison's, no policy does nothing, or texts cannot be used.
        SwarmlightError: the detector failed.
    """
    if not any(policy.idle for policy in setting.policies):
        raise UsageError('lab run: one policy has to have measure = "nothing": the others are held against it')
    _same(setting.trial, place.folder)
    seeds = [setting.seed + i for i in range(setting.societies)]
    by_seed: dict[int, list[tuple[str, str, SocietyOutcome]]] = {}
    if place.processes <= 1:
        for seed in seeds:
            by_seed[seed] = _society(setting, seed, place)
            told(len(by_seed))
    else:
        with ProcessPoolExecutor(place.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting = {pool.submit(_society, setting, seed, place): seed for seed in seeds}
            for future in as_completed(waiting):
                by_seed[waiting[future]] = future.result()
                told(len(by_seed))
    found: Outcomes = {}
    for seed in seeds:
        for variant, policy, made in by_seed[seed]:
            found.setdefault((variant, policy), []).append(made)
    return found


def _same(trial: SocietySettings, folder: Path) -> None:
    """Keep what this folder is for, and refuse another comparison's."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "trial.json"
        if file.exists() and msgspec.json.decode(file.read_bytes(), type=SocietySettings) != trial:
            raise UsageError(
                f"{folder}: holds societies of other settings, texts or models: name an empty folder, or remove it"
            )
        with written(file) as out:
            out.write(msgspec.json.encode(trial))
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"{folder}: cannot be used as a work folder: {error}") from None


def by_name(policies: Sequence[Policy]) -> dict[str, Policy]:
    """Policies by their names."""
    return {policy.name: policy for policy in policies}
