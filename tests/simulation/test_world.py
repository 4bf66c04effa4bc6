"""Links and hashtags come up, are chosen and fade as `settings.Objects` states.

News, schedulers and look-alikes at work; and every parameter of `settings` is held by some test.
"""

from __future__ import annotations

from math import exp
from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulation import settings
from simulation.sampling import DAY_MS, HOUR_MS
from simulation.settings import Kinds, Links, LookAlike, News, Part, PopulationConfig, Tags
from simulation.world import DOMAIN_BITS, HEADLINE, QUARTER_MS, Catalogue, Chunk, World
from tests.simulation.populations import NOBODY, QUIET
from tests.simulation.stated import Deviations, count, held, mean, share

MEMBERS = np.array([600, 300, 100])


def test_births_are_poisson_with_pareto_appeal_exponential_life_and_a_place() -> None:
    def deviations(made: Links, stated: Links, rng: np.random.Generator) -> Deviations:
        catalogue = Catalogue(msgspec.structs.replace(made, births_per_day=1e12), MEMBERS)
        catalogue.turn(0, 2, rng)  # so many in so short a time that none has had time to go
        n = len(catalogue.code)
        everybody = int((catalogue.community == 3).sum())
        largest = int((catalogue.community == 0).sum())
        return [
            mean(np.log(catalogue.appeal), 1 / stated.appeal),
            mean(catalogue.life_ms / HOUR_MS, stated.life_hours),
            share(everybody, n, stated.world),
            share(largest, n - everybody, 0.6),
        ]

    held(Links(), ["appeal", "life_hours", "world"], deviations)


def test_as_many_come_up_as_stated() -> None:
    def deviations(made: Tags, stated: Tags, rng: np.random.Generator) -> Deviations:
        catalogue = Catalogue(made, MEMBERS * 100)
        before = catalogue.fresh(1, rng)[0] >> DOMAIN_BITS
        catalogue.turn(0, DAY_MS, rng)
        after = catalogue.fresh(1, rng)[0] >> DOMAIN_BITS
        return [count(float(after - before - 1), stated.births_per_day * 100)]

    held(Tags(), ["births_per_day"], deviations)


def test_domains_fall_with_rank_as_a_power() -> None:
    def deviations(made: Links, stated: Links, rng: np.random.Generator) -> Deviations:
        domain = Catalogue(made, MEMBERS).fresh(200_000, rng) & ((1 << DOMAIN_BITS) - 1)
        weight = np.arange(1, stated.domains + 1) ** -stated.domain_exponent
        weight = weight / weight.sum()
        ranks = np.log(np.arange(1, stated.domains + 1))
        return [
            share(int((domain == 0).sum()), len(domain), float(weight[0])),
            mean(np.log(domain + 1), weight @ ranks),
        ]

    held(Links(), ["domains", "domain_exponent"], deviations)


def catalogue_of(appeals: list[float], ages_h: list[float], places: list[int]) -> Catalogue:
    """A catalogue of a few objects with life 10 h, as at 100 h; nothing else is ever born."""
    catalogue = Catalogue(Links(births_per_day=1e-12), MEMBERS)
    now = 100 * HOUR_MS
    codes = np.arange(len(appeals), dtype=np.int64) << DOMAIN_BITS
    born = now - (np.array(ages_h) * HOUR_MS).astype(np.int64)
    catalogue.add(codes, np.array(places), np.array(appeals), born, np.full(len(appeals), 10.0 * HOUR_MS))
    catalogue.turn(now - 1, now, np.random.default_rng(0))
    return catalogue


def picked(catalogue: Catalogue, community: int, n: int = 40_000) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    codes = catalogue.pick(np.full(n, community), np.random.default_rng(1)) >> DOMAIN_BITS
    return np.bincount(codes, minlength=len(catalogue.code))


def test_objects_are_chosen_by_appeal_and_freshness() -> None:
    found = picked(catalogue_of([3.0, 1.0, 1.0], [0.0, 0.0, 10.0], [0, 0, 0]), 0)
    total = 3 + 1 + exp(-1)
    assert found.sum() == 40_000
    for hits, weight in zip(found, (3.0, 1.0, exp(-1)), strict=True):
        assert abs(share(int(hits), 40_000, weight / total)) < 5


