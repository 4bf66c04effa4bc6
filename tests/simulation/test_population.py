"""People are drawn from the distributions that `population_config.Activity` and `Kinds` state.

The follower graph is what `population_config.TieSettings` states, and circles are knit without changing anybody's
numbers.
"""

from __future__ import annotations

from math import log, sqrt

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import population
from simulation.population import Graph, People, build, choose, closest_first, draw, knit
from simulation.population_config import Activity, Kinds, PopulationConfig, TieSettings
from tests.simulation.stated import DEVIATION, Deviations, held, mean, share, spread

N = 40_000


def test_rates_and_gaps_are_lognormal_with_their_mean_and_spread() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        rate = np.log(population.lognormal(made.mean_per_day, made.spread, N, rng))
        gap = np.log(population.lognormal(made.gap_s, made.gap_spread, N, rng))
        return [
            mean(rate, log(stated.mean_per_day) - stated.spread**2 / 2),
            spread(rate, stated.spread),
            mean(gap, log(stated.gap_s) - stated.gap_spread**2 / 2),
            spread(gap, stated.gap_spread),
        ]

    held(Activity(), ["mean_per_day", "spread", "gap_s", "gap_spread"], deviations)


def test_branching_is_beta() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        drawn = population.beta(made.branching, made.branching_concentration, N, rng)
        variance = stated.branching * (1 - stated.branching) / (stated.branching_concentration + 1)
        return [mean(drawn, stated.branching), spread(drawn, sqrt(variance))]

    held(Activity(), ["branching", "branching_concentration"], deviations)


def test_peak_hours_are_normal_around_the_clock() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        off = (population.peaks(made, N, rng) - stated.peak_hour + 12) % 24 - 12
        return [mean(off, 0.0), spread(off, stated.peak_spread)]

    held(Activity(), ["peak_hour", "peak_spread"], deviations)


def test_accounts_live_in_their_communitys_zone_or_anywhere() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        community = rng.integers(0, 1000, N).astype(np.int32)
        zone = population.zones(made, community, 1000, rng)
        homes = np.zeros(1000)
        for number in range(1000):
            values, counts = np.unique(zone[community == number], return_counts=True)
            homes[number] = values[counts.argmax()]
        at_home = stated.at_home + (1 - stated.at_home) / len(stated.zones)
        known = np.isin(zone, stated.zones)
        first = int((homes == stated.zones[0]).sum())
        return [
            share(int((zone == homes[community]).sum()), N, at_home),
            share(int(known.sum()), N, 1.0),
            share(first, 1000, 1 / len(stated.zones)),
        ]

    held(Activity(), ["zones", "at_home"], deviations)


def test_kinds_are_dirichlet() -> None:
    names = ["post", "reply", "repost", "quote", "like", "follow"]

    def deviations(made: Kinds, stated: Kinds, rng: np.random.Generator) -> Deviations:
        drawn = population.shares(made, N, rng)
        expected = np.array([getattr(stated, name) for name in names])
        expected = expected / expected.sum()
        variance = expected * (1 - expected) / (stated.concentration + 1)
        means = [mean(drawn[:, i], expected[i], sqrt(variance[i])) for i in range(6)]
        return [*means, *(spread(drawn[:, i], sqrt(variance[i])) for i in range(6))]

    held(Kinds(), [*names, "concentration"], deviations)


def test_shares_of_links_and_hashtags_are_beta() -> None:
    def deviations(made: PopulationConfig, stated: PopulationConfig, rng: np.random.Generator) -> Deviations:
        drawn = population.draw(msgspec.structs.replace(made, accounts=N), int(rng.integers(1000)))
        found = []
        for name, sample in (("links", drawn.links), ("tags", drawn.tags)):
            expected, concentration = getattr(stated.kinds, name), getattr(stated.kinds, f"{name}_concentration")
            found += [mean(sample, expected), spread(sample, sqrt(expected * (1 - expected) / (concentration + 1)))]
        return found

    def of(made: Kinds, stated: Kinds, rng: np.random.Generator) -> Deviations:
        return deviations(PopulationConfig(kinds=made), PopulationConfig(kinds=stated), rng)

    held(Kinds(), ["links", "links_concentration", "tags", "tags_concentration"], of)


def test_sizes_of_communities_fall_with_rank_as_a_power() -> None:
    def deviations(made: TieSettings, stated: TieSettings, rng: np.random.Generator) -> Deviations:
        community = population.communities(made, N, rng)
        ranks = np.arange(1, round(N / stated.community) + 1)
        expected = ranks**-stated.community_exponent
        expected = expected / expected.sum()
        sizes = np.bincount(community, minlength=len(ranks))
        return [share(int(sizes[k]), N, float(expected[k])) for k in (0, 1, 2, len(ranks) - 1)] + [
            float(len(sizes) != len(ranks)) * 100
        ]

    held(TieSettings(), ["community", "community_exponent"], deviations)


