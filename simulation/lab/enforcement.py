"""A policy carried out in a society: from the detector's findings to what is done about whom, and what people then see.

`decided` takes findings through a policy: which alerts it acts on, its delay, the queue of its reviewers and their
errors. `PolicedSociety` is a society with feeds in which these decisions hold from their time on: accounts are shown
to nobody, put down, labelled, slowed down or asked to verify.

Societies of one seed under different policies share their luck (`FeedSociety`, `shared_luck`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from simulation.feeds.plan import Algorithm, FeedPlan, algorithm
from simulation.feeds.reading import ReaderSettings
from simulation.feeds.scorers import Engagement, Moderation, Societal
from simulation.feeds.society import FeedSociety, Rated, SocietyStep, unrated
from simulation.lab.interventions import Assumed, FeedChoice, Policy, Review
from simulation.lab.live_detector import Finding
from simulation.sampling import DAY_MS, HOUR_MS, Flags, stream
from simulation.world import Chunk, World, written

FOREVER: Final = 1 << 62


class EnforcementAction(NamedTuple):
    """Something is done about an account from `at` until `until` (ms since 1970, excluded)."""

    at: int
    account: int
    until: int = FOREVER


def reading_of(assumed: Assumed) -> ReaderSettings:
    """How people read, by what is assumed."""
    return ReaderSettings(
        sessions_per_day=assumed.pages_per_day, depth=assumed.depth, attention=assumed.attention, tie=assumed.tie,
        label=assumed.label,
    )  # fmt: skip


def feed_plan(feed: FeedChoice | None = None) -> FeedPlan:
    """The feeds people have: ranked by engagement, and for a share of them as a policy says, if it does."""
    usual = algorithm("engagement")
    if feed is None or feed.algorithm == "engagement":
        return FeedPlan([(usual, 1.0)])
    chosen = algorithm(feed.algorithm)
    if feed.algorithm == "societal":
        chosen = Algorithm("societal", (Engagement(), Societal(weight=feed.weight)))
    if feed.share == 1.0:
        return FeedPlan([(chosen, 1.0)])
    return FeedPlan([(chosen, feed.share), (usual, 1.0 - feed.share)])


def worked(begin_ms: int, minutes: float, review: Review) -> int:
    """When `minutes` of work are done that begin at or after `begin_ms`, if people work `hours_per_day` from a time on.

    Args:
        begin_ms: when it could begin, ms since 1970.
        minutes: of work.
        review: who works when.
    """
    left = minutes * 60_000
    at = begin_ms
    while True:
        opens = at - (at - round(review.begins_at * HOUR_MS)) % DAY_MS  # the last opening at or before `at`
        closes = opens + round(review.hours_per_day * HOUR_MS)
        if at < closes:
            if left <= closes - at:
                return round(at + left)
            left -= closes - at
        at = opens + DAY_MS


def reviewed(cases: list[Finding], review: Review) -> list[tuple[int, Finding]]:
    """When the review of each case ends, one after another in order of time."""
    free, found = 0, []
    for case in cases:
        free = worked(max(free, case.at), review.minutes_per_case, review)
        found.append((free, case))
    return found


def decided(
    policy: Policy, found: Iterable[Finding], label: Flags, assumed: Assumed, seed: int
) -> list[EnforcementAction]:
    """What is done about whom, in order of time; about each account once.

    Args:
        policy: what the platform does.
        found: what the detector said, in order of time.
        label: (accounts,) whether an operator drives each: reviewers are right about it as often as is assumed.
        assumed: errors of reviewers, and who verifies.
        seed: of their errors.
    """
    if policy.measure == "nothing":
        return []
    cases = [each for each in found if policy.act_on in ("either", each.kind)]
    n = len(label)
    luck, patience = stream(seed, "review").random((2, n)), stream(seed, "verify").random((2, n))
    ends = [(case.at, case) for case in cases] if policy.review is None else reviewed(cases, policy.review)
    right = np.where(label, assumed.catches, assumed.spares)
    done: dict[int, int] = {}
    for end, case in ends:
        for account in case.accounts:
            if policy.review is not None and label[account] != (luck[0, account] < right[account]):
                continue  # a machine that was cleared, or a person who was
            at = end + round(policy.delay_hours * HOUR_MS)
            if account not in done or at < done[account]:
                done[account] = at
    proves = patience[0] < np.where(label, assumed.machines_verify, assumed.people_verify)
    hours = -assumed.verify_hours * np.log1p(-patience[1])
    decisions = [
        EnforcementAction(
            at, account,
            at + round(float(hours[account]) * HOUR_MS) if policy.measure == "verify" and proves[account] else FOREVER,
        )
        for account, at in done.items()
    ]  # fmt: skip
    return sorted(decisions)


class PolicedSociety(FeedSociety):
    """A society with feeds in which decisions are carried out from the first step that begins after them.

    Args:
        world: a simulated population that has not been acted out yet; it is changed.
        plan: the algorithms at work; moderation is added to each.
        reading: how people read.
        policy: what a decision means.
        decisions: in order of time; `decide` adds to them.
        rated: ratings of new posts against democratic values; all 0 where not given.
    """

    def __init__(
        self,
        world: World,
        plan: FeedPlan,
        reading: ReaderSettings,
        policy: Policy,
        decisions: Iterable[EnforcementAction] = (),
        rated: Rated = unrated,
    ) -> None:
        super().__init__(world, plan, reading, rated, shared_luck=True)
        moderation = Moderation(self.standing)
        self.plan = FeedPlan([(each.with_scorer(moderation), share) for each, share in plan.algorithms], plan.together)
        self.policy = policy
        self._waiting = sorted(decisions)
        self._ends: list[tuple[int, int]] = []
        self._held = np.zeros(len(world.people), bool)  # about whom something is done at present
        self._shown: defaultdict[int, list[int]] = defaultdict(list)  # rate-limit: times of posts that may be shown
        self._later: list[tuple[int, int]] = []  # friction: when a post may be shown, its serial

    def decide(self, decisions: Iterable[EnforcementAction]) -> None:
        """Further decisions, to be carried out from the next step after their time on."""
        self._waiting = sorted([*self._waiting, *decisions])

    def step(self) -> SocietyStep:
        """As `FeedSociety.step`, decisions carried out first; what removed accounts do reaches nobody."""
        self._carry_out(self.world.now_ms)
        step = super().step()
        self._slow_down(step)
        return step

    def kept(self, events: Chunk) -> Chunk:
        """All but what removed accounts did."""
        return events.where(~self.standing.removed[events.account])

    def _carry_out(self, now_ms: int) -> None:
        while self._waiting and self._waiting[0].at <= now_ms:
            decision = self._waiting.pop(0)
            self._hold(decision.account, True)
            if decision.until < FOREVER:
                heapq.heappush(self._ends, (decision.until, decision.account))
        while self._ends and self._ends[0][0] <= now_ms:
            self._hold(heapq.heappop(self._ends)[1], False)
        posts = self.posts
        while self._later and self._later[0][0] <= now_ms:
            slot = int(posts.slots(np.array([heapq.heappop(self._later)[1]]))[0])
            if slot >= 0:
                posts.hidden[slot] = False

    def _hold(self, account: int, on: bool) -> None:
        """Do, or undo, what the policy says about one account."""
        self._held[account] = on
        match self.policy.measure:
            case "remove" | "verify":
                self.standing.removed[account] = on
            case "label":
                self.standing.labelled[account] = on
            case "downrank":
                self.standing.put_down[account] = self.policy.put_down if on else 0.0
            case _:
                pass  # what is slowed down is so post by post

    def _slow_down(self, step: SocietyStep) -> None:
        """Hide what may not be shown (any more, or yet) of what was just written."""
        if self.policy.measure not in ("rate-limit", "friction"):
            return
        events = step.events
        rows = np.flatnonzero(written(events.kind) & self._held[events.account])
        slots = self.posts.slots(events.serial[rows])
        for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
            account, at = int(events.account[row]), int(events.at[row])
            if slot < 0:
                continue
            if self.policy.measure == "friction":
                self.posts.hidden[slot] = True
                until = at + round(self.policy.wait_hours * HOUR_MS)
                heapq.heappush(self._later, (until, int(events.serial[row])))
            else:
                recent = [each for each in self._shown[account] if each > at - DAY_MS]
                if len(recent) < self.policy.posts_per_day:
                    recent.append(at)
                else:
                    self.posts.hidden[slot] = True
                self._shown[account] = recent
