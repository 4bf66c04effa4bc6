"""What became of one society under one policy: how far campaigns reached, whom it hit, what it cost.

`outcome` acts a society out with people who read feeds, decisions carried out, and counts. Reach is counted in
exposures: a person came past a post (`simulation.feeds.exposures`). Everything is a count or a sum, so that several
societies add up.

`detected` is the open loop: what the detector says of the society without any policy, read once and kept. In the closed
loop (`Loop`) it reads beside every policy what that policy has made of the society, step by step, and operators may
answer (`operators`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from simulation.feeds.society import SocietyStep
from simulation.lab.enforcement import EnforcementAction, PolicedSociety, decided, feed_plan, reading_of
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.live_detector import Finding, LiveDetector, RememberedModels, remembered
from simulation.lab.operators import AdaptingOperators, OperatorAnswer
from simulation.lab.spoken_words import SpokenWords, default_ratings
from simulation.lab.trial_society import CampaignPlan, SocietySettings, planned, population, slices
from simulation.output import Renderer
from simulation.population_files import written as replaced
from simulation.redteam.menu import Plan, price
from simulation.sampling import DAY_MS, Flags, Ints
from simulation.world import World, written


class CampaignOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign.

    reach: exposures of its posts; posts: how many reached the platform; seen: how many of them somebody came past;
    acted_on: members about whom something was done; named: days from the beginning of its joint action until the
    detector named a member; days: until something was done about one; None where that never was; cost: in the menu's
    points, replaced accounts included.
    """

    name: str
    plan: Plan
    size: int
    reach: int
    posts: int
    seen: int
    acted_on: int
    named: float | None
    days: float | None
    cost: int


class PeopleOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """People of one slice and language: how many there are, about how many something was done, and exposures of what
    they wrote. `lang` is "" where it is unknown.
    """

    slice: str
    people: int
    hit: int
    reach: int
    lang: str = ""


class SocietyOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One society under one policy.

    reach: exposures of all posts; labelled: those with a warning; engagement: sum of the exposures' appeal, how many
    reactions people would give if each looked at what it came past; hostility: sum of the exposures' ratings against
    democratic values; review_cases: alerts that were looked at; answers: what operators did about it.
    """

    seed: int
    policy: str
    campaigns: tuple[CampaignOutcome, ...]
    people: tuple[PeopleOutcome, ...]
    reach: int
    labelled: int
    engagement: float
    hostility: float
    review_cases: int
    answers: tuple[OperatorAnswer, ...] = ()


class Loop(NamedTuple):
    """The closed loop: models that read beside the policy, and how often operators answer it (0: never)."""

    models: RememberedModels
    rounds: int = 0


def detected(trial: SocietySettings, seed: int, target_fpr: float, models: Path | None, folder: Path) -> list[Finding]:
    """What the detector says in a society where nothing is done; kept in `folder`, and found again there.

    Args:
        trial: what societies share.
        seed: of the society.
        target_fpr: share of people that may be flagged.
        models: models directory, the shipped one where None.
        folder: keeps what was found.

    Raises:
        UsageError: texts or the folder cannot be used.
        SwarmlightError: the detector failed.
    """
    kept = folder / f"findings-{seed}-{target_fpr:g}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=list[Finding])
    world = World(population(trial, seed), seed)
    words = SpokenWords(world, default_ratings())
    society = PolicedSociety(world, feed_plan(), reading_of(Assumed()), _NOTHING, rated=words)
    AdaptingOperators(society, planned(trial, seed), 0)  # who is held back says nothing
    detector = LiveDetector(Renderer(world), remembered(models), target_fpr)
    found = []
    for step in society.steps():
        found += detector.read(step.events, words.of(step.events))
    found += detector.end()
    with replaced(kept) as file:
        file.write(msgspec.json.encode(found))
    return found


_NOTHING = Policy(name="nothing", measure="nothing")


def outcome(
    trial: SocietySettings,
    seed: int,
    policy: Policy,
    found: Iterable[Finding],
    assumed: Assumed,
    loop: Loop | None = None,
) -> SocietyOutcome:
    """Act a society out under a policy.

    Args:
        trial: what societies share.
        seed: of the society.
        policy: what the platform does.
        found: what the detector says in this society where nothing is done, in order of time; of no account where
            there is a loop.
        assumed: what nobody has measured.
        loop: for the closed loop.
    """
    world = World(population(trial, seed), seed)
    words = SpokenWords(world, default_ratings())
    label = world.roles.label
    findings = [] if loop is not None else list(found)
    decisions = decided(policy, findings, label, assumed, seed)
    society = PolicedSociety(world, feed_plan(policy.feed), reading_of(assumed), policy, decisions, words)
    operators = AdaptingOperators(society, planned(trial, seed), loop.rounds if loop is not None else 0)
    detector = LiveDetector(Renderer(world), loop.models, policy.target_fpr) if loop is not None else None
    count = _Count(world)
    for step in society.steps():
        count.take(step)
        if detector is not None:
            findings += detector.read(step.events, words.of(step.events))
            known = {each.account for each in decisions}
            more = [each for each in decided(policy, findings, label, assumed, seed) if each.account not in known]
            decisions += more
            society.decide(more)
            operators.look(decisions)
    return _counted(world, words, policy, planned(trial, seed), findings, decisions, count, operators)


class _Count:
    """What adds up over the steps of a society; arrays are (accounts,)."""

    def __init__(self, world: World) -> None:
        n = len(world.people)
        self.label: Flags = world.roles.label
        self.reach: Ints = np.zeros(n, np.int64)
        self.posts: Ints = np.zeros(n, np.int64)
        self.engagement = self.hostility = 0.0
        self.labelled = 0
        self._first = -1  # serial of the first event since the start
        self._seen: list[Ints] = []  # author and post of machines' posts that people came past

    def take(self, step: SocietyStep) -> None:
        """A further step."""
        events, shown = step.events, step.exposures
        self.posts += np.bincount(events.account[written(events.kind)], minlength=len(self.posts))
        self.reach += np.bincount(shown.author, minlength=len(self.reach))
        self.labelled += int(shown.labelled.sum())
        self.engagement += float(shown.appeal.sum(dtype=np.float64))
        self.hostility += float(shown.rating.sum(dtype=np.float64))
        if self._first < 0 and len(events):
            self._first = int(events.serial[0])
        theirs = self.label[shown.author] & (shown.post >= self._first)
        self._seen.append(np.unique(np.stack((shown.author[theirs].astype(np.int64), shown.post[theirs])), axis=1))

    def seen(self) -> Ints:
        """(accounts,) posts of machines that somebody came past."""
        pairs = np.unique(np.concatenate(self._seen, axis=1), axis=1)
        counted: Ints = np.bincount(pairs[0], minlength=len(self.reach))
        return counted


def _counted(
    world: World, words: SpokenWords, policy: Policy, plans: list[CampaignPlan], findings: list[Finding],
    decisions: list[EnforcementAction], count: _Count, operators: AdaptingOperators,
) -> SocietyOutcome:  # fmt: skip
    first = {each.account: each.at for each in sorted(decisions, reverse=True) if each.at < world.end_ms}
    said: dict[int, int] = {}
    for finding in findings:
        for account in finding.accounts if finding.at < world.end_ms else ():
            said.setdefault(account, finding.at)
    seen = count.seen()
    by_name = {each.name: each for each in plans}
    campaigns = []
    for campaign in world.roles.campaigns:
        plan, members = by_name[campaign.family.name], campaign.members
        begin = world.start_ms + round(campaign.family.begin_day * DAY_MS)

        def since(times: dict[int, int], members: Ints = members, begin: int = begin) -> float | None:
            known = [times[member] for member in members.tolist() if member in times]
            return max(min(known) - begin, 0) / DAY_MS if known else None

        campaigns.append(
            CampaignOutcome(
                name=plan.name, plan=plan.plan, size=plan.size, reach=int(count.reach[members].sum()),
                posts=int(count.posts[members].sum()), seen=int(seen[members].sum()),
                acted_on=sum(member in first for member in members.tolist()), named=since(said), days=since(first),
                cost=price(plan.plan) * (plan.size + operators.replaced(plan.name)),
            )
        )  # fmt: skip
    acted_on = np.zeros(len(count.label), bool)
    acted_on[list(first)] = True
    kind = list(zip(slices(world).tolist(), map(words.language, range(len(count.label))), strict=True))
    people = []
    for name, lang in sorted({one for one, machine in zip(kind, count.label.tolist(), strict=True) if not machine}):
        some = np.array([one == (name, lang) for one in kind]) & ~count.label
        people.append(
            PeopleOutcome(
                slice=name, lang=lang, people=int(some.sum()), hit=int(acted_on[some].sum()),
                reach=int(count.reach[some].sum()),
            )
        )  # fmt: skip
    cases = 0
    if policy.review is not None:
        cases = sum(policy.act_on in ("either", each.kind) for each in findings)
    return SocietyOutcome(
        seed=world.seed, policy=policy.name, campaigns=tuple(campaigns), people=tuple(people),
        reach=int(count.reach.sum()), labelled=count.labelled, engagement=round(count.engagement, 3),
        hostility=round(count.hostility, 3), review_cases=cases, answers=tuple(operators.answers),
    )  # fmt: skip
