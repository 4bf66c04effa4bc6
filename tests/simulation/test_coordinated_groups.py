"""Groups act together as `population_config.Tactics` states, at no cost in activity."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from scipy.stats import kstest

from simulation import coordinated_groups as module
from simulation import world as kinds
from simulation.coordinated_groups import CADENCES, CoordinatedGroup, CoordinatedGroups, Tasks
from simulation.population_config import Cadence, Tactics
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
    assert module.JITTER == 12
    for factor in (0.8, 1.2):
        monkeypatch.setattr(module, "JITTER", 12 * factor)
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
        monkeypatch.setattr(module, "TASK_HOURS", 12.0 * factor)
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
