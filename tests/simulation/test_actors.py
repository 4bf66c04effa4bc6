"""Groups act together as `settings.Tactics` states, at no cost in activity; reactions and sessions are as stated."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

import msgspec
import numpy as np
import pytest
from scipy.special import iv
from scipy.stats import kstest

from simulation import actors as actors_module
from simulation import world as kinds
from simulation.actors import CADENCES, CoordinatedGroup, CoordinatedGroups, Feed, Reader, Sessions, Tasks, clusters
from simulation.population import People, closest_first
from simulation.population_config import Activity, Cadence, FeedSettings, Tactics
from simulation.sampling import DAY_MS, HOUR_MS, Flags
from simulation.world import Chunk
from tests.simulation.populations import GROUPS, MEMBERS, regroup, world_with
from tests.simulation.stated import DEVIATION, Deviations, count, held, mean, share

WAVES = Tactics(tasks_per_day=20.0, joint=0.5, lag_s=900.0)


def test_tasks_are_poisson_and_members_come_after_an_exponential_time() -> None:
    sessions = world_with(WAVES).sessions

    def deviations(made: Tactics, stated: Tactics, rng: np.random.Generator) -> Deviations:
        groups = CoordinatedGroups([CoordinatedGroup(np.arange(20), made, 0)], 20, 0)
        group, at = groups.moments(0, 300 * DAY_MS, sessions, rng)
        task, _, time = groups.called(group, at, rng)
        return [count(len(group), 300 * stated.tasks_per_day), mean((time - at[task]) / 1000, stated.lag_s)]

    held(Tactics(tasks_per_day=20.0), ["tasks_per_day", "lag_s"], deviations)


def test_tasks_of_the_awake_follow_their_rhythm_and_are_as_many() -> None:
    sessions, rng = world_with(WAVES).sessions, np.random.default_rng(0)
    groups = CoordinatedGroups([CoordinatedGroup(np.arange(20), msgspec.structs.replace(WAVES, awake=True), 0)], 20, 0)
    group, at = groups.moments(0, 300 * DAY_MS, sessions, rng)
    assert abs(count(len(group), 300 * WAVES.tasks_per_day)) < DEVIATION
    first = np.zeros(len(at), np.int64)
    clock = np.arange(0, DAY_MS, HOUR_MS // 4)
    rhythm = sessions.rhythm(np.zeros(len(clock), np.int64), clock)
    # Drawn in proportion to r(t), the mean of r at the moments is the mean of its square over the day.
    assert abs(mean(sessions.rhythm(first, at), float((rhythm**2).mean()))) < DEVIATION
    assert float((rhythm**2).mean()) > 1.2


def test_jitter_spreads_a_task_over_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    def deviations(made: Tactics, stated: Tactics, rng: np.random.Generator) -> Deviations:
        groups = CoordinatedGroups([CoordinatedGroup(np.arange(20), made, 0)], 20, 0)
        at = np.arange(2000) * DAY_MS
        task, _, time = groups.called(np.zeros(2000, np.int64), at, rng)
        return [mean((time - at[task]) / 1000, stated.lag_s * 12)]

    stated = Tactics(cadence="jitter")
    held(stated, ["lag_s"], deviations)
    assert actors_module.JITTER == 12
    for factor in (0.8, 1.2):
        monkeypatch.setattr(actors_module, "JITTER", 12 * factor)
        assert abs(deviations(stated, stated, np.random.default_rng(0))[0]) > DEVIATION


def test_those_who_drip_serve_any_task_of_the_last_hours_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    tasks = Tasks()
    n = 4000
    at = np.sort(rng.integers(0, 2 * DAY_MS, n))
    none = np.full(n, -1)
    tasks.add(np.arange(n) % 2, at, none, none, none)

    def deviation(hours: float) -> float:
        slot = tasks.recent(np.ones(n, np.int64), np.full(n, 2 * DAY_MS), rng)
        assert (tasks.group[slot] == 1).all()
        mine = at[(np.arange(n) % 2 == 1) & (at > 2 * DAY_MS - hours * HOUR_MS)]
        return mean((2 * DAY_MS - at[slot]) / HOUR_MS, 2 * DAY_MS / HOUR_MS - float(mine.mean()) / HOUR_MS)

    assert abs(deviation(12.0)) < DEVIATION
    for factor in (0.8, 1.2):
        monkeypatch.setattr(actors_module, "TASK_HOURS", 12.0 * factor)
        assert abs(deviation(12.0)) > DEVIATION


def test_members_serve_tasks_with_the_stated_share_of_their_acts() -> None:
    def deviations(made: Tactics, stated: Tactics, rng: np.random.Generator) -> Deviations:
        world = world_with(made, seed=int(rng.integers(1000)), days=3.0)
        found = Chunk.joined(list(world.chunks()))
        later = (found.account < MEMBERS) & (found.at > world.start_ms + DAY_MS // 2)
        return [share(int((later & (found.task >= 0)).sum()) // 4, int(later.sum()) // 4, stated.joint)]

    held(msgspec.structs.replace(WAVES, goals=()), ["joint"], deviations)
    held(Tactics(cadence="drip", tasks_per_day=2000.0, joint=0.5, goals=()), ["joint"], deviations)


@pytest.mark.parametrize("cadence", CADENCES)
def test_who_acts_how_often_and_when_does_not_depend_on_the_group(cadence: Cadence) -> None:
    world = world_with(msgspec.structs.replace(WAVES, cadence=cadence, joint=0.7), days=6.0)
    found = Chunk.joined(list(world.chunks()))
    found = found.where(found.at > world.start_ms + DAY_MS)
    inside, outside = found.account < MEMBERS, found.account >= MEMBERS + GROUPS
    rates = inside.sum() / MEMBERS, outside.sum() / (600 - MEMBERS - GROUPS)
    assert abs(rates[0] / rates[1] - 1) < 0.08
    together = inside & (found.task >= 0)
    assert together.sum() > (0.1 if cadence == "framing" else 0.5) * inside.sum()
    hours = [found.at[mask] % DAY_MS for mask in (inside, outside)]
    assert kstest(hours[0], hours[1]).statistic < 0.05


def test_hijackers_take_what_is_about_and_others_bring_their_own() -> None:
    def deviations(made: Tactics, stated: Tactics, rng: np.random.Generator) -> Deviations:
        world = world_with(made, seed=int(rng.integers(100)))
        world.step()
        known = world.links.fresh(1, rng)[0]
        before = world.tasks.next
        world.step()
        links = world.tasks.link[world.tasks.number >= before]
        return [share(int((links < known).sum()), len(links), stated.hijack)]

    held(Tactics(tasks_per_day=5_000.0, hijack=0.5, joint=0.01), ["hijack"], deviations)


def test_a_task_takes_the_place_of_what_a_member_would_have_chosen() -> None:
    world = world_with(msgspec.structs.replace(WAVES, goals=("link", "tag", "swarm"), wording="verbatim"), days=2.0)
    acts, hits = 0, list[Flags]()
    for _ in range(96):
        found = world.step()
        served = found.where(found.task >= 0)
        acts += len(served)
        slot = world.tasks.slot(served.task)
        assert (slot >= 0).all()
        for name in ("link", "tag"):
            mine = getattr(served, name)
            assert np.array_equal(mine[mine >= 0], getattr(world.tasks, name)[slot[mine >= 0]])
        posts = served.kind == kinds.POST
        assert (served.manner[posts] == kinds.VERBATIM).all()
        assert np.array_equal(served.words[posts], served.task[posts])
        swarmed = world.tasks.target[slot]
        aimed = (served.kind == kinds.REPLY) & (world.feed.slot(swarmed) >= 0)
        hit = served.target[aimed] == world.feed.serial[world.feed.slot(swarmed[aimed])]
        assert len(hit) <= 10 or hit.mean() > 0.8
        hits.append(hit)
    assert acts > 1000
    assert np.concatenate(hits).mean() > 0.8


def test_what_serves_no_task_is_chosen_as_by_anybody() -> None:
    world = world_with(WAVES, days=2.0)
    found = Chunk.joined(list(world.chunks()))
    shared = np.isin(found.link, found.link[(found.task >= 0) & (found.link >= 0)]) & (found.link >= 0)
    cover = (found.account < MEMBERS) & (found.task < 0) & (found.link >= 0)
    others = (found.account >= MEMBERS) & (found.link >= 0)
    assert cover.sum() > 100
    assert abs(shared[cover].mean() - shared[others].mean()) < 0.15


def test_quiet_members_never_act_jointly_and_nobody_does_before_the_beginning() -> None:
    world = world_with(WAVES, days=2.0)
    regroup(world, [CoordinatedGroup(np.arange(300), WAVES, 0, quiet=np.arange(100), begin_ms=DAY_MS)])
    found = Chunk.joined(list(world.chunks()))
    served = found.where(found.task >= 0)
    assert len(served) > 100
    assert served.account.min() >= 100
    assert served.at.min() >= world.start_ms + DAY_MS


def test_an_operator_may_change_its_tactics_between_steps() -> None:
    world = world_with(WAVES)
    for _ in range(20):
        world.step()
    for group in range(GROUPS):
        world.groups.adapt(group, msgspec.structs.replace(WAVES, joint=0.0, cadence="drip"))
    world.gather()
    world._pending = world._pending[:, :0]
    assert (world.step().task < 0).all()


def test_the_framed_lead_without_knowing() -> None:
    world = world_with(Tactics(cadence="framing", joint=0.6, lag_s=60.0, goals=("link",)), days=3.0)
    world.people.links[:] = 0.9
    world.gather()
    found = Chunk.joined(list(world.chunks()))
    leader = (found.account >= MEMBERS) & (found.account < MEMBERS + GROUPS)
    settled = found.at > world.start_ms + DAY_MS // 2
    theirs = np.flatnonzero(settled & (found.account < MEMBERS) & (found.task >= 0) & (found.link >= 0))
    assert len(theirs) > 100
    for event in theirs[:200].tolist():
        before = leader & (found.link == found.link[event]) & (found.at < found.at[event])
        assert (found.account[before] == MEMBERS + found.account[event] // (MEMBERS // GROUPS)).any()


def test_a_task_is_served_once_by_posting_and_once_by_reacting() -> None:
    tasks = Tasks()
    tasks.add(np.zeros(2, np.int64), np.zeros(2, np.int64), *(np.full(2, -1) for _ in range(3)))
    slot, account = np.array([0, 0, 0, 1]), np.array([7, 7, 7, 7])
    posting = np.array([True, True, False, True])
    assert tasks.once(slot, account, posting).tolist() == [True, False, True, True]
    assert not tasks.once(slot, account, posting).any()


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
    feed.reacted(READERS, first + feed.base)
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
