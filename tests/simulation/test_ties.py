"""The follower graph is what `settings.Ties` states, and circles are knit without changing anybody's numbers."""

from __future__ import annotations

from math import log

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.people import People, draw
from simulation.settings import Society, Ties
from simulation.ties import Graph, build, choose, closest_first, knit
from tests.simulation.stated import Deviations, held, mean, share


def people_of(ties: Ties, n: int = 4000) -> People:
    return draw(Society(accounts=n, ties=ties), 3)


def test_choices_stay_inside_and_fall_by_fame() -> None:
    people = people_of(Ties())
    total = people.fame.sum()
    inside_fame = np.bincount(people.community, people.fame)[people.community]
    n = 60_000

    def deviations(made: Ties, stated: Ties, rng: np.random.Generator) -> Deviations:
        source = rng.integers(0, len(people), n)
        target = choose(people, made, source, rng)
        stay = stated.inside + (1 - stated.inside) * inside_fame[source] / total
        stayed = people.community[source] == people.community[target]
        famous = int(people.fame.argmax())
        there = people.community[source] == people.community[famous]
        chance = (1 - stated.inside) / total + stated.inside * there / inside_fame[famous]
        return [
            mean(stayed - stay, 0.0),
            mean((target == famous) - chance * people.fame[famous], 0.0),
        ]

    held(Ties(), ["inside"], deviations)


def test_choices_are_answered_by_a_follow_back() -> None:
    def deviations(made: Ties, stated: Ties, rng: np.random.Generator) -> Deviations:
        wide = msgspec.structs.replace(made, inside=0.0, fame=10.0)
        people = people_of(wide)
        graph = build(people, wide, rng)
        source = np.repeat(np.arange(len(graph)), graph.degrees())
        pair = source * len(graph) + graph.follows
        mutual = np.isin(graph.follows.astype(np.int64) * len(graph) + source, pair)
        chance = graph.degrees().mean() / len(graph)  # that one follows the other anyway
        expected = 2 * stated.back / (1 + stated.back)
        return [mean(mutual, expected + chance, 1.5)]

    held(Ties(), ["back"], deviations)


def test_the_closest_are_turned_to_most() -> None:
    degree, n = 60, 60_000
    graph = closest_first(np.zeros(degree, np.int64), np.arange(1, degree + 1), degree + 1, np.random.default_rng(0))

    def deviations(made: Ties, stated: Ties, rng: np.random.Generator) -> Deviations:
        found = graph.turn_to(np.zeros(n, np.int64), rng.random(n), made.closeness)
        s = stated.closeness

        def below(k: int) -> float:
            if s == 1:
                return log(k + 1) / log(degree + 1)
            return float(((k + 1) ** (1 - s) - 1) / ((degree + 1) ** (1 - s) - 1))

        return [share(int(np.isin(found, graph.follows[:k]).sum()), n, below(k)) for k in (1, 5, 20)]

    held(Ties(), ["closeness"], deviations)
    held(Ties(closeness=0.6), ["closeness"], deviations)


def test_degrees_are_heavy_tailed() -> None:
    graph = build(people_of(Ties()), Ties(), np.random.default_rng(0))
    followers = np.sort(graph.followers)[::-1]
    assert followers[0] > 10 * np.median(followers)
    assert followers[: len(followers) // 100].sum() > 0.08 * followers.sum()


def edges(graph: Graph) -> set[tuple[int, int]]:
    source = np.repeat(np.arange(len(graph)), graph.degrees())
    return set(zip(source.tolist(), graph.follows.tolist(), strict=True))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.floats(0.1, 1.0))
def test_knitting_a_circle_changes_nobodys_numbers(seed: int, size: int, part: float) -> None:
    rng = np.random.default_rng(seed)
    people = people_of(Ties(), 300)
    graph = build(people, Ties(), rng)
    before = graph.degrees(), np.bincount(graph.follows, minlength=300), len(edges(graph))
    knit(graph, [(rng.permutation(300)[:size], part)], rng)
    assert np.array_equal(graph.degrees(), before[0])
    assert np.array_equal(np.bincount(graph.follows, minlength=300), before[1])
    assert len(edges(graph)) == before[2]
    assert all(a != b for a, b in edges(graph))


def inside_share(part: float) -> float:
    rng = np.random.default_rng(7)
    people = people_of(Ties(), 3000)
    graph = build(people, Ties(), rng)
    circles = rng.permutation(3000)[:600].reshape(30, 20)
    knit(graph, [(circle, part) for circle in circles], rng)
    turned = 0.0
    for circle in circles:
        for account in circle:
            low, high = graph.start[account], graph.start[account + 1]
            wanted = min(2 * np.sqrt(high - low), high - low, 19)
            turned += np.isin(graph.follows[low:high], circle).sum() / wanted
    return turned / 600


def test_a_circle_has_the_stated_share_of_close_ties_inside() -> None:
    loose, stated, tight = (inside_share(part) for part in (0.4, 0.5, 0.6))
    assert abs(stated - 0.5) < 0.05
    assert loose < 0.45
    assert tight > 0.55