def test_a_community_sees_its_own_objects_and_a_share_of_everybodys() -> None:
    catalogue = catalogue_of([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0, 1, 3])
    first, second, world = picked(catalogue, 0)
    assert second == 0
    assert abs(share(int(world), int(first + world), 0.6 / 1.6)) < 5
    assert np.array_equal(picked(catalogue, 2), [0, 0, 40_000])


def test_where_nothing_is_about_nothing_is_picked() -> None:
    assert (Catalogue(Links(), MEMBERS).pick(np.array([0, 1]), np.random.default_rng(0)) == -1).all()


def test_what_has_faded_leaves() -> None:
    assert len(catalogue_of([1.0, 1.0], [0.0, 90.0], [0, 0]).code) == 1


def test_some_share_their_own_and_some_what_a_friend_has_just_shared() -> None:
    n = 30_000

    def deviations(made: Links, stated: Links, rng: np.random.Generator) -> Deviations:
        world = World(PopulationConfig(accounts=500, machines=0.0, links=made), int(rng.integers(100)))
        for _ in range(4):
            world.step()
        feed = world.feed
        marker = np.int64(1) << 50
        numbers = feed.append(np.arange(500), np.full(500, world.now_ms), np.arange(500))
        feed.link[feed.slot(numbers)] = marker
        feed.latest[:] = numbers
        who = rng.integers(0, 500, n)
        before = world.links.fresh(1, rng)[0]
        world.links.once = False
        found = world._shared(world.links, np.ones(n, bool), who, np.full(n, world.now_ms), feed.link)
        copied = int((found == marker).sum())
        own = int(((found > before) & (found < marker)).sum())
        return [share(copied, n, stated.copied), share(own, n, stated.own)]

    held(Links(), ["copied", "own"], deviations)


NOT_DISTRIBUTIONS = {
    "PopulationConfig": {"accounts", "days", "start", "burn_in_hours", "step_minutes", "about", "easy", "controls"},
    "Operator": {"name"},
    "GivenPosts": {"people", "machines"},
    "TextSettings": {"people", "machines", "key_env", "personas", "max_tokens", "temperature"},
}
"""Parameters that are no distribution's: sizes, times and words, tested where they are used."""


def test_every_parameter_is_named_by_a_test_that_moves_it() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py"))
    parts = [part for part in vars(settings).values() if isinstance(part, type) and issubclass(part, Part)]
    assert len(parts) > 12
    for part in parts:
        for field in msgspec.structs.fields(part):
            plain = not (isinstance(field.type, type) and issubclass(field.type, Part))
            if plain and field.name not in NOT_DISTRIBUTIONS.get(part.__name__, set()):
                assert f'"{field.name}"' in sources or f"{field.name}=" in sources, f"{part.__name__}.{field.name}"


def newsy(made: News, seed: int, days: float) -> World:
    return World(msgspec.structs.replace(QUIET, accounts=2000, news=made, days=days), seed)


def test_news_come_and_draw_people_as_stated() -> None:
    def deviations(made: News, stated: News, rng: np.random.Generator) -> Deviations:
        world = newsy(made, 0, 1.0)
        world._rng = rng
        days = 200
        account, at, task = world._news(0, days * DAY_MS)
        number, drawn = np.unique(task, return_counts=True)
        slot = world.tasks.slot(number)
        lag = (at - world.tasks.at[world.tasks.slot(task)]) / 60_000
        local = np.array([len(set(world.community[account[task == n]].tolist())) == 1 for n in number])
        wide = drawn[~local]
        awake = 1 / world.sessions.highest  # mean of r(t) over its greatest value
        assert len(slot) == len(number)
        return [
            count(world.tasks.next, stated.per_day * days),
            mean(wide, 2000 * stated.drawn * awake),
            share(int(local.sum()), len(local), stated.community),
            mean(lag, stated.fade_minutes),
        ]

    held(News(per_day=10.0, drawn=0.3), ["per_day", "drawn", "community", "fade_minutes"], deviations)


