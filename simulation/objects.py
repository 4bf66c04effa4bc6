"""The links and hashtags that accounts share: how they come up, whom they reach, and how they fade.

`Catalogue` holds the objects of one kind that are about. In go times and a generator, in every step of the simulation;
out come the objects that accounts of given communities share. Births are Poisson; appeal is Pareto; an object's weight
falls by e in its life, which is exponential over objects; it belongs to a community (by the number of its accounts) or,
with probability `world`, to everybody. A domain is the k-th largest with weight k to minus `domain_exponent`. The
parameters are those of `population_config.Objects`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulation.population import pareto
from simulation.population_config import Links, Objects
from simulation.sampling import DAY_MS, HOUR_MS, Flags, Floats, Ints, first_of_each, running, weighted

DOMAIN_BITS: Final = 12
"""Low bits of a link's number that hold its domain, so that nothing else need remember it."""

USED: Final = 8
"""Objects that an account has used and does not use again: few post a link twice. Hashtags are used again."""

LIVES_KEPT: Final = 6.0
"""An object leaves the catalogue after so many of its lives: its weight is then 1/400 of what it was."""


class Catalogue:
    """The objects of one kind that are about. An object is one number; `>> DOMAIN_BITS` is its order of birth.

    Args:
        objects: the parameters.
        members: shape (communities,), accounts in each.
    """

    def __init__(self, objects: Objects, members: Ints) -> None:
        self.settings = objects
        self._members = members / members.sum()
        self._count = len(members)
        self._births = objects.births_per_day * members.sum() / 1000 / DAY_MS
        domains = objects.domains if isinstance(objects, Links) else 1
        exponent = objects.domain_exponent if isinstance(objects, Links) else 1.0
        self._domains = running(np.arange(1.0, domains + 1) ** -float(exponent))
        self._next = 0
        self.once = isinstance(objects, Links)
        self.used = np.full((int(members.sum()), USED), -1, np.int64)  # the last ones of each account
        self.code = np.zeros(0, np.int64)
        self.community = np.zeros(0, np.int64)  # the number of communities stands for everybody
        self.appeal: Floats = np.zeros(0)
        self.born = np.zeros(0, np.int64)
        self.life_ms: Floats = np.zeros(0)
        self._cumulative = running(self.appeal)
        self._first = np.zeros(self._count + 2, np.int64)
        self._world = np.zeros(0, np.int64)

    def fresh(self, n: int, rng: np.random.Generator) -> Ints:
        """`n` new objects that only their first users know."""
        uniform = rng.random(n) * self._domains[-1]
        domain = np.searchsorted(self._domains, uniform, side="right") - 1
        codes: Ints = ((self._next + np.arange(n, dtype=np.int64)) << DOMAIN_BITS) + domain
        self._next += n
        return codes

    def add(self, code: Ints, community: Ints, appeal: Floats, born: Ints, life_ms: Floats) -> None:
        """Put objects in.

        Args:
            code: shape (k,), numbers of objects.
            community: shape (k,), whose they are.
            appeal: shape (k,), weights at birth.
            born: shape (k,), ms.
            life_ms: shape (k,), time in which the weight falls by e.
        """
        self.code = np.concatenate((self.code, code))
        self.community = np.concatenate((self.community, community))
        self.appeal = np.concatenate((self.appeal, appeal))
        self.born = np.concatenate((self.born, born))
        self.life_ms = np.concatenate((self.life_ms, life_ms))

    def turn(self, begin_ms: int, end_ms: int, rng: np.random.Generator) -> None:
        """Births until `end_ms`, deaths, and the weights as at `end_ms`.

        Args:
            begin_ms: from when births are drawn.
            end_ms: until when, and the time of the weights.
            rng: where chance comes from.
        """
        settings = self.settings
        n = int(rng.poisson(self._births * (end_ms - begin_ms)))
        place = np.where(rng.random(n) < settings.world, self._count, self.homes(n, rng))
        born = begin_ms + (rng.random(n) * (end_ms - begin_ms)).astype(np.int64)
        life = rng.exponential(settings.life_hours * HOUR_MS, n)
        self.add(self.fresh(n, rng), place, pareto(settings.appeal, n, rng), born, life)
        keep = end_ms - self.born < LIVES_KEPT * self.life_ms
        order = np.flatnonzero(keep)[np.argsort(self.community[keep], kind="stable")]
        for name in ("code", "community", "appeal", "born", "life_ms"):
            setattr(self, name, getattr(self, name)[order])
        weight = self.appeal * np.exp(-np.maximum(end_ms - self.born, 0) / self.life_ms)
        self._cumulative = running(weight)
        self._first = np.searchsorted(self.community, np.arange(self._count + 2))

    def homes(self, n: int, rng: np.random.Generator) -> Ints:
        """`n` communities, by the number of their accounts."""
        found: Ints = rng.choice(self._count, n, p=self._members)
        return found

    def pick(self, community: Ints, rng: np.random.Generator) -> Ints:
        """An object for somebody of each community: from it or from everybody's, by weight; -1 where there is none."""
        n = len(community)
        low, high = self._first[community], self._first[community + 1]
        wide = np.full(n, self._first[self._count]), np.full(n, self._first[self._count + 1])
        mass_here = self._cumulative[high] - self._cumulative[low]
        mass_wide = self._cumulative[wide[1]] - self._cumulative[wide[0]]
        outside = rng.random(n) * (mass_here + mass_wide * self._pull(community)) >= mass_here
        index = weighted(
            self._cumulative, np.where(outside, wide[0], low), np.where(outside, wide[1], high), rng.random(n)
        )
        return np.where(index >= 0, self.code[np.minimum(index, len(self.code) - 1)], -1) if len(self.code) else index

    def again(self, account: Ints, code: Ints) -> Flags:
        """True where an account has used an object before, or does so twice here; hashtags may be used again."""
        if not self.once:
            return np.zeros(len(account), bool)
        known = (self.used[account] == code[:, None]).any(axis=1)
        result: Flags = known | ~first_of_each((account << 40) ^ code)
        return result

    def take(self, account: Ints, code: Ints) -> None:
        """Take note of what accounts use."""
        self.used[account] = np.concatenate((code[:, None], self.used[account, :-1]), axis=1)

    def _pull(self, community: Ints) -> Floats:
        """Everybody's objects are shared out among communities by their size."""
        result: Floats = self._members[community]
        return result
