"""Searches policies for a Pareto front: no weights are needed, and none is better in all that counts.

Optuna's NSGA-II (Deb et al. 2002) draws policies, each is tried in the same societies, and three things are held
against each other: the campaigns' reach that is gone, people hit, and engagement lost. The front is of what was tried
in these societies; `swarmlight lab run` on others says what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import msgspec

from simulation.lab.comparison import ComparisonWorkspace, acted_out, outcome_file
from simulation.lab.interventions import ActOn, Assumed, Measure, Policy, Review
from simulation.lab.outcomes import SocietyOutcome
from simulation.lab.ranking import HarmWeights, measures, sums
from simulation.lab.trial_society import SocietySettings
from simulation.population_files import written

if TYPE_CHECKING:
    import optuna

FPRS: Final = (0.01, 0.05)
"""Shares of people that the detector may flag: each is a run of it over every society."""

MEASURES: Final = ("label", "downrank", "rate-limit", "friction", "verify", "remove")

NOTHING: Final = Policy(name="nothing", measure="nothing")


class Tried(NamedTuple):
    """A policy and what it came to: reach of campaigns that is gone, people hit, engagement lost, as shares."""

    policy: Policy
    prevented: float
    hit: float
    engagement: float


def search(
    trial: SocietySettings,
    seeds: Sequence[int],
    folder: Path,
    tries: int,
    *,
    models: Path | None = None,
    seed: int = 0,
    told: Callable[[Tried], None] = lambda tried: None,
) -> list[Tried]:
    """The front of `tries` policies, most prevented first.

    Args:
        trial: what societies share.
        seeds: of the societies.
        folder: keeps what the detector said and all outcomes, so that a search that is broken off costs little again.
        tries: policies.
        models: models directory, the shipped one where None.
        seed: of the search.
        told: called with every policy that was tried.

    Raises:
        SwarmlightError: the detector failed.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    nothing = sums([_outcome(trial, each, NOTHING, folder, models) for each in seeds]).sum(axis=0)
    found: dict[int, Tried] = {}

    def objective(draw: optuna.Trial) -> tuple[float, float, float]:
        policy = drawn(draw)
        total = sums([_outcome(trial, each, policy, folder, models) for each in seeds]).sum(axis=0)
        prevented, hit, _, engagement, _ = measures(total, nothing, HarmWeights()).tolist()
        found[draw.number] = Tried(policy, prevented, hit, engagement)
        told(found[draw.number])
        return prevented, hit, engagement

    study = optuna.create_study(
        directions=["maximize", "minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=seed)
    )
    study.optimize(objective, n_trials=tries)
    front = [found[best.number] for best in study.best_trials]
    alike: dict[tuple[float, float, float], Tried] = {}
    for one in front:
        alike.setdefault((one.prevented, one.hit, one.engagement), one)
    return sorted(alike.values(), key=lambda one: (-one.prevented, one.hit))


def drawn(draw: optuna.Trial) -> Policy:
    """A policy of the numbers that one of Optuna's trials draws."""
    looks = draw.suggest_categorical("review", [False, True])
    return Policy(
        name=f"try-{draw.number}",
        act_on=cast(ActOn, draw.suggest_categorical("act_on", ["account", "campaign", "either"])),
        measure=cast(Measure, draw.suggest_categorical("measure", list(MEASURES))),
        target_fpr=draw.suggest_categorical("target_fpr", list(FPRS)),
        delay_hours=draw.suggest_categorical("delay_hours", [0.0, 6.0, 24.0]),
        put_down=draw.suggest_float("put_down", 1.0, 12.0),
        posts_per_day=float(draw.suggest_int("posts_per_day", 0, 6)),
        wait_hours=draw.suggest_float("wait_hours", 1.0, 24.0),
        review=Review(hours_per_day=draw.suggest_float("hours_per_day", 1.0, 8.0)) if looks else None,
    )


def _outcome(trial: SocietySettings, seed: int, policy: Policy, folder: Path, models: Path | None) -> SocietyOutcome:
    """One society under one policy, kept under what the policy does: names count for nothing."""
    unnamed = msgspec.structs.replace(policy, name="x")
    file = outcome_file(folder, trial, seed, unnamed, Assumed())
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=SocietyOutcome)
    made = acted_out(trial, seed, unnamed, Assumed(), ComparisonWorkspace(folder, models))
    with written(file) as out:
        out.write(msgspec.json.encode(made))
    return made


def markdown(front: Sequence[Tried]) -> str:
    """The front as a table."""
    lines = [
        (
            "| measure | acts on | people it may flag | delay | who looks first | campaigns' reach gone | people hit | "
            "engagement gone |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in front:
        policy = one.policy
        strength = {
            "downrank": f" by {policy.put_down:.1f}",
            "rate-limit": f" to {policy.posts_per_day:.0f} a day",
            "friction": f" of {policy.wait_hours:.0f} h",
        }.get(policy.measure, "")
        looks = "nobody" if policy.review is None else f"{policy.review.hours_per_day:.1f} h a day"
        lines.append(
            f"| {policy.measure}{strength} | {policy.act_on} | {policy.target_fpr:.0%} | {policy.delay_hours:.0f} h | "
            f"{looks} | {one.prevented:.1%} | {one.hit:.2%} | {one.engagement:.1%} |"
        )
    return "\n".join(lines) + "\n"
