"""Reactions and sessions are as `population_config` states."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

import numpy as np
from scipy.special import iv
from scipy.stats import kstest

from simulation.actors import Feed, Reader, Sessions, clusters
from simulation.population import People, closest_first
from simulation.population_config import Activity, FeedSettings
from simulation.sampling import DAY_MS, HOUR_MS
from tests.simulation.stated import Deviations, count, held, mean, share

FRIEND, SPEAKER, NEIGHBOUR, STRANGER = range(4)
N = 40_000
READERS = np.arange(4, 4 + N)
"""All follow the friend and live with the first three; each reads once, for nobody reacts to the same text twice."""

COMMUNITY = np.zeros(4 + N, np.int64)
COMMUNITY[STRANGER] = 1


def wall_of(authors: list[int], reactions: list[int], ages_h: Sequence[float], now: int) -> Feed:
    """Texts in order of time; everybody's latest is its last."""
    feed = Feed(4 + N)
    at = now - (np.array(ages_h) * HOUR_MS).astype(np.int64)
    numbers = feed.append(np.arange(len(authors)), at, np.array(authors))
    feed.reactions[:] = reactions
    feed.latest[np.array(authors)] = numbers
    return feed


def reader_of(feed: Feed, settings: FeedSettings, now: int, followers: int = 0) -> Reader:
    """What the readers see; the speaker has as many followers as given."""
    graph = closest_first(READERS, np.full(N, FRIEND), 4 + N, np.random.default_rng(0))
    graph.followers = np.zeros(4 + N, np.int64)
    graph.followers[SPEAKER] = followers
    reader = Reader(feed, graph, COMMUNITY, settings, 1.0, now)
    reader.written(HOUR_MS)
    return reader


def shares_of(settings: FeedSettings, feed: Feed, now: int, rng: np.random.Generator) -> list[int]:
    slot = reader_of(feed, settings, now).choose(READERS, np.full(N, now + 1), rng)
    found: list[int] = np.bincount(feed.author[slot], minlength=4).tolist()
    return found


def test_reactions_are_divided_as_stated() -> None:
    now = 100 * HOUR_MS

    def deviations(made: FeedSettings, stated: FeedSettings, rng: np.random.Generator) -> Deviations:
        # The friend has just written; the neighbour is the talk of the community, the stranger of the world.
        feed = wall_of([SPEAKER, NEIGHBOUR, STRANGER, FRIEND], [0, 10**9, 10**18, 0], [0.1, 0.1, 0.1, 0.0], now)
        feed.inbox[READERS] = feed.latest[SPEAKER]
        found = shares_of(made, feed, now, rng)
        local = 1 - stated.close - stated.answer - stated.world
        expected = [stated.close, stated.answer, local, stated.world]
        return [share(hits, N, p) for hits, p in zip(found, expected, strict=True)]

    held(FeedSettings(), ["close", "answer", "world"], deviations)


def test_the_popular_and_the_recent_are_preferred_as_stated() -> None:
    now = 100 * HOUR_MS

    def deviations(made: FeedSettings, stated: FeedSettings, rng: np.random.Generator) -> Deviations:
        found = []
        for reactions, ages, followers in (([0, 15], [0, 0], 0), ([0, 0], [1.5, 0], 0), ([0, 0], [0, 0], 15)):
            feed = wall_of([NEIGHBOUR, SPEAKER], reactions, ages, now)
            slot = reader_of(feed, made, now, followers).popular(READERS, np.zeros(N, bool), rng)
            weight = [
                (1 + r) ** stated.popularity * exp(-a / stated.recency_hours)
                for r, a in zip(reactions, ages, strict=True)
            ]
            weight[1] *= (1 + followers) ** stated.reach
            found.append(share(int((feed.author[slot] == SPEAKER).sum()), N, weight[1] / sum(weight)))
        return found

    held(FeedSettings(), ["popularity", "reach", "recency_hours"], deviations)


def test_a_friends_old_text_is_passed_over_as_often_as_stated() -> None:
    now = 100 * HOUR_MS
    settings = FeedSettings(close=1.0, answer=0.0, world=0.0, recency_hours=2.0)
    feed = wall_of([FRIEND, STRANGER], [0, 0], [2.0, 0.0], now)
    found = shares_of(settings, feed, now, np.random.default_rng(0))
    missed = (1 - exp(-1)) ** 4  # four glances; then the community, where only the friend has written
    assert found[FRIEND] == N
    feed = wall_of([FRIEND, NEIGHBOUR], [0, 10**9], [2.0, 0.0], now)
    found = shares_of(settings, feed, now, np.random.default_rng(0))
    assert abs(share(found[NEIGHBOUR], N, missed)) < 5


def test_nobody_reacts_to_themselves_or_to_what_is_yet_to_come() -> None:
    now = 100 * HOUR_MS
    feed = wall_of([int(READERS[0])], [5], [0.5], now)
    reader = reader_of(feed, FeedSettings(), now)
    found = reader.choose(READERS[:100], np.full(100, now + 1), np.random.default_rng(0))
    assert found[0] == -1
    assert (found[1:] == 0).all()
    feed.append(np.array([1]), np.array([now + 500]), np.array([FRIEND]))
    reader.written(HOUR_MS)
    assert reader.latest_of(np.array([FRIEND]), np.array([now + 500])) == [-1]
    assert reader.latest_of(np.array([FRIEND]), np.array([now + 501])) == [1]


