"""Accounts that gather around the same things: campaigns, organic crowds, and the twins of campaigns.

A crew has *tasks*: a moment, and something to share, answer or amplify at it. Stated distribution: tasks are a Poisson
process of `tasks_per_day`, even over the clock. In the cadence `waves` a member sits down an exponential time of mean
`lag_s` after a task's moment, with probability joint s r(t) / R, where s r(t) is the intensity of its own sittings and
R that of the tasks; its own sittings take place with probability 1 - joint. By the thinning, displacement and
superposition of Poisson processes the member's sittings are then exactly what they were (Kingman 1993, ch. 2 and 5):
who acts, how often and at what hours says nothing, and only who acts *with whom* does. Cadences:

- `waves`, `jitter`: as above; jitter has a lag of hours, so that what is shared is the day, not the moment;
- `drip`: members keep all their own times, and serve a recent task with probability `joint` at each act;
- `copied`: tasks are the sittings of one person, so that members replay a real person's times;
- `framing`: tasks are the links that one innocent person posts, as if it led them.

An organic twin is a crew of one, with the parameters of the member it stands for: the same process, shared with nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from simulation.arrays import DAY_MS, HOUR_MS, Flags, Floats, Ints, segments
from simulation.settings import Cadence, Goal, Tactics, Wording

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
class Crew:
    """One group of accounts and how they act; `quiet` are the members that never act jointly."""

    members: Ints
    tactics: Tactics
    community: int
    quiet: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    begin_ms: int = 0
    leader: int = -1  # the person copied, framed or amplified


class Crews:
    """All crews as arrays, so that thousands of them cost no loop; `adapt` gives one new tactics.

    Shapes: per crew (crews,); per account (n,).
    """

    def __init__(self, crews: list[Crew], accounts: int, start_ms: int) -> None:
        self.list = crews
        n = len(crews)
        self.of = np.full(accounts, -1, np.int64)
        self.active = np.zeros(accounts, bool)  # a member that acts jointly
        self.first = np.zeros(n + 1, np.int64)
        self.first[1:] = np.cumsum([len(crew.members) for crew in crews])
        self.members = np.concatenate([np.zeros(0, np.int64), *(crew.members for crew in crews)])
        self.cadence = np.zeros(n, np.int64)
        self.rate: Floats = np.zeros(n)  # tasks per ms
        self.lag_ms: Floats = np.zeros(n)
        self.joint: Floats = np.zeros(n)
        self.goals = np.zeros((n, len(GOALS)), bool)
        self.hijack: Floats = np.zeros(n)
        self.wording = np.zeros(n, np.int64)
        self.community = np.array([crew.community for crew in crews], np.int64)
        self.leader = np.array([crew.leader for crew in crews], np.int64)
        self.lead_rate: Floats = np.zeros(n)  # tasks per ms that the leader's acts make, on average over the day
        self.begin_ms = np.array([start_ms + crew.begin_ms for crew in crews], np.int64)
        for number, crew in enumerate(crews):
            self.of[crew.members] = number
            self.active[crew.members] = True
            self.active[crew.quiet] = False
            self.adapt(number, crew.tactics)

    def __len__(self) -> int:
        return len(self.list)

    def adapt(self, crew: int, tactics: Tactics) -> None:
        """From now on the crew acts like this."""
        self.cadence[crew] = CADENCES.index(tactics.cadence)
        self.rate[crew] = tactics.tasks_per_day / DAY_MS
        self.lag_ms[crew] = tactics.lag_s * 1000 * (JITTER if tactics.cadence == "jitter" else 1)
        self.joint[crew] = tactics.joint
        self.goals[crew] = [goal in tactics.goals for goal in GOALS]
        self.hijack[crew] = tactics.hijack
        self.wording[crew] = WORDINGS.index(tactics.wording)

    def moments(self, begin_ms: int, end_ms: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Crews and times of the tasks that begin in [begin, end) by themselves (not from a leader's acts)."""
        rate = np.where(self.led() | (self.begin_ms >= end_ms), 0.0, self.rate)
        crew = np.repeat(np.arange(len(self)), rng.poisson(rate * (end_ms - begin_ms)))
        return crew, begin_ms + (rng.random(len(crew)) * (end_ms - begin_ms)).astype(np.int64)

    def led(self) -> Flags:
        """(crews,): its tasks are a leader's acts."""
        result: Flags = (self.cadence >= CADENCES.index("copied")) & (self.leader >= 0)
        return result

    def called(self, crew: Ints, at_ms: Ints, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
        """Who might sit down for tasks of these crews at these moments: index of the task, member, time."""
        waves = np.flatnonzero(self.cadence[crew] != CADENCES.index("drip"))
        count = (self.first[1:] - self.first[:-1])[crew[waves]]
        member = self.members[segments(self.first[crew[waves]], count)]
        task = np.repeat(waves, count)
        lag = rng.exponential(1.0, len(task)) * self.lag_ms[crew[task]]
        good = self.active[member]
        return task[good], member[good], (at_ms[task] + lag.astype(np.int64))[good]

    def displaced(self, accounts: Ints, at_ms: Ints, intensity: Floats, supply: Floats) -> Floats:
        """Probability with which a member's own sitting makes room for those that tasks bring about; 0 for others.

        Args:
            intensity: of the account's own sittings at that time, per ms.
            supply: of its crew's tasks at that time, per ms.
        """
        if not len(self):
            return np.zeros(len(accounts))
        crew = self.of[accounts]
        moved = (crew >= 0) & self.active[accounts] & (at_ms >= self.begin_ms[crew])
        moved &= self.cadence[crew] != CADENCES.index("drip")
        share = np.minimum(self.joint[crew], supply / np.maximum(intensity, 1e-300))
        return np.where(moved, share, 0.0)

    def accepts(self, crew: Ints, intensity: Floats, supply: Floats) -> Floats:
        """Probability with which a called member sits down; arguments as for `displaced`."""
        result: Floats = np.minimum(1.0, self.joint[crew] * intensity / np.maximum(supply, 1e-300))
        return result


class Tasks:
    """The tasks that are being served, by crew; `crew` is -1 for news, which concern everybody.

    Arrays of shape (tasks,), sorted by crew: number, crew, at (ms), link, tag, target (text number).
    """

    NAMES = ("number", "crew", "at", "link", "tag", "target")

    def __init__(self) -> None:
        self.next = 0
        self.number = np.zeros(0, np.int64)
        self.crew = np.zeros(0, np.int64)
        self.at = np.zeros(0, np.int64)
        self.link = np.zeros(0, np.int64)
        self.tag = np.zeros(0, np.int64)
        self.target = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._key = np.zeros(0, np.int64)
        self.done = np.zeros(0, np.int64)

    def add(self, crew: Ints, at: Ints, link: Ints, tag: Ints, target: Ints) -> Ints:
        """New tasks; their numbers."""
        number = self.next + np.arange(len(crew), dtype=np.int64)
        self.next += len(crew)
        for name, new in zip(self.NAMES, (number, crew, at, link, tag, target), strict=True):
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

    def recent(self, crew: Ints, at: Ints, rng: np.random.Generator) -> Ints:
        """Slot of one of the tasks of each crew that began in the `TASK_HOURS` before `at`; -1 where none did."""
        if not len(self.crew):
            return np.full(len(crew), -1, np.int64)
        key = (crew << TIME_BITS) + at
        low = np.searchsorted(self._key, key - round(TASK_HOURS * HOUR_MS), side="right")
        high = np.searchsorted(self._key, key, side="right")
        place = low + (rng.random(len(crew)) * (high - low)).astype(np.int64)
        return np.where(high > low, self._order[np.minimum(place, len(self._order) - 1)], -1)

    def _sort(self) -> None:
        key = (self.crew << TIME_BITS) + self.at
        self._order = np.argsort(key, kind="stable")
        self._key = key[self._order]

    def once(self, slot: Ints, account: Ints, posting: Flags) -> Flags:
        """True where this account serves this task for the first time by posting, or by reacting; taken note of."""
        keys = (self.number[slot] << 32) + (account << 1) + posting
        new = np.zeros(len(keys), bool)
        new[np.unique(keys, return_index=True)[1]] = True
        new &= ~np.isin(keys, self.done)
        self.done = np.union1d(self.done, keys[new])
        return new
