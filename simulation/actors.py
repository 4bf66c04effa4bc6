"""When accounts act: sittings by daily rhythm, and in each a self-exciting train of events.

Stated distribution: sittings of an account are a Poisson process with intensity rate (1 - branching) r(t), where
r(h) = night + (1 - night) exp(kappa cos(2 pi (h - peak) / 24)) / I0(kappa) at local hour h, whose mean over a day is 1.
Every event brings about Poisson(branching) further ones, each after an exponential time of mean `gap_s`: the cluster
form of a Hawkes process with exponential kernel (Hawkes and Oakes 1974), whose mean rate is `rate`.

What people react to: what those close to them just wrote, who spoke to them, and what is popular.

Stated distribution (`settings.Feed`): a reaction goes with probability `close` to the latest text of somebody followed
(by closeness, tried a few times, taken with probability exp(-age / recency)); with probability `answer` to whoever
replied to one last; otherwise to a recent text by weight
(1 + reactions)^popularity (1 + followers of the author)^reach exp(-age / recency), anywhere with probability `world`,
else in the community. What finds nothing, or what the reader has just reacted to, tries the next.

Accounts that gather around the same things: campaigns, organic crowds, and the twins of campaigns.

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
from scipy.special import i0e

from simulation.population import Graph, People
from simulation.sampling import DAY_MS, HOUR_MS, Flags, Floats, Ints, first_of_each, running, segments, weighted
from simulation.settings import Cadence, Feed, Goal, Tactics, Wording


class Sittings:
    """The sitting starts of a fixed people. `kept` (n,): share of each account's own sittings that take place."""

    def __init__(self, people: People, peakedness: float) -> None:
        self.people = people
        self.kappa = peakedness
        self.per_day: Floats = people.rate * (1 - people.branching)
        self._scale = 1 / float(i0e(peakedness))
        self.highest = self._scale
        self._total = np.cumsum(self.per_day)

    def rhythm(self, accounts: Ints, at_ms: Ints) -> Floats:
        """r(t) of each account at each time: shape (k,)."""
        people = self.people
        hour = at_ms / HOUR_MS + people.zone[accounts]
        angle = (2 * np.pi / 24) * (hour - people.peak[accounts])
        night = people.night[accounts]
        result: Floats = night + (1 - night) * self._scale * np.exp(self.kappa * (np.cos(angle) - 1))
        return result

    def starts(self, begin_ms: int, end_ms: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Accounts and times of the sittings that begin in [begin, end), by thinning; in no order."""
        mean = self._total[-1] * self.highest * (end_ms - begin_ms) / DAY_MS
        n = int(rng.poisson(mean))
        accounts = np.searchsorted(self._total, rng.random(n) * self._total[-1], side="right")
        at = begin_ms + (rng.random(n) * (end_ms - begin_ms)).astype(np.int64)
        taken = rng.random(n) * self.highest < self.rhythm(accounts, at)
        return accounts[taken], at[taken]


def clusters(
    people: People, accounts: Ints, at_ms: Ints, task: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints]:
    """The events that those at `at_ms` bring about, themselves left out, in no order.

    Returns: accounts, times, and the `task` of the event that each goes back to.
    """
    found = [(accounts[:0], at_ms[:0], task[:0])]
    while len(accounts):
        children = rng.poisson(people.branching[accounts])
        accounts, parents, task = (np.repeat(column, children) for column in (accounts, at_ms, task))
        at_ms = parents + 1 + (rng.exponential(1000.0, len(parents)) * people.gap_s[accounts]).astype(np.int64)
        found.append((accounts, at_ms, task))
    columns = tuple(np.concatenate(column) for column in zip(*found, strict=True))
    return columns[0], columns[1], columns[2]


SEEN: Final = 8
"""Texts that an account has reacted to and knows of: few people like the same thing twice on purpose."""

TRIES: Final = 4
"""Followed accounts looked at before a reaction goes elsewhere: a glance at the top of a time line."""

HORIZON: Final = 8.0
"""Texts older than this many recency times are out of sight: their weight has fallen to under a thousandth."""


class Wall:
    """RecentKeys texts, numbered in the order they were written; `base` is the number of the oldest kept.

    Arrays of shape (kept,): serial (event number), at (ms), author, link, tag, words, reactions.
    """

    NAMES = ("serial", "at", "author", "link", "tag", "words", "reactions")

    def __init__(self, accounts: int) -> None:
        self.base = 0
        self.serial = np.zeros(0, np.int64)
        self.at = np.zeros(0, np.int64)
        self.author = np.zeros(0, np.int64)
        self.link = np.zeros(0, np.int64)
        self.tag = np.zeros(0, np.int64)
        self.words = np.zeros(0, np.int64)
        self.reactions = np.zeros(0, np.int64)
        self.latest = np.full(accounts, -1, np.int64)  # number of each account's latest text
        self.inbox = np.full(accounts, -1, np.int64)  # number of the latest text that replied to it
        self.seen = np.full((accounts, SEEN), -1, np.int64)  # numbers of the last texts that each reacted to
        self._next = np.zeros(accounts, np.int64)

    @property
    def end(self) -> int:
        return self.base + len(self.serial)

    def append(self, serial: Ints, at: Ints, author: Ints) -> Ints:
        """Put new texts in, in order of time; their numbers."""
        numbers = self.end + np.arange(len(serial), dtype=np.int64)
        blank = np.full(len(serial), -1, np.int64)
        added = {"serial": serial, "at": at, "author": author, "link": blank, "tag": blank, "words": blank}
        for name in self.NAMES:
            new = added.get(name, np.zeros(len(serial), np.int64))
            setattr(self, name, np.concatenate((getattr(self, name), new)))
        return numbers

    def forget(self, before_ms: int) -> None:
        """Drop what was written before `before_ms`."""
        cut = int(np.searchsorted(self.at, before_ms))
        for name in self.NAMES:
            setattr(self, name, getattr(self, name)[cut:])
        self.base += cut

    def reacted(self, account: Ints, number: Ints) -> None:
        """Take note that these accounts have reacted to these texts."""
        order = np.argsort(account, kind="stable")
        account, number = account[order], number[order]
        starts = np.flatnonzero(np.diff(account, prepend=-1))
        counts = np.diff(np.append(starts, len(account)))
        rank = np.arange(len(account)) - np.repeat(starts, counts)
        self.seen[account, (self._next[account] + rank) % SEEN] = number
        self._next[account[starts]] += counts

    def slot(self, number: Ints) -> Ints:
        """Where the texts of these numbers are kept; -1 for those gone or none."""
        return np.where(number >= self.base, number - self.base, -1)


class Reader:
    """Chooses targets on a wall, as it stood at the start of a step and with what was written since."""

    def __init__(self, wall: Wall, graph: Graph, community: Ints, feed: Feed, closeness: float, now_ms: int) -> None:
        self.wall, self.graph, self.feed, self.closeness = wall, graph, feed, closeness
        self.tau = feed.recency_hours * HOUR_MS
        self.old = len(wall.serial)
        home = community[wall.author]
        self._order = np.argsort(home, kind="stable")
        fading: Floats = np.exp((wall.at - now_ms) / self.tau)
        reach = np.power(1.0 + graph.followers[wall.author], feed.reach)
        weight: Floats = np.power(1.0 + wall.reactions, feed.popularity) * reach * fading
        self._cumulative = running(weight[self._order])
        self._first = np.searchsorted(home[self._order], np.arange(int(community.max()) + 2))
        self._community = community
        self._begin = now_ms
        self._keys = np.zeros(0, np.int64)
        self._new = np.zeros(0, np.int64)

    def written(self, span_ms: int) -> None:
        """Take note of what has been appended to the wall since: times in [begin, begin + span)."""
        new = np.arange(self.old, len(self.wall.serial))
        keys = self.wall.author[new] * span_ms + (self.wall.at[new] - self._begin)
        order = np.argsort(keys, kind="stable")
        self._keys, self._new, self._span = keys[order], new[order], span_ms

    def latest_of(self, author: Ints, at: Ints) -> Ints:
        """Slot of the latest text of each author before each time; -1: none in sight."""
        found = self.wall.slot(self.wall.latest[author])
        if len(self._keys):
            place = np.searchsorted(self._keys, author * self._span + (at - self._begin)) - 1
            slot = self._new[np.maximum(place, 0)]
            same = (place >= 0) & (self.wall.author[slot] == author)
            found = np.where(same, slot, found)
        return found

    def choose(self, reader: Ints, at: Ints, rng: np.random.Generator) -> Ints:
        """The slot of the text that each reaction is to; -1: there is nothing to react to."""
        feed = self.feed
        target = np.full(len(reader), -1, np.int64)
        way = rng.random(len(reader))
        asked = np.flatnonzero(way < feed.close)
        for _ in range(TRIES):
            friend = self.graph.turn_to(reader[asked], rng.random(len(asked)), self.closeness)
            slot = self.latest_of(np.maximum(friend, 0), at[asked])
            age = at[asked] - self.wall.at[slot] if len(self.wall.at) else at[asked]
            good = (friend >= 0) & (slot >= 0) & (rng.random(len(asked)) < np.exp(-np.maximum(age, 0) / self.tau))
            target[asked[good]] = slot[good]
            asked = asked[~good]
        answering = np.flatnonzero((way >= feed.close) & (way < feed.close + feed.answer))
        slot = self.wall.slot(self.wall.inbox[reader[answering]])
        target[answering] = slot
        sent = way < feed.close + feed.answer
        wide = np.where(sent, rng.random(len(reader)) < feed.world, way >= 1 - feed.world)
        everywhere = np.ones(len(reader), bool)
        for reach in (wide, everywhere):
            left = np.flatnonzero((target < 0) | self._again(reader, target))
            target[left] = self.popular(reader[left], reach[left], rng)
        left = np.flatnonzero(target < 0)
        target[left] = self.popular(reader[left], everywhere[left], rng)
        return target

    def _again(self, reader: Ints, slot: Ints) -> Flags:
        """True where a reader has reacted to a text before, or does so twice in this step."""
        known = (self.wall.seen[reader] == (slot + self.wall.base)[:, None]).any(axis=1)
        repeated: Flags = known | ~first_of_each((reader << 32) + slot)
        return repeated & (slot >= 0)

    def popular(self, reader: Ints, everywhere: Flags, rng: np.random.Generator, home: Ints | None = None) -> Ints:
        """Slots of texts by popularity and recency, of the reader's community or of anywhere, never the reader's own.

        Args:
            home: communities to read in, where they are not the readers' own.
        """
        home = self._community[reader] if home is None else home
        low = np.where(everywhere, 0, self._first[home])
        high = np.where(everywhere, self.old, self._first[home + 1])
        place = weighted(self._cumulative, low, high, rng.random(len(reader)))
        if not self.old:
            return place
        slot = np.where(place >= 0, self._order[np.maximum(place, 0)], -1)
        own = (slot >= 0) & (self.wall.author[slot] == reader)
        return np.where(own, -1, slot)


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
        self.awake = np.zeros(n, bool)  # tasks come by the first member's rhythm
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
        self.awake[crew] = tactics.awake
        self.joint[crew] = tactics.joint
        self.goals[crew] = [goal in tactics.goals for goal in GOALS]
        self.hijack[crew] = tactics.hijack
        self.wording[crew] = WORDINGS.index(tactics.wording)

    def moments(self, begin_ms: int, end_ms: int, sittings: Sittings, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Crews and times of the tasks that begin in [begin, end) by themselves (not from a leader's acts).

        Args:
            begin_ms: start of the stretch of time.
            end_ms: its end.
            sittings: whose rhythm the tasks of crews follow that act while members are awake.
            rng: where chance comes from.
        """
        rate = np.where(self.led() | (self.begin_ms >= end_ms), 0.0, self.rate)
        rate = np.where(self.awake, rate * sittings.highest, rate)
        crew = np.repeat(np.arange(len(self)), rng.poisson(rate * (end_ms - begin_ms)))
        at = begin_ms + (rng.random(len(crew)) * (end_ms - begin_ms)).astype(np.int64)
        if self.awake[crew].any():
            share = np.where(self.awake[crew], self.supply(crew, at, sittings) / self.rate[crew], 1.0)
            taken = rng.random(len(crew)) * np.where(self.awake[crew], sittings.highest, 1.0) < share
            crew, at = crew[taken], at[taken]
        return crew, at

    def supply(self, crew: Ints, at_ms: Ints, sittings: Sittings) -> Floats:
        """Intensity of the tasks of each crew at each time, per ms, where they come by themselves."""
        if not self.awake.any():
            return self.rate[crew]
        first = self.members[np.minimum(self.first[crew], len(self.members) - 1)]
        return np.where(self.awake[crew], self.rate[crew] * sittings.rhythm(first, at_ms), self.rate[crew])

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
