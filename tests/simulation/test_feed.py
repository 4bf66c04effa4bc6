"""Reactions go to the close, to whoever spoke to one, and to the popular and recent, as `settings.Feed` states."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np

from simulation.arrays import HOUR_MS
from simulation.feed import Reader, Wall
from simulation.settings import Feed
from simulation.ties import closest_first
from tests.simulation.stated import Deviations, held, share

FRIEND, SPEAKER, NEIGHBOUR, STRANGER = range(4)
N = 40_000
READERS = np.arange(4, 4 + N)
"""All follow the friend and live with the first three; each reads once, for nobody reacts to the same text twice."""

COMMUNITY = np.zeros(4 + N, np.int64)
COMMUNITY[STRANGER] = 1


def wall_of(authors: list[int], reactions: list[int], ages_h: Sequence[float], now: int) -> Wall:
    """Texts in order of time; everybody's latest is its last."""
    wall = Wall(4 + N)
    at = now - (np.array(ages_h) * HOUR_MS).astype(np.int64)
    numbers = wall.append(np.arange(len(authors)), at, np.array(authors))
    wall.reactions[:] = reactions
    wall.latest[np.array(authors)] = numbers
    return wall


def reader_of(wall: Wall, feed: Feed, now: int, followers: int = 0) -> Reader:
    """What the readers see; the speaker has as many followers as given."""
    graph = closest_first(READERS, np.full(N, FRIEND), 4 + N, np.random.default_rng(0))
    graph.followers = np.zeros(4 + N, np.int64)
    graph.followers[SPEAKER] = followers
    reader = Reader(wall, graph, COMMUNITY, feed, 1.0, now)
    reader.written(HOUR_MS)
    return reader


def shares_of(feed: Feed, wall: Wall, now: int, rng: np.random.Generator) -> list[int]:
    slot = reader_of(wall, feed, now).choose(READERS, np.full(N, now + 1), rng)
    found: list[int] = np.bincount(wall.author[slot], minlength=4).tolist()
    return found


def test_reactions_are_divided_as_stated() -> None:
    now = 100 * HOUR_MS

    def deviations(made: Feed, stated: Feed, rng: np.random.Generator) -> Deviations:
        # The friend has just written; the neighbour is the talk of the community, the stranger of the world.
        wall = wall_of([SPEAKER, NEIGHBOUR, STRANGER, FRIEND], [0, 10**9, 10**18, 0], [0.1, 0.1, 0.1, 0.0], now)
        wall.inbox[READERS] = wall.latest[SPEAKER]
        found = shares_of(made, wall, now, rng)
        local = 1 - stated.close - stated.answer - stated.world
        expected = [stated.close, stated.answer, local, stated.world]
        return [share(hits, N, p) for hits, p in zip(found, expected, strict=True)]

    held(Feed(), ["close", "answer", "world"], deviations)


def test_the_popular_and_the_recent_are_preferred_as_stated() -> None:
    now = 100 * HOUR_MS

    def deviations(made: Feed, stated: Feed, rng: np.random.Generator) -> Deviations:
        found = []
        for reactions, ages, followers in (([0, 15], [0, 0], 0), ([0, 0], [1.5, 0], 0), ([0, 0], [0, 0], 15)):
            wall = wall_of([NEIGHBOUR, SPEAKER], reactions, ages, now)
            slot = reader_of(wall, made, now, followers).popular(READERS, np.zeros(N, bool), rng)
            weight = [
                (1 + r) ** stated.popularity * exp(-a / stated.recency_hours)
                for r, a in zip(reactions, ages, strict=True)
            ]
            weight[1] *= (1 + followers) ** stated.reach
            found.append(share(int((wall.author[slot] == SPEAKER).sum()), N, weight[1] / sum(weight)))
        return found

    held(Feed(), ["popularity", "reach", "recency_hours"], deviations)


def test_a_friends_old_text_is_passed_over_as_often_as_stated() -> None:
    now = 100 * HOUR_MS
    feed = Feed(close=1.0, answer=0.0, world=0.0, recency_hours=2.0)
    wall = wall_of([FRIEND, STRANGER], [0, 0], [2.0, 0.0], now)
    found = shares_of(feed, wall, now, np.random.default_rng(0))
    missed = (1 - exp(-1)) ** 4  # four glances; then the community, where only the friend has written
    assert found[FRIEND] == N
    wall = wall_of([FRIEND, NEIGHBOUR], [0, 10**9], [2.0, 0.0], now)
    found = shares_of(feed, wall, now, np.random.default_rng(0))
    assert abs(share(found[NEIGHBOUR], N, missed)) < 5


def test_nobody_reacts_to_themselves_or_to_what_is_yet_to_come() -> None:
    now = 100 * HOUR_MS
    wall = wall_of([int(READERS[0])], [5], [0.5], now)
    reader = reader_of(wall, Feed(), now)
    found = reader.choose(READERS[:100], np.full(100, now + 1), np.random.default_rng(0))
    assert found[0] == -1
    assert (found[1:] == 0).all()
    wall.append(np.array([1]), np.array([now + 500]), np.array([FRIEND]))
    reader.written(HOUR_MS)
    assert reader.latest_of(np.array([FRIEND]), np.array([now + 500])) == [-1]
    assert reader.latest_of(np.array([FRIEND]), np.array([now + 501])) == [1]


def test_few_react_to_the_same_text_twice() -> None:
    now = 100 * HOUR_MS
    wall = wall_of([FRIEND, NEIGHBOUR], [0, 0], [0.1, 0.1], now)
    feed = Feed(close=1.0, answer=0.0, world=0.0)
    rng = np.random.default_rng(0)
    first = reader_of(wall, feed, now).choose(READERS, np.full(N, now + 1), rng)
    wall.reacted(READERS, first + wall.base)
    second = reader_of(wall, feed, now).choose(READERS, np.full(N, now + 2), rng)
    assert (first == second).mean() < 0.3
    assert (reader_of(wall_of([FRIEND], [0], [0.1], now), feed, now).choose(READERS, np.full(N, now), rng) == 0).all()


def test_forgetting_keeps_the_numbers_of_what_stays() -> None:
    wall = wall_of([FRIEND, SPEAKER, NEIGHBOUR], [1, 2, 3], [3.0, 2.0, 1.0], 100 * HOUR_MS)
    wall.forget(98 * HOUR_MS)
    assert wall.slot(np.array([0, 1, 2])).tolist() == [-1, 0, 1]
    assert wall.reactions.tolist() == [2, 3]
    assert wall.end == 3
