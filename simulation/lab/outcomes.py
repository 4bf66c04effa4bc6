"""What became of one society under one policy: how far campaigns reached, whom it hit, what it cost.

`outcome` acts a society out with people who read feeds, decisions carried out, and counts. Reach is counted in
exposures: a person came past a post (`simulation.feeds.exposures`). Everything is a count, so that several societies
add up.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from simulation.lab.enforcement import PolicedSociety, decided, reading_of
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.trial_society import CampaignPlan, Finding, SocietySettings, feed_plan, planned, population, slices
from simulation.redteam.menu import Plan, price
from simulation.sampling import DAY_MS, Ints
from simulation.world import World


class CampaignOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign: exposures of its posts, its members about whom something was done, and days until the first.

    `days` counts from the beginning of its joint action; None where nothing was done. `cost` is in the menu's points.
    """

    name: str
    plan: Plan
    size: int
    reach: int
    acted_on: int
    days: float | None
    cost: int


class PeopleOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """People of one slice: how many there are, about how many something was done, and exposures of what they wrote."""

    slice: str
    people: int
    hit: int
    reach: int


class SocietyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One society under one policy.

    reach: exposures of all posts; labelled: those with a warning; engagement: sum of the exposures' appeal, how many
    reactions people would give if each looked at what it came past; review_cases: alerts that were looked at.
    """

    seed: int
    policy: str
    campaigns: tuple[CampaignOutcome, ...]
    people: tuple[PeopleOutcome, ...]
    reach: int
    labelled: int
    engagement: float
    review_cases: int


def outcome(
    trial: SocietySettings, seed: int, policy: Policy, found: Iterable[Finding], assumed: Assumed
) -> SocietyOutcome:
    """Act a society out under a policy.

    Args:
        trial: what societies share.
        seed: of the society.
        policy: what the platform does.
        found: what the detector says in this society, in order of time.
        assumed: what nobody has measured.
    """
    findings = list(found)
    world = World(population(trial, seed), seed)
    label = world.roles.label
    decisions = decided(policy, findings, label, assumed, seed)
    society = PolicedSociety(world, feed_plan(), reading_of(assumed), policy, decisions)
    n = len(label)
    reach: Ints = np.zeros(n, np.int64)
    engagement, labelled = 0.0, 0
    for step in society.steps():
        reach += np.bincount(step.exposures.author, minlength=n)
        labelled += int(step.exposures.labelled.sum())
        engagement += float(step.exposures.appeal.sum(dtype=np.float64))
    first = {decision.account: decision.at for decision in reversed(decisions)}
    acted_on = np.zeros(n, bool)
    acted_on[list(first)] = True
    plans: dict[str, CampaignPlan] = {each.name: each for each in planned(trial, seed)}
    campaigns = []
    for campaign in world.roles.campaigns:
        plan, members = plans[campaign.family.name], campaign.members
        begin = world.start_ms + round(campaign.family.begin_day * DAY_MS)
        times = [first[int(member)] for member in members if int(member) in first]
        campaigns.append(
            CampaignOutcome(
                name=plan.name, plan=plan.plan, size=len(members), reach=int(reach[members].sum()), acted_on=len(times),
                days=max(min(times) - begin, 0) / DAY_MS if times else None, cost=price(plan.plan) * len(members),
            )
        )  # fmt: skip
    kind = slices(world)
    people = []
    for name in sorted(set(kind[~label].tolist())):
        some = (kind == name) & ~label
        people.append(
            PeopleOutcome(
                slice=name, people=int(some.sum()), hit=int(acted_on[some].sum()), reach=int(reach[some].sum())
            )
        )
    cases = 0
    if policy.review is not None:
        cases = sum(policy.act_on in ("either", each.kind) for each in findings)
    return SocietyOutcome(
        seed=seed, policy=policy.name, campaigns=tuple(campaigns), people=tuple(people), reach=int(reach.sum()),
        labelled=labelled, engagement=round(engagement, 3), review_cases=cases,
    )  # fmt: skip
