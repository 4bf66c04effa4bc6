"""Draws the people: for every account how much it does, when, what, and how many follow it.

Stated distributions (`settings.Activity`, `Kinds`): events a day lognormal; branching Beta; mean gap lognormal; peak
hour normal; zone of a community uniform over `zones`, of an account its community's with probability `at_home`; kinds
Dirichlet; shares of links and hashtags Beta; days since the account was made lognormal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from simulation.arrays import Floats, Ints, Rows, stream
from simulation.settings import Activity, Kinds, Society, Ties

AGE_DAYS: Final = 1400.0
"""Mean days since an account was made: platforms of the 2020s, whose accounts are mostly years old."""

AGE_SPREAD: Final = 0.9
"""Standard deviation of the logarithm of that age."""


@dataclass
class People:
    """Parameters of every account, one row each.

    Shapes: all (n,) but `kinds` (n, 6): shares of post, reply, repost, quote, like, follow.
    """

    community: Rows
    rate: Floats  # events a day
    branching: Floats
    gap_s: Floats
    peak: Floats  # local hour
    zone: Floats  # hours from UTC
    night: Floats
    kinds: Floats
    links: Floats
    tags: Floats
    following: Ints
    fame: Floats
    age_days: Floats

    def __len__(self) -> int:
        return len(self.rate)

    def copy_rows(self, source: Ints, target: Ints) -> None:
        """Accounts `target` become, as individuals, what accounts `source` are: the same habits in the same place."""
        for field in fields(self):
            values = getattr(self, field.name)
            values[target] = values[source]


def draw(society: Society, seed: int) -> People:
    """The people of a society."""
    n = society.accounts
    rng = stream(seed, "people")
    activity, kinds, ties = society.activity, society.kinds, society.ties
    community = communities(ties, n, rng)
    count = int(community.max()) + 1
    return People(
        community=community,
        rate=lognormal(activity.mean_per_day, activity.spread, n, rng),
        branching=beta(activity.branching, activity.branching_concentration, n, rng),
        gap_s=lognormal(activity.gap_s, activity.gap_spread, n, rng),
        peak=peaks(activity, n, rng),
        zone=zones(activity, community, count, rng),
        night=np.full(n, activity.night),
        kinds=shares(kinds, n, rng),
        links=beta(kinds.links, kinds.links_concentration, n, rng),
        tags=beta(kinds.tags, kinds.tags_concentration, n, rng),
        following=followings(ties, n, rng),
        fame=pareto(ties.fame, n, rng),
        age_days=lognormal(AGE_DAYS, AGE_SPREAD, n, rng),
    )


def lognormal(mean: float, spread: float, n: int, rng: np.random.Generator) -> Floats:
    """Lognormal values with this mean and this standard deviation of the logarithm."""
    values: Floats = rng.lognormal(np.log(mean) - spread**2 / 2, spread, n)
    return values


def beta(mean: float, concentration: float, n: int, rng: np.random.Generator) -> Floats:
    """Beta values with a / (a + b) = mean and a + b = concentration."""
    values: Floats = rng.beta(mean * concentration, (1 - mean) * concentration, n)
    return values


def pareto(exponent: float, n: int, rng: np.random.Generator) -> Floats:
    """Values of at least 1 with P(value > x) = x to minus `exponent`."""
    values: Floats = (1 - rng.random(n)) ** (-1 / exponent)
    return values


def peaks(activity: Activity, n: int, rng: np.random.Generator) -> Floats:
    """Local hours of greatest activity, normal, wrapped to the day."""
    hours: Floats = rng.normal(activity.peak_hour, activity.peak_spread, n) % 24
    return hours


def zones(activity: Activity, community: Rows, count: int, rng: np.random.Generator) -> Floats:
    """Hours from UTC of every account."""
    offsets = np.array(activity.zones)
    home = offsets[rng.integers(0, len(offsets), count)]
    away = offsets[rng.integers(0, len(offsets), len(community))]
    result: Floats = np.where(rng.random(len(community)) < activity.at_home, home[community], away)
    return result


def shares(kinds: Kinds, n: int, rng: np.random.Generator) -> Floats:
    """Shares of the six kinds for every account, shape (n, 6)."""
    means = np.array([kinds.post, kinds.reply, kinds.repost, kinds.quote, kinds.like, kinds.follow])
    result: Floats = rng.dirichlet(means / means.sum() * kinds.concentration, n)
    return result


def communities(ties: Ties, n: int, rng: np.random.Generator) -> Rows:
    """The community of every account: sizes fall with rank as a power law."""
    count = max(1, round(n / ties.community))
    weights = np.arange(1, count + 1) ** -ties.community_exponent
    return rng.choice(count, n, p=weights / weights.sum()).astype(np.int32)


def followings(ties: Ties, n: int, rng: np.random.Generator) -> Ints:
    """How many accounts each chooses to follow, before follow-backs: at least one, at most all others."""
    drawn = 1 + lognormal(ties.following, ties.following_spread, n, rng).astype(np.int64)
    return np.minimum(drawn, n - 1)
