"""What operators do while a policy is at work: after each round they replace accounts that are gone and act otherwise.

Operators of a society share a memory over the red team's menu (`simulation.redteam.menu.OperatorMemory`): of each
option, how many accounts that used it were left alone in a round and about how many something was done. An operator
that has lost accounts brings in as many of those it holds back, and takes from then on the wording, cadence and cover
of the plan that the memory draws. Operators see about which of their accounts something was done, whatever it was: an
assumption in their favour where a platform does not say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from simulation.lab.enforcement import EnforcementAction, PolicedSociety
from simulation.lab.trial_society import CampaignPlan
from simulation.redteam.adaptive import family
from simulation.redteam.menu import MENU, OperatorMemory, Plan
from simulation.sampling import Ints, stream

BUSY: Final = 20
"""People who act most: one of them is copied by operators who turn to a person's times."""

_CHANGED: Final = ("wording", "cadence", "cover")
"""Questions of the menu that can be answered anew while accounts exist."""


class OperatorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One operator after one round in which it lost accounts: how many, how many it replaced, and its plans."""

    round: int
    campaign: str
    lost: int
    replaced: int
    before: Plan
    after: Plan


class AdaptingOperators:
    """All operators of a society.

    Args:
        society: not yet acted out; accounts held back are silent in it until they are brought in.
        plans: of its campaigns.
        rounds: how often they look at what became of their accounts, evenly over the days; 0 is never.
    """

    def __init__(self, society: PolicedSociety, plans: Sequence[CampaignPlan], rounds: int) -> None:
        world = society.world
        self.answers: list[OperatorAnswer] = []
        self._society = society
        self._plans = {each.name: each.plan for each in plans}
        self._playing: dict[str, list[int]] = {}
        self._spare: dict[str, list[int]] = {}
        sizes = {each.name: each.size for each in plans}
        for campaign in world.roles.campaigns:
            name, members = campaign.family.name, campaign.members.tolist()
            self._playing[name], self._spare[name] = members[: sizes[name]], members[sizes[name] :]
            self._silence(campaign.members[sizes[name] :], True)
        step = (world.end_ms - world.start_ms) / (rounds + 1)
        self._looks = [world.start_ms + round(step * (i + 1)) for i in range(rounds)]
        self._memory = OperatorMemory()
        self._rng = stream(world.seed, "operators")
        self._round = 0

    def replaced(self, campaign: str) -> int:
        """Accounts that an operator has brought in so far."""
        return sum(each.replaced for each in self.answers if each.campaign == campaign)

    def look(self, decisions: Iterable[EnforcementAction]) -> None:
        """To be called after each step; answers where a round is over.

        Args:
            decisions: all so far.
        """
        now = self._society.world.now_ms
        if not self._looks or now < self._looks[0]:
            return
        self._looks.pop(0)
        self._round += 1
        hit = {each.account for each in decisions if each.at <= now}
        outcomes = []
        for name, playing in self._playing.items():
            lost = [account for account in playing if account in hit]
            self._memory.learn(self._plans[name], len(playing) - len(lost), len(lost))
            outcomes.append((name, lost))
        for name, lost in outcomes:
            if lost:
                self._answer(name, lost)

    def _answer(self, name: str, lost: list[int]) -> None:
        fresh, self._spare[name] = self._spare[name][: len(lost)], self._spare[name][len(lost) :]
        self._playing[name] = [account for account in self._playing[name] if account not in lost] + fresh
        self._silence(np.array(fresh, np.int64), False)
        before = self._plans[name]
        drawn = self._memory.choose(self._rng)
        after = tuple(
            new if question in _CHANGED else old for question, new, old in zip(MENU, drawn, before, strict=True)
        )
        self._plans[name] = after
        self._turn_to(name, after)
        self.answers.append(
            OperatorAnswer(
                round=self._round, campaign=name, lost=len(lost), replaced=len(fresh), before=before, after=after
            )
        )

    def _silence(self, accounts: Ints, silent: bool) -> None:
        """Accounts held back act on their own like anybody, but nothing of it reaches the platform."""
        self._society.standing.removed[accounts] = silent
        self._society.world.groups.active[accounts] = not silent

    def _turn_to(self, name: str, plan: Plan) -> None:
        world = self._society.world
        number = next(i for i, each in enumerate(world.roles.campaigns) if each.family.name == name)
        group = int(world.groups.of[world.roles.campaigns[number].members[0]])
        tactics = family(name, plan, len(world.roles.campaigns[number].members), world.population.days).tactics
        if tactics.cadence == "copied" and world.groups.leader[group] < 0:
            rate = np.where(world.roles.label, 0.0, world.people.rate)
            world.groups.leader[group] = self._rng.choice(np.argsort(rate)[-BUSY:])
        world.groups.adapt(group, tactics)
        world.gather()
