"""From findings to what is done, and what people then see."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest

from simulation.feeds.exposures import Exposures
from simulation.feeds.plan import FeedPlan, algorithm
from simulation.lab.enforcement import EnforcementAction, PolicedSociety, decided, feed_plan, reading_of, worked
from simulation.lab.interventions import Assumed, FeedChoice, Measure, Policy, Review
from simulation.lab.live_detector import Finding
from simulation.sampling import DAY_MS, HOUR_MS
from simulation.world import World
from tests.simulation.populations import QUIET

NOBODY_ERRS = Assumed(catches=1.0, spares=1.0)
REMOVE = Policy(name="remove", measure="remove")


def finding(at_h: float, *accounts: int, kind: str = "account", alert: str = "") -> Finding:
    return Finding(round(at_h * HOUR_MS), kind, alert or f"{kind}:{accounts}", accounts)


def test_work_is_done_in_working_hours_alone() -> None:
    review = Review(hours_per_day=2.0, begins_at=9.0)
    at = [worked(round(begin * HOUR_MS), minutes, review) / HOUR_MS for begin, minutes in (
        (9.0, 30), (10.5, 30), (10.5, 60), (12.0, 30), (3.0, 150),
    )]  # fmt: skip
    assert at == [9.5, 11.0, 33.5, 33.5, 33.5]


def test_each_account_is_decided_once_and_people_who_look_first_make_it_later() -> None:
    label = np.array([True, True, False, False])
    found = [finding(1, 0), finding(2, 1, 2, kind="campaign"), finding(3, 0, kind="campaign")]
    at_once = decided(REMOVE, found, label, NOBODY_ERRS, 0)
    assert [(each.account, each.at // HOUR_MS) for each in at_once] == [(0, 1), (1, 2), (2, 2)]
    accounts = msgspec.structs.replace(REMOVE, act_on="account", delay_hours=5.0)
    assert decided(accounts, found, label, NOBODY_ERRS, 0) == [EnforcementAction(6 * HOUR_MS, 0)]
    looked = msgspec.structs.replace(REMOVE, review=Review(hours_per_day=1.0, minutes_per_case=40.0, begins_at=9.0))
    later = decided(looked, found, label, NOBODY_ERRS, 0)
    assert [each.account for each in later] == [0, 1]  # the person is cleared
    assert later[0].at == 9 * HOUR_MS + 40 * 60_000
    assert later[1].at == DAY_MS + 9 * HOUR_MS + 20 * 60_000  # the second case does not fit into the first day's hour


def test_reviewers_err_as_often_as_is_assumed() -> None:
    label = np.arange(4000) < 2000
    found = [finding(9, *range(4000))]
    policy = msgspec.structs.replace(REMOVE, review=Review())
    acted = np.array([each.account for each in decided(policy, found, label, Assumed(), 3)])
    assert abs(float((acted < 2000).sum()) / 2000 - 0.85) < 0.03
    assert abs(float((acted >= 2000).sum()) / 2000 - 0.10) < 0.03


def test_who_verifies_is_back_after_a_while() -> None:
    label = np.zeros(200, bool)
    policy = Policy(name="verify", measure="verify")
    decisions = decided(policy, [finding(1, *range(200))], label, Assumed(people_verify=0.5, verify_hours=4.0), 0)
    back = [each for each in decisions if each.until < 1 << 61]
    assert 70 < len(back) < 130
    assert 2.0 < float(np.mean([each.until - each.at for each in back])) / HOUR_MS < 6.0


@cache
def seen(measure: Measure, from_hour: float = 4.0) -> tuple[Exposures, int]:
    population = msgspec.structs.replace(QUIET, accounts=200, days=0.5, start="2024-03-04T12:00:00Z")
    world = World(population, 0)
    busy = int(np.argmax(world.people.rate))
    policy = Policy(name="x", measure=measure, posts_per_day=0.0, wait_hours=1000.0, put_down=1000.0)
    at = world.start_ms + round(from_hour * HOUR_MS)
    decisions = (
        []
        if measure == "nothing"
        else [EnforcementAction(at, account) for account in range(100)] + [EnforcementAction(at, busy)]
    )
    society = PolicedSociety(
        world, FeedPlan([(algorithm("engagement"), 1.0)]), reading_of(Assumed()), policy, decisions
    )
    exposures = Exposures.joined([step.exposures for step in society.steps()])
    return exposures, world.start_ms + round((from_hour + 1.0) * HOUR_MS)


def share_after(measure: Measure) -> float:
    """Share of what is seen an hour after the decision that the first hundred accounts wrote."""
    exposures, after = seen(measure)
    late = exposures.at >= after
    assert int(late.sum()) > 500
    return float((exposures.author[late] < 100).mean())


def test_each_measure_does_what_it_says() -> None:
    alone = share_after("nothing")
    assert 0.3 < alone < 0.7
    assert share_after("remove") == 0.0
    assert share_after("downrank") < 0.6 * alone
    exposures, after = seen("rate-limit")
    written_later = exposures.at >= after + 4 * HOUR_MS
    assert (exposures.author[written_later] < 100).mean() < 0.6 * alone
    assert share_after("friction") < alone
    labelled, _ = seen("label")
    begin = after - HOUR_MS
    assert labelled.labelled[(labelled.at >= after) & (labelled.author < 100)].all()
    assert not labelled.labelled[labelled.at < begin].any()


def test_societies_under_different_policies_share_their_luck() -> None:
    first, after = seen("nothing")
    again, _ = seen.__wrapped__("nothing")
    assert np.array_equal(first.post, again.post)
    other, _ = seen("remove")
    begin = after - HOUR_MS
    for one, column in ((first, first.post), (first, first.reader)):
        same = column[one.at < begin]
        assert np.array_equal(same, (other.post if column is first.post else other.reader)[: len(same)])
    late = np.unique(first.reader[first.at >= begin]), np.unique(other.reader[other.at >= begin])
    assert len(np.intersect1d(*late)) > 0.95 * len(late[0])  # the same people read, whatever they are shown


def test_later_decisions_are_carried_out_in_their_order() -> None:
    world = World(msgspec.structs.replace(QUIET, accounts=60, days=0.5), 0)
    society = PolicedSociety(world, feed_plan(), reading_of(Assumed()), REMOVE, [EnforcementAction(world.end_ms, 0)])
    society.decide([EnforcementAction(world.start_ms, 1), EnforcementAction(world.start_ms, 2, world.start_ms + 1)])
    society.step()
    assert society.standing.removed[:3].tolist() == [False, True, True]
    society.step()
    assert society.standing.removed[:3].tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["chronological", "follows", "societal"])
def test_a_policy_may_choose_the_feed_for_some(name: str) -> None:
    plan = feed_plan(FeedChoice(algorithm=name, share=0.25))  # type: ignore[arg-type]
    assert plan.names == (name, "engagement")
    assert 0.15 < float((plan.assigned(2000, 0) == 0).mean()) < 0.35
    assert feed_plan(FeedChoice(algorithm=name)).names == (name,)  # type: ignore[arg-type]
    assert feed_plan().names == ("engagement",)
