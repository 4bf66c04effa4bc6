"""The societies in which policies are tried: who is in them.

A society is people and look-alike crowds of the simulator who read a feed, and campaigns whose plans are drawn from the
red team's menu (`simulation.redteam.menu`).
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from simulation.population_config import Activity, LookAlike, LookAlikes, PopulationConfig
from simulation.redteam.adaptive import family
from simulation.redteam.measure import with_texts
from simulation.redteam.menu import BUDGET, Chance, Plan
from simulation.sampling import stream
from simulation.world import World

ACCOUNTS: Final = 240
"""Of a society: the detector reads one in some twenty seconds of a core."""

DAYS: Final = 2.0
"""Long enough for accounts that begin halfway, and for a queue of reviews that grows overnight."""

PER_DAY: Final = 7.0
"""Events of an account a day."""

STEP_MINUTES: Final = 30.0
"""Of a society: so long do decisions wait at most, and feeds stand still. Half of it costs twice as much time."""

BURN_IN_HOURS: Final = 12.0
"""Acted out before the start: posts are out of sight after eight hours, tasks after twelve."""

SIZES: Final = (4, 8, 16)
"""Accounts of the campaigns of a society: one of each size."""

FEW: Final = 0.025
"""Share of accounts in each look-alike crowd: all crowds are there, in a small society."""

_CROWD: Final = LookAlike(share=FEW, size=(4, 12))

CROWDS: Final = LookAlikes(
    news=_CROWD, fandom=_CROWD, friends=_CROWD, activists=_CROWD, giveaway=_CROWD, live_event=_CROWD,
    share_button=_CROWD, writing_help=LookAlike(share=0.03), second_language=LookAlike(share=0.04),
    declared_bot=LookAlike(share=0.01), brand=LookAlike(share=0.01),
)  # fmt: skip


class SocietySettings(msgspec.Struct, frozen=True, kw_only=True):
    """What all societies of a comparison share. Equal trials and seeds give equal societies."""

    accounts: int = ACCOUNTS
    days: float = DAYS
    per_day: float = PER_DAY
    sizes: tuple[int, ...] = SIZES
    people: str = "none"
    machines: str = "none"
    fingerprint: str = ""  # of texts and models, whose contents the names do not tell
    spare: float = 0.0  # accounts that each operator holds back, as a share of those it begins with
    rounds: int = 0  # of operators, who answer in the closed loop
    closed: bool = False  # whether the detector reads again what each policy has made of the society


class CampaignPlan(msgspec.Struct, frozen=True):
    """One campaign: its family's name, what it does by the red team's menu, its accounts, and those held back."""

    name: str
    plan: Plan
    size: int
    spare: int = 0


def planned(trial: SocietySettings, seed: int) -> list[CampaignPlan]:
    """The campaigns of a society: plans that the menu's budget allows, drawn evenly."""
    rng, chooser = stream(seed, "lab-plans"), Chance(BUDGET)
    return [
        CampaignPlan(f"campaign-{i}", chooser.choose(rng), size, round(trial.spare * size))
        for i, size in enumerate(trial.sizes)
    ]


def population(trial: SocietySettings, seed: int) -> PopulationConfig:
    """The simulated population of one society."""
    campaigns = planned(trial, seed)
    base = PopulationConfig(
        accounts=trial.accounts,
        days=trial.days,
        step_minutes=STEP_MINUTES,
        burn_in_hours=BURN_IN_HOURS,
        machines=sum(each.size + each.spare for each in campaigns) / trial.accounts,
        campaigns=len(campaigns),
        activity=Activity(mean_per_day=trial.per_day),
        lookalikes=CROWDS,
        controls=False,
        operators=tuple(family(each.name, each.plan, each.size + each.spare, trial.days) for each in campaigns),
    )
    return with_texts(base, trial.people, trial.machines)


def slices(world: World) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """(accounts,) the slice of each: what sort of people it is of, or its operator."""
    return np.array([str(world.roles.truth(account, "")["slice"]) for account in range(len(world.people))])
