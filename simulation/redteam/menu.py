"""What an operator may change between rounds of the game, what that costs, and how it chooses.

A plan takes one option of every question of `MENU`; the prices of its options sum to at most a budget. The adaptive
operator (`OperatorMemory`) keeps, for every option, how many accounts that used it were flagged and how many were not,
draws each option's share of survivors from its Beta posterior (uniform prior), and takes the affordable plan with the
largest sum of draws (Thompson sampling, Thompson 1933, with independent effects of the options). The control (`Chance`)
draws an affordable plan evenly at random. `teams` divides an operator's accounts of a round among plans.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np

Plan: TypeAlias = tuple[str, ...]
"""An option's name for each question of `MENU`, in its order."""


@dataclass(frozen=True)
class Option:
    """One answer to one question. `price`: what it costs an operator, in points of the budget."""

    name: str
    price: int
    tactics: Mapping[str, Any] = field(default_factory=dict)
    family: Mapping[str, Any] = field(default_factory=dict)


MENU: Final[Mapping[str, tuple[Option, ...]]] = {
    "wording": (
        Option("independent", 0, {"wording": "independent"}),
        Option("verbatim", 0, {"wording": "verbatim"}),
        Option("paraphrase", 0, {"wording": "paraphrase"}),
        Option("copied from people", 1, {"wording": "copied"}),
    ),
    "cadence": (
        Option("waves", 0, {"cadence": "waves", "lag_s": 300.0}),
        Option("drip", 0, {"cadence": "drip"}),
        Option("jitter", 0, {"cadence": "jitter", "lag_s": 1800.0}),
        Option("a person's times", 1, {"cadence": "copied", "lag_s": 900.0}),
    ),
    "cover": (
        Option("a tenth cover", 0, {"joint": 0.9}),
        Option("half cover", 1, {"joint": 0.5}),
        Option("four fifths cover", 2, {"joint": 0.2}),
    ),
    "team": (Option("teams of 8", 0, {}, {"size": 8}), Option("teams of 4", 1, {}, {"size": 4})),
    "accounts": (
        Option("new", 0),
        Option("aged", 1, {}, {"begin": 0.5}),
        Option("bought", 2, {}, {"begin": 0.5, "bought": 1.0}),
    ),
}
"""Questions and their options. Prices: what costs acts, time or money costs points; `begin` is a share of the round."""

BUDGET: Final = 3
"""Points of a plan: less than half of what the dearest options of all questions cost together (7)."""


def option(question: str, name: str) -> Option:
    """The option of that name."""
    return next(each for each in MENU[question] if each.name == name)


def price(plan: Plan) -> int:
    """What a plan costs."""
    return sum(option(question, name).price for question, name in zip(MENU, plan, strict=True))


def affordable(budget: int) -> list[Plan]:
    """All plans within the budget, in a fixed order."""
    plans = product(*(tuple(each.name for each in options) for options in MENU.values()))
    return [plan for plan in plans if price(plan) <= budget]


def size(plan: Plan) -> int:
    """Accounts of a team with this plan."""
    return int(option("team", plan[list(MENU).index("team")]).family["size"])


class OperatorMemory:
    """The adaptive operator's memory: of each option, accounts that survived and accounts that were flagged."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._plans = affordable(budget)
        self._counts = {(question, each.name): [1.0, 1.0] for question in MENU for each in MENU[question]}

    def choose(self, rng: np.random.Generator) -> Plan:
        """The plan with the largest sum of drawn survivors' shares."""
        drawn = {key: float(rng.beta(survived, flagged)) for key, (survived, flagged) in self._counts.items()}
        return max(self._plans, key=lambda plan: sum(drawn[key] for key in zip(MENU, plan, strict=True)))

    def learn(self, plan: Plan, survived: int, flagged: int) -> None:
        """Take note of what became of a team's accounts.

        Args:
            plan: what the team did.
            survived: accounts that were not flagged.
            flagged: accounts that were.
        """
        for key in zip(MENU, plan, strict=True):
            self._counts[key][0] += survived
            self._counts[key][1] += flagged

    def survivors(self) -> dict[tuple[str, str], float]:
        """Mean of each option's posterior: question and option -> share of accounts that survive."""
        return {key: survived / (survived + flagged) for key, (survived, flagged) in self._counts.items()}


class Chance:
    """The control: the same menu and budget, no memory."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._plans = affordable(budget)

    def choose(self, rng: np.random.Generator) -> Plan:
        """Any affordable plan, all equally likely."""
        return self._plans[int(rng.integers(len(self._plans)))]

    def learn(self, plan: Plan, survived: int, flagged: int) -> None:
        """Learn nothing.

        Args:
            plan: what the team did.
            survived: accounts that were not flagged.
            flagged: accounts that were.
        """


LEAST: Final = 3
"""Accounts of the smallest team: fewer are no campaign."""


def teams(chooser: OperatorMemory | Chance, accounts: int, rng: np.random.Generator) -> list[tuple[Plan, int]]:
    """Plans and sizes of an operator's teams in a round: together exactly `accounts`, each of at least 3.

    What would leave one or two accounts over is given to the last team.

    Args:
        chooser: who chooses plans.
        accounts: to field in the round.
        rng: where chance comes from.
    """
    found: list[tuple[Plan, int]] = []
    left = accounts
    while left > 0:
        plan = chooser.choose(rng)
        many = min(size(plan), left)
        many = left if left - many < LEAST else many
        found.append((plan, many))
        left -= many
    return found


def used(plans: Iterable[tuple[Plan, int]]) -> dict[tuple[str, str], int]:
    """How many accounts each option was used for."""
    found: dict[tuple[str, str], int] = {}
    for plan, accounts in plans:
        for key in zip(MENU, plan, strict=True):
            found[key] = found.get(key, 0) + accounts
    return found
