"""Draws the people and whom they follow: for every account how much it does, when, what, and its ties.

Stated distributions (`Activity`, `Kinds`): events a day lognormal; branching Beta; mean gap lognormal; peak
hour normal; zone of a community uniform over `zones`, of an account its community's with probability `at_home`; kinds
Dirichlet; shares of links and hashtags Beta; days since the account was made lognormal.

Ties (`population_config.TieSettings`): each account makes `following` choices; a choice stays in its community with
probability `inside`, and picks by fame; it is answered by a follow back with probability `back`. Choices of oneself or
of the same account twice are dropped. Whom an account turns to first is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from simulation.population_config import Activity, Kinds, PopulationConfig, TieSettings
from simulation.sampling import Floats, Ints, Rows, running, stream, weighted

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
        """Accounts `target` get the parameters of accounts `source`, their community included."""
        for field in fields(self):
            values = getattr(self, field.name)
            values[target] = values[source]


def draw(population: PopulationConfig, seed: int) -> People:
    """Draw the people of a simulated population."""
    n = population.accounts
    rng = stream(seed, "people")
    activity, kinds, ties = population.activity, population.kinds, population.ties
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
    """Lognormal values with this mean and this standard deviation of the logarithm.

    Args:
        mean: of the values.
        spread: standard deviation of their logarithm.
        n: how many.
        rng: where chance comes from.
    """
    values: Floats = rng.lognormal(np.log(mean) - spread**2 / 2, spread, n)
    return values


def beta(mean: float, concentration: float, n: int, rng: np.random.Generator) -> Floats:
    """Beta values with a / (a + b) = mean and a + b = concentration.

    Args:
        mean: a / (a + b).
        concentration: a + b.
        n: how many.
        rng: where chance comes from.
    """
    values: Floats = rng.beta(mean * concentration, (1 - mean) * concentration, n)
    return values


def pareto(exponent: float, n: int, rng: np.random.Generator) -> Floats:
    """Values of at least 1 with P(value > x) = x to minus `exponent`.

    Args:
        exponent: of the tail.
        n: how many.
        rng: where chance comes from.
    """
    values: Floats = (1 - rng.random(n)) ** (-1 / exponent)
    return values


def peaks(activity: Activity, n: int, rng: np.random.Generator) -> Floats:
    """Local hours of greatest activity, normal, wrapped to the day.

    Args:
        activity: mean and spread of the hours.
        n: how many accounts.
        rng: where chance comes from.
    """
    hours: Floats = rng.normal(activity.peak_hour, activity.peak_spread, n) % 24
    return hours


def zones(activity: Activity, community: Rows, count: int, rng: np.random.Generator) -> Floats:
    """Hours from UTC of every account.

    Args:
        activity: the zones, and the share of accounts at home in their community's.
        community: shape (accounts,), the community of each.
        count: number of communities.
        rng: where chance comes from.
    """
    offsets = np.array(activity.zones)
    home = offsets[rng.integers(0, len(offsets), count)]
    away = offsets[rng.integers(0, len(offsets), len(community))]
    result: Floats = np.where(rng.random(len(community)) < activity.at_home, home[community], away)
    return result


def shares(kinds: Kinds, n: int, rng: np.random.Generator) -> Floats:
    """Shares of the six kinds for every account, shape (n, 6).

    Args:
        kinds: mean shares and their concentration.
        n: how many accounts.
        rng: where chance comes from.
    """
    means = np.array([kinds.post, kinds.reply, kinds.repost, kinds.quote, kinds.like, kinds.follow])
    result: Floats = rng.dirichlet(means / means.sum() * kinds.concentration, n)
    return result


def communities(ties: TieSettings, n: int, rng: np.random.Generator) -> Rows:
    """The community of every account: sizes fall with rank as a power law.

    Args:
        ties: mean size of a community and the exponent of sizes.
        n: how many accounts.
        rng: where chance comes from.
    """
    count = max(1, round(n / ties.community))
    weights = np.arange(1, count + 1) ** -ties.community_exponent
    return rng.choice(count, n, p=weights / weights.sum()).astype(np.int32)


def followings(ties: TieSettings, n: int, rng: np.random.Generator) -> Ints:
    """How many accounts each chooses to follow, before follow-backs: at least one, at most all others.

    Args:
        ties: mean and spread of the number.
        n: how many accounts.
        rng: where chance comes from.
    """
    drawn = 1 + lognormal(ties.following, ties.following_spread, n, rng).astype(np.int64)
    return np.minimum(drawn, n - 1)


CLOSE_TIES: Final = 2.0
"""The close ties of an account with d ties are so many times the square root of d: closeness falls with rank, and most
of what somebody does is done with these."""


@dataclass
class Graph:
    """Whom every account follows, closest first: `follows[start[a]:start[a + 1]]`.

    Shapes: start (n + 1,), follows (edges,), followers (n,) counts.
    """

    start: Ints
    follows: Rows
    followers: Ints

    def __len__(self) -> int:
        return len(self.start) - 1

    def degrees(self) -> Ints:
        """How many accounts each follows."""
        return np.diff(self.start)

    def turn_to(self, accounts: Ints, uniform: Floats, closeness: float) -> Ints:
        """For each of `accounts` one it follows, by closeness; -1 for those who follow nobody.

        The rank among those followed has weight k to minus `closeness` (a continuous power law on [1, d + 1), rounded
        down, by its inverse distribution function).

        Args:
            accounts: shape (k,), who turns to somebody.
            uniform: shape (k,), in [0, 1): decides whom.
            closeness: exponent of the weight by rank.
        """
        degree = self.start[accounts + 1] - self.start[accounts]
        top = degree + 1.0
        if abs(closeness - 1) < 1e-9:
            rank = top**uniform
        else:
            power = 1 - closeness
            rank = (1 + uniform * (top**power - 1)) ** (1 / power)
        index = self.start[accounts] + np.minimum(rank.astype(np.int64) - 1, degree - 1)
        found: Ints = np.where(degree > 0, self.follows[np.minimum(index, len(self.follows) - 1)], -1).astype(np.int64)
        return found


def build(people: People, ties: TieSettings, rng: np.random.Generator) -> Graph:
    """The graph that these people make.

    Args:
        people: whose ties are made.
        ties: how choices are made and answered.
        rng: where chance comes from.
    """
    n = len(people)
    source = np.repeat(np.arange(n), people.following)
    target = choose(people, ties, source, rng)
    back = rng.random(len(source)) < ties.back
    edges = np.sort(np.concatenate((source * n + target, target[back] * n + source[back])))
    edges = edges[np.flatnonzero(np.diff(edges, prepend=-1))]  # distinct; several times as fast as np.unique
    source, target = edges // n, edges % n
    keep = source != target
    return closest_first(source[keep], target[keep], n, rng)


def choose(people: People, ties: TieSettings, source: Ints, rng: np.random.Generator) -> Ints:
    """Whom each choice falls on: inside the chooser's community or anywhere, by fame. Shape of `source`.

    Args:
        people: among whom is chosen.
        ties: share of choices inside the community.
        source: shape (choices,), the chooser of each.
        rng: where chance comes from.
    """
    order = np.argsort(people.community, kind="stable")
    total = running(people.fame[order])
    first = np.searchsorted(people.community[order], np.arange(int(people.community.max()) + 2))
    inside = rng.random(len(source)) < ties.inside
    own = people.community[source]
    low = np.where(inside, first[own], 0)
    high = np.where(inside, first[own + 1], len(people))
    return order[weighted(total, low, high, rng.random(len(source)))]


def closest_first(source: Ints, target: Ints, n: int, rng: np.random.Generator) -> Graph:
    """The graph of these distinct edges, in a random order of closeness.

    Args:
        source: shape (edges,), who follows.
        target: shape (edges,), who is followed.
        n: number of accounts.
        rng: where chance comes from.
    """
    order = np.lexsort((rng.random(len(source)), source))
    start = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=n), out=start[1:])
    return Graph(start, target[order].astype(np.int32), np.bincount(target, minlength=n))


def knit(graph: Graph, circles: Sequence[tuple[Ints, float]], rng: np.random.Generator) -> None:
    """Turn the closest ties of the accounts of each circle, to the share given with it, towards each other, in place.

    Whoever gains a follower inside loses one outside and the other way round: an edge a -> x of a member and an edge
    y -> b to a member become a -> b and y -> x. So nobody's number of followed accounts or followers changes, and only
    who the ends are does (degree-preserving edge switching, Maslov and Sneppen 2002). Circles do not overlap.

    Args:
        graph: changed in place.
        circles: accounts of each, and the share of their closest ties.
        rng: where chance comes from.
    """
    ring = np.full(len(graph), -1, np.int64)
    for number, (circle, _) in enumerate(circles):
        ring[circle] = number
    spare = _spare(graph, ring, rng)
    for number, (circle, share) in enumerate(circles):
        for a in rng.permutation(circle).tolist():
            low, high = int(graph.start[a]), int(graph.start[a + 1])
            wanted = min(round(share * CLOSE_TIES * np.sqrt(high - low)), high - low, len(circle) - 1)
            mine = set(graph.follows[low:high].tolist())
            position = low
            for b in rng.permutation(circle).tolist():
                while position < low + wanted and ring[graph.follows[position]] == number:
                    position += 1
                if position >= low + wanted:
                    break
                if b != a and b not in mine and _switch(graph, position, b, spare):
                    mine.add(b)


def _switch(graph: Graph, position: int, b: int, spare: dict[int, list[tuple[int, int]]]) -> bool:
    """Turn the edge at `position` to b, and one that led to b to where it led; False where no edge can be had."""
    x = int(graph.follows[position])
    while spare.get(b):
        edge, y = spare[b].pop()
        if y != x and graph.follows[edge] == b and x not in graph.follows[graph.start[y] : graph.start[y + 1]]:
            graph.follows[position], graph.follows[edge] = b, x
            return True
    return False


def _spare(graph: Graph, ring: Ints, rng: np.random.Generator) -> dict[int, list[tuple[int, int]]]:
    """For each account of a ring the edges to it from outside that ring: index and owner, in a random order."""
    incoming = np.flatnonzero(ring[graph.follows] >= 0)
    owners = np.searchsorted(graph.start, incoming, side="right") - 1
    free = rng.permutation(np.flatnonzero(ring[owners] != ring[graph.follows[incoming]]))
    found: dict[int, list[tuple[int, int]]] = {}
    for index, owner in zip(incoming[free].tolist(), owners[free].tolist(), strict=True):
        found.setdefault(int(graph.follows[index]), []).append((index, owner))
    return found
