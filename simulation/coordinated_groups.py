"""Decides what accounts that act together gather around, and which member serves it when.

`simulation.world` calls this module in every step. In go the groups and the sessions of their members
(`simulation.actors`); out come tasks and who serves them (`CoordinatedGroups`, `Tasks`). The stated distributions are
these.

Tasks: coordinated groups (campaigns, organic crowds, matched controls) have *tasks*, each a moment and something to
share, answer or amplify at it. Tasks are a Poisson process of `tasks_per_day`, even over the clock, or by the members'
rhythm where `awake`. In the cadence `waves` a member starts a session an exponential time of mean `lag_s` after a
task's moment, with probability joint s r(t) / R, where s r(t) is the intensity of its own sessions and R that of the
tasks; its own sessions take place with probability 1 - joint. By the thinning, displacement and superposition of
Poisson processes the member's sessions then have the distribution that they had without the group (Kingman 1993, ch. 2
and 5): who acts, how often and at what hours is the same, and only who acts *with whom* differs. Cadences:

- `waves`, `jitter`: as above; jitter has a lag of hours, so that members share the day and not the moment;
- `drip`: members keep all their own times, and serve a recent task with probability `joint` at each act;
- `copied`: tasks are the sessions of one person, so that members replay a real person's times;
- `framing`: tasks are the links that one innocent person posts, as if it led them.

A matched control is a group of one, with the parameters of the member that it is compared with: the same process,
shared with nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulation.actors import Sessions
from simulation.population_config import Cadence, Goal, Tactics, Wording
from simulation.sampling import DAY_MS, HOUR_MS, Flags, Floats, Ints, segments

CADENCES: Final[tuple[Cadence, ...]] = ("waves", "drip", "jitter", "copied", "framing")

GOALS: Final[tuple[Goal, ...]] = ("link", "tag", "swarm", "amplify")

WORDINGS: Final[tuple[Wording | None, ...]] = (None, "verbatim", "paraphrase", "independent", "copied")

JITTER: Final = 12.0
"""`jitter` spreads a task over so many times `lag_s`."""

TIME_BITS: Final = 42
"""Bits of a time in ms: until the year 2109."""

TASK_HOURS: Final = 12.0
"""A task is served for so long after its moment, by those who drip; afterwards it is yesterday's."""


@dataclass
class CoordinatedGroup:
    """One group of accounts and how they act; `quiet` are the members that never act jointly."""

    members: Ints
    tactics: Tactics
    community: int
    quiet: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    begin_ms: int = 0
    leader: int = -1  # the person copied, framed or amplified