def test_few_react_to_the_same_text_twice() -> None:
    now = 100 * HOUR_MS
    feed = wall_of([FRIEND, NEIGHBOUR], [0, 0], [0.1, 0.1], now)
    settings = FeedSettings(close=1.0, answer=0.0, world=0.0)
    rng = np.random.default_rng(0)
    first = reader_of(feed, settings, now).choose(READERS, np.full(N, now + 1), rng)
    feed.seen.note(READERS, first + feed.base)
    second = reader_of(feed, settings, now).choose(READERS, np.full(N, now + 2), rng)
    assert (first == second).mean() < 0.3
    assert (
        reader_of(wall_of([FRIEND], [0], [0.1], now), settings, now).choose(READERS, np.full(N, now), rng) == 0
    ).all()


def test_forgetting_keeps_the_numbers_of_what_stays() -> None:
    feed = wall_of([FRIEND, SPEAKER, NEIGHBOUR], [1, 2, 3], [3.0, 2.0, 1.0], 100 * HOUR_MS)
    feed.forget(98 * HOUR_MS)
    assert feed.slot(np.array([0, 1, 2])).tolist() == [-1, 0, 1]
    assert feed.reactions.tolist() == [2, 3]
    assert feed.end == 3


def equal_people(activity: Activity, n: int, rate: float, zone: float = 0.0) -> People:
    """n people without individual differences."""
    same = np.ones(n)
    return People(
        np.zeros(n, np.int32), rate * same, activity.branching * same, activity.gap_s * same,
        activity.peak_hour * same, zone * same, activity.night * same, np.tile(np.full(6, 1 / 6), (n, 1)),
        0.3 * same, 0.2 * same, np.full(n, 5), same, 1000 * same,
    )  # fmt: skip


def test_sessions_follow_the_stated_rhythm_and_rate() -> None:
    people_count, days, rate = 2000, 2, 160.0

    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        sessions = Sessions(equal_people(made, people_count, rate), made.peakedness)
        accounts, at = sessions.starts(0, days * DAY_MS, rng)
        angle = (at / HOUR_MS - stated.peak_hour) * (2 * np.pi / 24)
        kappa, by_day = stated.peakedness, 1 - stated.night
        first, second = (by_day * float(iv(k, kappa) / iv(0, kappa)) for k in (1, 2))
        return [
            count(len(at), people_count * days * rate * (1 - stated.branching)),
            mean(np.cos(angle), first),
            mean(np.cos(2 * angle), second),
            mean(np.sin(angle), 0.0),
            mean(accounts, (people_count - 1) / 2),
        ]

    held(Activity(), ["peak_hour", "peakedness", "night", "branching"], deviations)


def test_local_hours_are_by_zone() -> None:
    rng = np.random.default_rng(3)
    sessions = Sessions(equal_people(Activity(), 500, 50.0, zone=-8.0), 4.0)
    _, at = sessions.starts(0, 4 * DAY_MS, rng)
    angle = (at / HOUR_MS - 8.0) * (2 * np.pi / 24)
    peak = np.angle(np.exp(1j * angle).mean()) * 24 / (2 * np.pi) % 24
    assert abs(peak - 19.0) < 0.3


def test_clusters_have_the_size_and_the_length_of_a_hawkes_process() -> None:
    n = 60_000

    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        people = equal_people(made, n, 5.0)
        roots = np.arange(n)
        accounts, at, _ = clusters(people, roots, np.zeros(n, np.int64), roots, rng)
        sizes = 1 + np.bincount(accounts, minlength=n)
        beta = stated.branching
        return [
            mean(sizes, 1 / (1 - beta), sqrt(beta / (1 - beta) ** 3)),  # Borel distribution
            share(int((sizes == 1).sum()), n, exp(-beta)),
            mean(at / 1000, stated.gap_s / (1 - beta)),
        ]

    held(Activity(), ["branching", "gap_s"], deviations)


def test_times_to_what_an_event_brings_about_are_exponential() -> None:
    people = equal_people(Activity(branching=0.01, gap_s=100.0), 400_000, 5.0)
    roots = np.arange(400_000)
    _, at, _ = clusters(people, roots, np.zeros(400_000, np.int64), roots, np.random.default_rng(0))
    assert len(at) > 3000
    assert kstest(at / 1000, "expon", args=(0, 100.0)).pvalue > 1e-3
    assert kstest(at / 1000, "expon", args=(0, 120.0)).pvalue < 1e-6


def test_what_a_session_is_for_is_passed_on() -> None:
    people = equal_people(Activity(), 100, 5.0)
    roots = np.arange(100)
    accounts, at, task = clusters(people, roots, np.zeros(100, np.int64), roots + 7, np.random.default_rng(0))
    assert len(at) > 20
    assert np.array_equal(task, accounts + 7)


def test_the_mean_rate_of_the_whole_is_the_rate_of_the_account() -> None:
    rng = np.random.default_rng(4)
    people = equal_people(Activity(), 3000, 6.0)
    sessions = Sessions(people, 1.2)
    accounts, at = sessions.starts(0, 10 * DAY_MS, rng)
    more, _, _ = clusters(people, accounts, at, at, rng)
    assert abs((len(at) + len(more)) / 30_000 - 6.0) < 0.1