def test_texts_of_news_sessions_carry_its_link_as_often_as_stated() -> None:
    def deviations(made: News, stated: News, rng: np.random.Generator) -> Deviations:
        kinds = Kinds(links=0.95, tags=0.05)
        population = msgspec.structs.replace(QUIET, accounts=2000, news=made, kinds=kinds, days=1.5)
        world = World(population, int(rng.integers(99)))
        hits, n = 0, 0
        while world.now_ms < world.end_ms:
            found = world.step()
            bearing = (found.task >= 0) & (found.link >= 0)
            slot = world.tasks.slot(found.task[bearing])
            hits += int((world.tasks.link[slot] == found.link[bearing]).sum())
            n += int(bearing.sum())
        return [share(hits, n, stated.carried)]

    held(News(per_day=60.0, drawn=0.1, carried=0.7), ["carried"], deviations)


def looking(name: str) -> tuple[World, Chunk]:
    only = msgspec.structs.replace(NOBODY, **{name: LookAlike(share=0.2, size=(20, 40), joint=0.6, tasks_per_day=3.0)})
    population = msgspec.structs.replace(QUIET, lookalikes=only, days=2.0, tags=Tags(births_per_day=200.0))
    world = World(population, 0)
    return world, Chunk.joined(list(world.chunks()))


def shared_pairs(world: World, found: Chunk, column: str, inside: bool) -> float:
    """Mean number of objects that two accounts of the same group (or two of no group) have both used."""
    of = world.groups.of
    value = getattr(found, column)
    used = np.unique(np.stack((value[value >= 0], found.account[value >= 0])), axis=1)
    group = of[used[1]] if inside else np.where(of[used[1]] < 0, 0, -1)
    used, group = used[:, group >= 0], group[group >= 0]
    _, together = np.unique(np.stack((used[0], group)), axis=1, return_counts=True)
    members = np.bincount(of[of >= 0]) if inside else np.array([(of < 0).sum()])
    return float((together * (together - 1)).sum() / (members * (members - 1)).sum())


@pytest.mark.parametrize(
    ("name", "column"),
    [("news", "link"), ("fandom", "tag"), ("activists", "target"), ("giveaway", "target"), ("live_event", "target")],
)
def test_crowds_meet_at_the_same_things_far_more_often_than_others(name: str, column: str) -> None:
    world, found = looking(name)
    assert shared_pairs(world, found, column, inside=True) > 2.5 * shared_pairs(world, found, column, inside=False)


def test_friends_react_to_each_other() -> None:
    world, found = looking("friends")
    circle = np.full(len(world.people), -1)
    for number, (members, _) in enumerate(world.roles.circles):
        circle[members] = number
    aimed = found.target_account >= 0
    mine = circle[found.account[aimed]]
    inside = (mine >= 0) & (mine == circle[found.target_account[aimed]])
    assert inside.sum() > 0.15 * (mine >= 0).sum()


@pytest.mark.parametrize("name", ["brand", "declared_bot"])
def test_brands_post_on_the_quarter_of_an_hour_and_declared_bots_say_so(name: str) -> None:
    world, found = looking(name)
    on = world.roles.flags["scheduled"][found.account]
    assert on.sum() > 100
    assert (found.at[on] % QUARTER_MS < 1000).all()
    assert (found.at[~on] % QUARTER_MS < 1000).mean() < 0.02
    assert world.roles.flags["automated"].any() == (name == "declared_bot")


def test_share_buttons_post_the_links_headline() -> None:
    world, found = looking("share_button")
    pressed = found.manner == HEADLINE
    assert pressed.sum() > 20
    assert world.roles.flags["headline"][found.account[pressed]].all()
    assert np.array_equal(found.words[pressed], found.link[pressed])


@pytest.mark.parametrize(("name", "flag"), [("writing_help", "helped"), ("second_language", "foreign")])
def test_habits_of_writing_are_marked_for_those_who_make_the_texts(name: str, flag: str) -> None:
    world, _ = looking(name)
    assert world.roles.flags[flag].sum() == 120
