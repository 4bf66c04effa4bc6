"""Draws a training society before it is acted out: its size, its crowds, its campaigns, their tactics and their texts.

Everything is drawn from wide ranges, for nobody knows what the next operator does: `planned` gives the configuration of
the simulator with an operator of each campaign, and the pool of texts (`training.text_pools`) that fills it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from simulation.population_config import (
    Activity,
    Links,
    LookAlike,
    LookAlikes,
    News,
    Operator,
    PopulationConfig,
    Tactics,
    Tags,
    Wording,
)
from training.text_pools import Pool

FAMILIES: Final[Mapping[str, Tactics]] = {
    "waves": Tactics(cadence="waves", goals=("link", "tag", "swarm")),
    "links": Tactics(cadence="waves", goals=("link",)),
    "drip": Tactics(cadence="drip", goals=("link", "tag")),
    "jitter": Tactics(cadence="jitter", goals=("link", "swarm")),
    "copied-times": Tactics(cadence="copied", goals=("link", "swarm")),
    "reply-swarm": Tactics(cadence="waves", goals=("swarm",)),
    "amplify": Tactics(cadence="jitter", goals=("amplify", "link"), clique=0.6),
    "hijack": Tactics(cadence="drip", goals=("tag", "swarm"), hijack=1.0),
    "words-only": Tactics(cadence="drip", goals=()),
}
"""Tactics of a family, to which strength is added. Accounts of `words-only` share nothing but what they say."""

FAMILIES_EACH: Final = 4
"""Families in one society."""

ACCOUNTS: Final = (400, 900)
DAYS: Final = (2.0, 14.0)
EVENTS: Final = (14.0, 36.0)
"""Events of an account in the whole society, on average: as in streams of two days, and slower in longer ones."""

CAMPAIGNS: Final = (3, 8)
CAMPAIGN_SIZE: Final = (5, 30)
MACHINES: Final = 0.25
"""Share of accounts in campaigns, at most. Their controls are as many again."""

TASKS: Final = (8.0, 60.0)
"""Tasks of a campaign in the whole society: operations of weeks do as much, more slowly."""

JOINT: Final = (0.2, 0.85)
LAG_S: Final = (300.0, 7200.0)
QUIET: Final = (0.0, 0.2)
CLIQUE: Final = (0.0, 0.6)
"""Ranges of what is drawn: from operators whose accounts hardly meet to ones that do little else."""

WORDINGS: Final[Mapping[Wording, float]] = {"independent": 0.8, "copied": 0.12, "verbatim": 0.08}
"""How members word what they post for a task, and how often: mostly each in its own words, as models do."""

CROWD_SHARE: Final = (0.015, 0.09)
CROWD_SIZE: Final = (6, 60)
FRIENDS: Final = (4, 12)
"""Organic crowds: share of the accounts of each kind, and size of one; a circle of friends is smaller."""

TEXTS: Final = (8, 24)
"""Texts of an account at most, drawn for a society: what accounts write in two days, fewer than most authors have."""

WEIGHTS: Final[Mapping[str, float]] = {
    "frontier_campaigns": 0.27, "oasis_harm_groups": 0.22, "synthpai": 0.22, "frontier_posts": 0.1, "electai": 0.04,
    "many_generators": 0.05, "more_generators": 0.08, "opinion_agents": 0.02,
}  # fmt: skip
"""How often campaigns are of a set: those written or acted as campaigns more often than reviews of one thing."""

OTHER_WEIGHT: Final = 0.05
"""Of sets that a table of weights does not name."""

STEP_MINUTES: Final = (15.0, 30.0)
"""Steps of the simulation, in societies of up to `LONG_DAYS` and in longer ones, where everybody is slower."""

LONG_DAYS: Final = 5.0


@dataclass(frozen=True)
class Plan:
    """A society before it is acted out.

    Args:
        population: for the simulator: an operator of each campaign, by its number.
        families: of tactics, by campaign.
        pools: of texts, by campaign.
        most: texts of one account.
    """

    population: PopulationConfig
    families: list[str]
    pools: list[Pool]
    most: int


def planned(
    rng: np.random.Generator, campaigns: Sequence[Pool], families: Sequence[str], accounts: tuple[int, int] = ACCOUNTS
) -> Plan:
    """Draw a society: its size, its crowds, its campaigns with their tactics and whose texts they have.

    Args:
        rng: where chance comes from.
        campaigns: pools that they are filled with.
        families: of tactics.
        accounts: bounds of their number.
    """
    n = round(between(rng, accounts))
    days = between(rng, DAYS)
    operators: list[Operator] = []
    pools: list[Pool] = []
    used = Counter[str]()
    left = list(campaigns)
    for number in range(int(rng.integers(CAMPAIGNS[0], CAMPAIGNS[1] + 1))):
        room = int(MACHINES * n) - sum(operator.size[0] for operator in operators)
        if room < CAMPAIGN_SIZE[0] or not left:
            break
        pool = left.pop(drawn_pool(rng, left, WEIGHTS))
        size = min(round(between(rng, CAMPAIGN_SIZE)), len(pool.authors), room)
        family = min(rng.permutation(list(families)).tolist(), key=lambda name: used[name])
        used[family] += 1
        operators.append(Operator(name=f"{family}-{number}", size=(size, size), quiet=rng.uniform(*QUIET),
                                  tactics=strong(rng, FAMILIES[family], days)))  # fmt: skip
        pools.append(pool)
    population = among_people(rng, n, days, operators)
    most = round(between(rng, TEXTS))
    return Plan(population, [operator.name.rsplit("-", 1)[0] for operator in operators], pools, most)


def among_people(
    rng: np.random.Generator, accounts: int, days: float, operators: Sequence[Operator]
) -> PopulationConfig:
    """A population with crowds of people as they may be, and operators among them.

    Args:
        rng: where chance comes from.
        accounts: how many, operators' included.
        days: how long it is acted out.
        operators: each of one campaign.
    """
    crowds = {
        name: LookAlike(
            share=between(rng, CROWD_SHARE), size=FRIENDS if name == "friends" else CROWD_SIZE,
            tasks_per_day=between(rng, TASKS) / days, joint=rng.uniform(*JOINT), lag_s=between(rng, LAG_S),
        )
        for name in ("news", "fandom", "activists", "giveaway", "live_event", "friends")
    }  # fmt: skip
    members = sum(operator.size[0] for operator in operators)
    per_day = between(rng, EVENTS) / days
    return PopulationConfig(
        accounts=accounts, days=days, machines=members / accounts, campaigns=len(operators), operators=tuple(operators),
        activity=Activity(mean_per_day=per_day), lookalikes=LookAlikes(**crowds),
        news=News(per_day=rng.uniform(0.5, 4)), links=Links(births_per_day=25 * per_day),
        tags=Tags(births_per_day=5 * per_day), step_minutes=STEP_MINUTES[days > LONG_DAYS],
    )  # fmt: skip


def between(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Log-uniform."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def strong(rng: np.random.Generator, family: Tactics, days: float) -> Tactics:
    """A family's tactics with a strength drawn for them.

    Args:
        rng: where chance comes from.
        family: of `FAMILIES`.
        days: how long the society is acted out; a campaign does as much in more days.
    """
    wordings: list[Wording] = list(WORDINGS)
    return msgspec.structs.replace(
        family, tasks_per_day=between(rng, TASKS) / days, joint=rng.uniform(*JOINT), lag_s=between(rng, LAG_S),
        clique=family.clique or rng.uniform(*CLIQUE),
        wording=wordings[int(rng.choice(len(wordings), p=list(WORDINGS.values())))], awake=bool(rng.random() < 0.5),
    )  # fmt: skip


def drawn_pool(rng: np.random.Generator, pools: Sequence[Pool], weights: Mapping[str, float]) -> int:
    """Place of a pool: first a set by weight, then one of its pools; a set does not weigh more by having many.

    Args:
        rng: where chance comes from.
        pools: among which is drawn, at least one.
        weights: by set; `OTHER_WEIGHT` for sets that it lacks.
    """
    sets = [pool.name.split("/")[0] for pool in pools]
    names = sorted(set(sets))
    weight = np.array([weights.get(name, OTHER_WEIGHT) for name in names])
    chosen = names[int(rng.choice(len(names), p=weight / weight.sum()))]
    return int(rng.choice([place for place, name in enumerate(sets) if name == chosen]))
