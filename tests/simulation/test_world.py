"""What accounts share comes from themselves, from friends and from news; schedulers and look-alikes do as stated.

And every parameter of `population_config` is held by some test.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from simulation import population_config
from simulation.population_config import Kinds, Links, LookAlike, News, Part, PopulationConfig, Tags
from simulation.sampling import DAY_MS
from simulation.world import HEADLINE, QUARTER_MS, Chunk, World
from tests.simulation.populations import NOBODY, QUIET
from tests.simulation.stated import Deviations, count, held, mean, share


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
        found = world._shared(world.links, np.ones(n, bool), who, feed.link)
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
    parts = [part for part in vars(population_config).values() if isinstance(part, type) and issubclass(part, Part)]
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