def test_numbers_followed_are_lognormal_and_fame_is_pareto() -> None:
    def deviations(made: TieSettings, stated: TieSettings, rng: np.random.Generator) -> Deviations:
        from scipy.stats import norm

        drawn = population.followings(made, N, rng)
        mu = log(stated.following) - stated.following_spread**2 / 2
        below = [float(norm.cdf((log(k) - mu) / stated.following_spread)) for k in (4, 11, 30)]
        shares = [share(int((drawn <= k).sum()), N, p) for k, p in zip((4, 11, 30), below, strict=True)]
        fame = np.log(population.pareto(made.fame, N, rng))
        return [*shares, mean(fame, 1 / stated.fame), spread(fame, 1 / stated.fame)]

    held(TieSettings(), ["following", "following_spread", "fame"], deviations)


def test_the_people_of_a_population_are_drawn_by_these_generators() -> None:
    config = PopulationConfig(accounts=20_000, activity=Activity(mean_per_day=3.0, spread=0.7))
    drawn = population.draw(config, 5)
    assert abs(mean(np.log(drawn.rate), log(3.0) - 0.7**2 / 2)) < 5
    assert abs(mean(drawn.branching, 0.5)) < 5
    assert abs(mean(np.log(drawn.gap_s), log(600) - 0.6**2 / 2)) < 5
    assert drawn.kinds.shape == (20_000, 6)
    assert np.allclose(drawn.kinds.sum(axis=1), 1)


def test_ages_are_lognormal(monkeypatch: pytest.MonkeyPatch) -> None:
    def deviations() -> Deviations:
        age = np.log(population.draw(PopulationConfig(accounts=20_000), 1).age_days)
        return [mean(age, log(1400.0) - 0.9**2 / 2), spread(age, 0.9)]

    assert np.max(np.abs(deviations())) < DEVIATION
    for name, stated in (("AGE_DAYS", 1400.0), ("AGE_SPREAD", 0.9)):
        for factor in (0.8, 1.2):
            with monkeypatch.context() as patched:
                patched.setattr(population, name, stated * factor)
                assert np.max(np.abs(deviations())) > DEVIATION


def people_of(ties: TieSettings, n: int = 4000) -> People:
    return draw(PopulationConfig(accounts=n, ties=ties), 3)


def test_choices_stay_inside_and_fall_by_fame() -> None:
    people = people_of(TieSettings())
    total = people.fame.sum()
    inside_fame = np.bincount(people.community, people.fame)[people.community]
    n = 60_000

    def deviations(made: TieSettings, stated: TieSettings, rng: np.random.Generator) -> Deviations:
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

    held(TieSettings(), ["inside"], deviations)


def test_choices_are_answered_by_a_follow_back() -> None:
    def deviations(made: TieSettings, stated: TieSettings, rng: np.random.Generator) -> Deviations:
        wide = msgspec.structs.replace(made, inside=0.0, fame=10.0)
        people = people_of(wide)
        graph = build(people, wide, rng)
        source = np.repeat(np.arange(len(graph)), graph.degrees())
        pair = source * len(graph) + graph.follows
        mutual = np.isin(graph.follows.astype(np.int64) * len(graph) + source, pair)
        chance = graph.degrees().mean() / len(graph)  # that one follows the other anyway
        expected = 2 * stated.back / (1 + stated.back)
        return [mean(mutual, expected + chance, 1.5)]

    held(TieSettings(), ["back"], deviations)


def test_the_closest_are_turned_to_most() -> None:
    degree, n = 60, 60_000
    graph = closest_first(np.zeros(degree, np.int64), np.arange(1, degree + 1), degree + 1, np.random.default_rng(0))

    def deviations(made: TieSettings, stated: TieSettings, rng: np.random.Generator) -> Deviations:
        found = graph.turn_to(np.zeros(n, np.int64), rng.random(n), made.closeness)
        s = stated.closeness

        def below(k: int) -> float:
            if s == 1:
                return log(k + 1) / log(degree + 1)
            return float(((k + 1) ** (1 - s) - 1) / ((degree + 1) ** (1 - s) - 1))

        return [share(int(np.isin(found, graph.follows[:k]).sum()), n, below(k)) for k in (1, 5, 20)]

    held(TieSettings(), ["closeness"], deviations)
    held(TieSettings(closeness=0.6), ["closeness"], deviations)


def test_degrees_are_heavy_tailed() -> None:
    graph = build(people_of(TieSettings()), TieSettings(), np.random.default_rng(0))
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
    people = people_of(TieSettings(), 300)
    graph = build(people, TieSettings(), rng)
    before = graph.degrees(), np.bincount(graph.follows, minlength=300), len(edges(graph))
    knit(graph, [(rng.permutation(300)[:size], part)], rng)
    assert np.array_equal(graph.degrees(), before[0])
    assert np.array_equal(np.bincount(graph.follows, minlength=300), before[1])
    assert len(edges(graph)) == before[2]
    assert all(a != b for a, b in edges(graph))


def inside_share(part: float) -> float:
    rng = np.random.default_rng(7)
    people = people_of(TieSettings(), 3000)
    graph = build(people, TieSettings(), rng)
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
