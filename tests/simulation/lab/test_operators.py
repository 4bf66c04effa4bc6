"""Operators who lose accounts bring in others and act otherwise; in the loop the detector reads what came of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulation.coordinated_groups import CADENCES
from simulation.lab.enforcement import EnforcementAction, PolicedSociety, feed_plan, reading_of
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.live_detector import Finding, LiveDetector
from simulation.lab.operators import AdaptingOperators
from simulation.lab.outcomes import Loop, detected, outcome
from simulation.lab.trial_society import SocietySettings, planned, population
from simulation.sampling import HOUR_MS
from simulation.world import Chunk, World

TRIAL = SocietySettings(accounts=120, days=0.5, spare=0.5)
REMOVE = Policy(name="remove", measure="remove")


def society(trial: SocietySettings = TRIAL) -> PolicedSociety:
    return PolicedSociety(World(population(trial, 0), 0), feed_plan(), reading_of(Assumed()), REMOVE)


def test_accounts_held_back_are_silent_until_others_are_gone() -> None:
    one = society()
    operators = AdaptingOperators(one, planned(TRIAL, 0), rounds=2)
    world = one.world
    largest = world.roles.campaigns[2]
    assert len(largest.members) == 24
    lost, spare = largest.members[:12], largest.members[16:]
    assert one.standing.removed[spare].all()
    actions = [EnforcementAction(world.start_ms, int(account)) for account in lost]
    one.decide(actions)
    spoke = []
    for step in one.steps():
        spoke.append(bool(np.isin(step.events.account, spare).any()))
        operators.look(actions)
    rounds = len(spoke) // 3
    assert not any(spoke[:rounds])
    assert any(spoke[rounds:])
    answer = operators.answers[0]
    assert (answer.round, answer.campaign, answer.lost, answer.replaced) == (1, largest.family.name, 12, 8)
    assert operators.replaced(largest.family.name) == 8
    assert len(operators.answers) == 1  # nothing more was lost in the second round
    assert one.standing.removed[lost].all()
    assert not one.standing.removed[spare].any()
    group = world.groups.of[lost[0]]
    assert CADENCES[world.groups.cadence[group]] in ("waves", "drip", "jitter", "copied")
    assert answer.after[3:] == answer.before[3:]  # teams and accounts are what they are


def test_what_kept_accounts_alive_is_taken_more_often() -> None:
    taken = {"drip": 0, "waves": 0}
    for seed in range(12):
        trial = msgspec.structs.replace(TRIAL, sizes=(4, 16))
        one = PolicedSociety(World(population(trial, seed), seed), feed_plan(), reading_of(Assumed()), REMOVE)
        plans = [
            msgspec.structs.replace(each, plan=("independent", cadence, *each.plan[2:]))
            for each, cadence in zip(planned(trial, seed), ("waves", "drip"), strict=True)
        ]
        operators = AdaptingOperators(one, plans, rounds=1)
        small = one.world.roles.campaigns[0].members[:4]
        one.world.now_ms = one.world.end_ms
        operators.look([EnforcementAction(0, int(account)) for account in small])
        for cadence in taken:
            taken[cadence] += operators.answers[0].after[1] == cadence
    assert taken["drip"] > taken["waves"]


def test_the_open_loop_reads_nothing_of_accounts_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[int] = set()

    def note(self: LiveDetector, events: Chunk, texts: object) -> list[Finding]:
        read.update(events.account.tolist())
        return []

    monkeypatch.setattr(LiveDetector, "__init__", lambda self, renderer, models, target_fpr: None)
    monkeypatch.setattr(LiveDetector, "read", note)
    monkeypatch.setattr(LiveDetector, "end", lambda self: [])
    monkeypatch.setattr("simulation.lab.outcomes.remembered", lambda models: None)
    assert detected(TRIAL, 0, 0.01, None, tmp_path) == []
    members = World(population(TRIAL, 0), 0).roles.campaigns[2].members
    assert read & set(members[:16].tolist())
    assert not read & set(members[16:].tolist())


def test_without_rounds_nobody_answers() -> None:
    one = society()
    operators = AdaptingOperators(one, planned(TRIAL, 0), rounds=0)
    one.world.now_ms = one.world.end_ms
    operators.look([EnforcementAction(0, int(one.world.roles.campaigns[2].members[0]))])
    assert operators.answers == []


def test_in_the_closed_loop_the_detector_reads_what_the_policy_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector that names whoever of the largest campaign has acted, an hour after the start and from then on."""
    world = World(population(TRIAL, 0), 0)
    members = world.roles.campaigns[2].members
    acted: list[set[int]] = []

    def read(self: LiveDetector, events: Chunk, texts: object) -> list[Finding]:
        acted.append(set(events.account.tolist()))
        if not len(events):
            return []
        names = sorted(acted[-1] & set(members.tolist()))
        return [Finding(int(events.at[-1]), "account", str(name), (name,)) for name in names]

    monkeypatch.setattr(LiveDetector, "__init__", lambda self, renderer, models, target_fpr: None)
    monkeypatch.setattr(LiveDetector, "read", read)
    trial = msgspec.structs.replace(TRIAL, closed=True, rounds=2)
    made = outcome(trial, 0, REMOVE, (), Assumed(), Loop(None, 2))  # type: ignore[arg-type]
    last: dict[int, int] = {}
    times: dict[int, int] = {}
    for number, accounts in enumerate(acted):
        for account in accounts & set(members.tolist()):
            last[account] = number
            times[account] = times.get(account, 0) + 1
    assert len(last) > 6
    assert max(times.values()) <= 2  # the step in which it is named, and at most the one under way: then it is gone
    assert set(last) & set(members[16:].tolist())  # accounts held back came in, and were named like the others
    campaign = made.campaigns[2]
    assert campaign.acted_on == len(last)
    assert [answer.campaign for answer in made.answers] == [campaign.name] * len(made.answers)
    assert made.answers
    assert campaign.days is not None
    assert campaign.days * 24 * HOUR_MS < world.end_ms - world.start_ms
    open_loop = outcome(trial, 0, REMOVE, [], Assumed())
    assert open_loop.campaigns[2].reach > campaign.reach
