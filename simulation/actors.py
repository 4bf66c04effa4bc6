"""Decides when accounts act and what they react to.

`simulation.world` calls this module in every step. In go the people (`simulation.population`) and a generator; out come
the times of sessions and of the events in them (`Sessions`, `clusters`), and the texts that reactions go to (`Reader`,
on a `Feed`). What those who act together gather around is in `simulation.coordinated_groups`. The stated distributions
are these.

Sessions: those of an account are a Poisson process with intensity rate (1 - branching) r(t), where
r(h) = night + (1 - night) exp(kappa cos(2 pi (h - peak) / 24)) / I0(kappa) at local hour h, whose mean over a day is 1.
Every event brings about Poisson(branching) further ones, each after an exponential time of mean `gap_s`: the cluster
form of a Hawkes process with exponential kernel (Hawkes and Oakes 1974), whose mean rate is `rate`.

Feed (`FeedSettings`): a reaction goes with probability `close` to the latest text of somebody followed (by
closeness, tried a few times, taken with probability exp(-age / recency)); with probability `answer` to whoever replied
to one last; otherwise to a recent text by weight (1 + reactions)^popularity (1 + followers of the author)^reach
exp(-age / recency), anywhere with probability `world`, else in the community. What finds nothing, or what the reader
has just reacted to, tries the next.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.special import i0e

from simulation.population import Graph, People
from simulation.population_config import FeedSettings
from simulation.sampling import DAY_MS, HOUR_MS, Flags, Floats, Ints, first_of_each, running, weighted


class Sessions:
    """When people's sessions begin. `kept` (n,): share of each account's own sessions that take place."""

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
        """Accounts and times of the sessions that begin in [begin, end), by thinning; in no order.

        Args:
            begin_ms: start of the stretch of time.
            end_ms: its end.
            rng: where chance comes from.
        """
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

    Args:
        people: their branching and gaps.
        accounts: shape (k,), who acted.
        at_ms: shape (k,), when.
        task: shape (k,), the task of each event, -1 for none.
        rng: where chance comes from.

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


class LastOfEach:
    """The last few numbers noted of every account, in no order: `rows` (accounts, size), -1 where there is none yet.

    Args:
        accounts: how many.
        size: numbers kept of each.
    """

    def __init__(self, accounts: int, size: int) -> None:
        self.rows = np.full((accounts, size), -1, np.int64)
        self._next = np.zeros(accounts, np.int64)

    def note(self, account: Ints, number: Ints) -> None:
        """Put numbers in the place of the oldest of their accounts, in the order given."""
        order = np.argsort(account, kind="stable")
        account, number = account[order], number[order]
        starts = np.flatnonzero(np.diff(account, prepend=-1))
        counts = np.diff(np.append(starts, len(account)))
        rank = np.arange(len(account)) - np.repeat(starts, counts)
        self.rows[account, (self._next[account] + rank) % self.rows.shape[1]] = number
        self._next[account[starts]] += counts


class Feed:
    """Recent texts, numbered in the order they were written; `base` is the number of the oldest kept.

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
        self.seen = LastOfEach(accounts, SEEN)  # numbers of the last texts that each reacted to

    @property
    def end(self) -> int:
        return self.base + len(self.serial)

    def append(self, serial: Ints, at: Ints, author: Ints) -> Ints:
        """Put new texts in, in order of time; their numbers.

        Args:
            serial: shape (k,), event numbers.
            at: shape (k,), ms.
            author: shape (k,), accounts.
        """
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

    def slot(self, number: Ints) -> Ints:
        """Where the texts of these numbers are kept; -1 for those gone or none."""
        return np.where(number >= self.base, number - self.base, -1)


