"""When accounts act: sittings by daily rhythm, and in each a self-exciting train of events.

Stated distribution: sittings of an account are a Poisson process with intensity rate (1 - branching) r(t), where
r(h) = night + (1 - night) exp(kappa cos(2 pi (h - peak) / 24)) / I0(kappa) at local hour h, whose mean over a day is 1.
Every event brings about Poisson(branching) further ones, each after an exponential time of mean `gap_s`: the cluster
form of a Hawkes process with exponential kernel (Hawkes and Oakes 1974), whose mean rate is `rate`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import i0e

from simulation.arrays import DAY_MS, HOUR_MS, Floats, Ints
from simulation.people import People


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