class CoordinatedGroups:
    """All groups as arrays, so that thousands of them cost no loop; `adapt` gives one new tactics.

    Shapes: per group (groups,); per account (n,).
    """

    def __init__(self, groups: list[CoordinatedGroup], accounts: int, start_ms: int) -> None:
        self.list = groups
        n = len(groups)
        self.of = np.full(accounts, -1, np.int64)
        self.active = np.zeros(accounts, bool)  # a member that acts jointly
        self.first = np.zeros(n + 1, np.int64)
        self.first[1:] = np.cumsum([len(group.members) for group in groups])
        self.members = np.concatenate([np.zeros(0, np.int64), *(group.members for group in groups)])
        self.cadence = np.zeros(n, np.int64)
        self.rate: Floats = np.zeros(n)  # tasks per ms
        self.lag_ms: Floats = np.zeros(n)
        self.awake = np.zeros(n, bool)  # tasks come by the first member's rhythm
        self.joint: Floats = np.zeros(n)
        self.goals = np.zeros((n, len(GOALS)), bool)
        self.hijack: Floats = np.zeros(n)
        self.wording = np.zeros(n, np.int64)
        self.community = np.array([group.community for group in groups], np.int64)
        self.leader = np.array([group.leader for group in groups], np.int64)
        self.lead_rate: Floats = np.zeros(n)  # tasks per ms that the leader's acts make, on average over the day
        self.begin_ms = np.array([start_ms + group.begin_ms for group in groups], np.int64)
        for number, group in enumerate(groups):
            self.of[group.members] = number
            self.active[group.members] = True
            self.active[group.quiet] = False
            self.adapt(number, group.tactics)

    def __len__(self) -> int:
        return len(self.list)

    def adapt(self, group: int, tactics: Tactics) -> None:
        """From now on the group acts like this."""
        self.cadence[group] = CADENCES.index(tactics.cadence)
        self.rate[group] = tactics.tasks_per_day / DAY_MS
        self.lag_ms[group] = tactics.lag_s * 1000 * (JITTER if tactics.cadence == "jitter" else 1)
        self.awake[group] = tactics.awake
        self.joint[group] = tactics.joint
        self.goals[group] = [goal in tactics.goals for goal in GOALS]
        self.hijack[group] = tactics.hijack
        self.wording[group] = WORDINGS.index(tactics.wording)

    def moments(self, begin_ms: int, end_ms: int, sessions: Sessions, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Groups and times of the tasks that begin in [begin, end) by themselves (not from a leader's acts).

        Args:
            begin_ms: start of the stretch of time.
            end_ms: its end.
            sessions: whose rhythm the tasks of groups follow that act while members are awake.
            rng: where chance comes from.
        """
        rate = np.where(self.led() | (self.begin_ms >= end_ms), 0.0, self.rate)
        rate = np.where(self.awake, rate * sessions.highest, rate)
        group = np.repeat(np.arange(len(self)), rng.poisson(rate * (end_ms - begin_ms)))
        at = begin_ms + (rng.random(len(group)) * (end_ms - begin_ms)).astype(np.int64)
        if self.awake[group].any():
            share = np.where(self.awake[group], self.supply(group, at, sessions) / self.rate[group], 1.0)
            taken = rng.random(len(group)) * np.where(self.awake[group], sessions.highest, 1.0) < share
            group, at = group[taken], at[taken]
        return group, at

    def supply(self, group: Ints, at_ms: Ints, sessions: Sessions) -> Floats:
        """Intensity of the tasks of each group at each time, per ms, where they come by themselves.

        Args:
            group: shape (k,), numbers of groups.
            at_ms: shape (k,), times.
            sessions: whose rhythm is followed where tasks come while members are awake.
        """
        if not self.awake.any():
            return self.rate[group]
        first = self.members[np.minimum(self.first[group], len(self.members) - 1)]
        return np.where(self.awake[group], self.rate[group] * sessions.rhythm(first, at_ms), self.rate[group])

    def led(self) -> Flags:
        """(groups,): its tasks are a leader's acts."""
        result: Flags = (self.cadence >= CADENCES.index("copied")) & (self.leader >= 0)
        return result

    def called(self, group: Ints, at_ms: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """Who might start a session for tasks of these groups at these moments: index of the task, member, time.

        Args:
            group: shape (tasks,), whose tasks they are.
            at_ms: shape (tasks,), their moments.
            rng: where chance comes from.
        """
        waves = np.flatnonzero(self.cadence[group] != CADENCES.index("drip"))
        count = (self.first[1:] - self.first[:-1])[group[waves]]
        member = self.members[segments(self.first[group[waves]], count)]
        task = np.repeat(waves, count)
        lag = rng.exponential(1.0, len(task)) * self.lag_ms[group[task]]
        good = self.active[member]
        return task[good], member[good], (at_ms[task] + lag.astype(np.int64))[good]

    def displaced(self, accounts: Ints, at_ms: Ints, intensity: Floats, supply: Floats) -> Floats:
        """Probability with which a member's own session makes room for those that tasks bring about; 0 for others.

        Args:
            accounts: (k,) whose sessions they are.
            at_ms: (k,) when they begin.
            intensity: of the account's own sessions at that time, per ms.
            supply: of its group's tasks at that time, per ms.
        """
        if not len(self):
            return np.zeros(len(accounts))
        group = self.of[accounts]
        moved = (group >= 0) & self.active[accounts] & (at_ms >= self.begin_ms[group])
        moved &= self.cadence[group] != CADENCES.index("drip")
        share = np.minimum(self.joint[group], supply / np.maximum(intensity, 1e-300))
        return np.where(moved, share, 0.0)

    def accepts(self, group: Ints, intensity: Floats, supply: Floats) -> Floats:
        """Probability with which a called member starts a session; arguments as for `displaced`.

        Args:
            group: shape (k,), numbers of groups.
            intensity: of the member's own sessions at that time, per ms.
            supply: of the group's tasks at that time, per ms.
        """
        result: Floats = np.minimum(1.0, self.joint[group] * intensity / np.maximum(supply, 1e-300))
        return result


class Tasks:
    """The tasks that are being served, by group; `group` is -1 for news, which concern everybody.

    Arrays of shape (tasks,), sorted by group: number, group, at (ms), link, tag, target (text number).
    """

    NAMES = ("number", "group", "at", "link", "tag", "target")

    def __init__(self) -> None:
        self.next = 0
        self.number = np.zeros(0, np.int64)
        self.group = np.zeros(0, np.int64)
        self.at = np.zeros(0, np.int64)
        self.link = np.zeros(0, np.int64)
        self.tag = np.zeros(0, np.int64)
        self.target = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._key = np.zeros(0, np.int64)
        self.done = np.zeros(0, np.int64)

    def add(self, group: Ints, at: Ints, link: Ints, tag: Ints, target: Ints) -> Ints:
        """New tasks; their numbers.

        Args:
            group: shape (k,), whose they are; -1 for news.
            at: shape (k,), their moments in ms.
            link: what to share.
            tag: the hashtag to use.
            target: number of the text to react to, -1 for none.
        """
        number = self.next + np.arange(len(group), dtype=np.int64)
        self.next += len(group)
        for name, new in zip(self.NAMES, (number, group, at, link, tag, target), strict=True):
            setattr(self, name, np.concatenate((getattr(self, name), new)))
        self._sort()
        return number

    def forget(self, before_ms: int) -> None:
        """Drop the oldest tasks, up to the first that began at `before_ms` or later."""
        late = np.flatnonzero(self.at >= before_ms)
        cut = int(late[0]) if len(late) else len(self.at)
        for name in self.NAMES:
            setattr(self, name, getattr(self, name)[cut:])
        self._sort()
        oldest = self.next - len(self.number)
        self.done = self.done[np.searchsorted(self.done, oldest << 32) :]

    def slot(self, number: Ints) -> Ints:
        """Where tasks are kept; -1 for those gone or none."""
        oldest = self.next - len(self.number)
        return np.where(number >= oldest, number - oldest, -1)

    def recent(self, group: Ints, at: Ints, rng: np.random.Generator) -> Ints:
        """Slot of one of the tasks of each group that began in the `TASK_HOURS` before `at`; -1 where none did.

        Args:
            group: shape (k,), numbers of groups.
            at: shape (k,), times in ms.
            rng: where chance comes from.
        """
        if not len(self.group):
            return np.full(len(group), -1, np.int64)
        key = (group << TIME_BITS) + at
        low = np.searchsorted(self._key, key - round(TASK_HOURS * HOUR_MS), side="right")
        high = np.searchsorted(self._key, key, side="right")
        place = low + (rng.random(len(group)) * (high - low)).astype(np.int64)
        return np.where(high > low, self._order[np.minimum(place, len(self._order) - 1)], -1)

    def _sort(self) -> None:
        key = (self.group << TIME_BITS) + self.at
        self._order = np.argsort(key, kind="stable")
        self._key = key[self._order]

    def once(self, slot: Ints, account: Ints, posting: Flags) -> Flags:
        """True where this account serves this task for the first time by posting, or by reacting; taken note of.

        Args:
            slot: shape (k,), where the tasks are kept.
            account: shape (k,), who serves them.
            posting: shape (k,), by posting (true) or by reacting.
        """
        keys = (self.number[slot] << 32) + (account << 1) + posting
        new = np.zeros(len(keys), bool)
        new[np.unique(keys, return_index=True)[1]] = True
        new &= ~np.isin(keys, self.done)
        self.done = np.union1d(self.done, keys[new])
        return new