class Reader:
    """Chooses targets on a feed, as it stood at the start of a step and with what was written since."""

    def __init__(
        self, feed: Feed, graph: Graph, community: Ints, settings: FeedSettings, closeness: float, now_ms: int
    ) -> None:
        self.feed, self.graph, self.settings, self.closeness = feed, graph, settings, closeness
        self.tau = settings.recency_hours * HOUR_MS
        self.old = len(feed.serial)
        home = community[feed.author]
        self._order = np.argsort(home, kind="stable")
        fading: Floats = np.exp((feed.at - now_ms) / self.tau)
        reach = np.power(1.0 + graph.followers[feed.author], settings.reach)
        weight: Floats = np.power(1.0 + feed.reactions, settings.popularity) * reach * fading
        self._cumulative = running(weight[self._order])
        self._first = np.searchsorted(home[self._order], np.arange(int(community.max()) + 2))
        self._community = community
        self._begin = now_ms
        self._keys = np.zeros(0, np.int64)
        self._new = np.zeros(0, np.int64)

    def written(self, span_ms: int) -> None:
        """Take note of what has been appended to the feed since: times in [begin, begin + span)."""
        new = np.arange(self.old, len(self.feed.serial))
        keys = self.feed.author[new] * span_ms + (self.feed.at[new] - self._begin)
        order = np.argsort(keys, kind="stable")
        self._keys, self._new, self._span = keys[order], new[order], span_ms

    def latest_of(self, author: Ints, at: Ints) -> Ints:
        """Slot of the latest text of each author before each time; -1: none in sight."""
        found = self.feed.slot(self.feed.latest[author])
        if len(self._keys):
            place = np.searchsorted(self._keys, author * self._span + (at - self._begin)) - 1
            slot = self._new[np.maximum(place, 0)]
            same = (place >= 0) & (self.feed.author[slot] == author)
            found = np.where(same, slot, found)
        return found

    def choose(self, reader: Ints, at: Ints, rng: np.random.Generator) -> Ints:
        """The slot of the text that each reaction is to; -1: there is nothing to react to.

        Args:
            reader: shape (k,), who reacts.
            at: shape (k,), when.
            rng: where chance comes from.
        """
        settings = self.settings
        target = np.full(len(reader), -1, np.int64)
        way = rng.random(len(reader))
        asked = np.flatnonzero(way < settings.close)
        for _ in range(TRIES):
            friend = self.graph.turn_to(reader[asked], rng.random(len(asked)), self.closeness)
            slot = self.latest_of(np.maximum(friend, 0), at[asked])
            age = at[asked] - self.feed.at[slot] if len(self.feed.at) else at[asked]
            good = (friend >= 0) & (slot >= 0) & (rng.random(len(asked)) < np.exp(-np.maximum(age, 0) / self.tau))
            target[asked[good]] = slot[good]
            asked = asked[~good]
        answering = np.flatnonzero((way >= settings.close) & (way < settings.close + settings.answer))
        slot = self.feed.slot(self.feed.inbox[reader[answering]])
        target[answering] = slot
        sent = way < settings.close + settings.answer
        wide = np.where(sent, rng.random(len(reader)) < settings.world, way >= 1 - settings.world)
        everywhere = np.ones(len(reader), bool)
        for reach in (wide, everywhere):
            left = np.flatnonzero((target < 0) | self.again(reader, target))
            target[left] = self.popular(reader[left], reach[left], rng)
        left = np.flatnonzero(target < 0)
        target[left] = self.popular(reader[left], everywhere[left], rng)
        return target

    def again(self, reader: Ints, slot: Ints) -> Flags:
        """True where a reader has reacted to a text before, or does so twice in this step."""
        known = (self.feed.seen.rows[reader] == (slot + self.feed.base)[:, None]).any(axis=1)
        repeated: Flags = known | ~first_of_each((reader << 32) + slot)
        return repeated & (slot >= 0)

    def popular(self, reader: Ints, everywhere: Flags, rng: np.random.Generator, home: Ints | None = None) -> Ints:
        """Slots of texts by popularity and recency, of the reader's community or of anywhere, never the reader's own.

        Args:
            reader: (k,) accounts that read.
            everywhere: (k,) whether each reads all communities and not just one.
            rng: where chance comes from.
            home: communities to read in, where they are not the readers' own.
        """
        home = self._community[reader] if home is None else home
        low = np.where(everywhere, 0, self._first[home])
        high = np.where(everywhere, self.old, self._first[home + 1])
        place = weighted(self._cumulative, low, high, rng.random(len(reader)))
        if not self.old:
            return place
        slot = np.where(place >= 0, self._order[np.maximum(place, 0)], -1)
        own = (slot >= 0) & (self.feed.author[slot] == reader)
        return np.where(own, -1, slot)
