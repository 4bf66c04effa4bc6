"""People are drawn from the distributions that `settings.Activity` and `settings.Kinds` state."""

from __future__ import annotations

from math import log, sqrt

import msgspec
import numpy as np
import pytest

from simulation import people
from simulation.settings import Activity, Kinds, Society, Ties
from tests.simulation.stated import DEVIATION, Deviations, held, mean, share, spread

N = 40_000


def test_rates_and_gaps_are_lognormal_with_their_mean_and_spread() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        rate = np.log(people.lognormal(made.mean_per_day, made.spread, N, rng))
        gap = np.log(people.lognormal(made.gap_s, made.gap_spread, N, rng))
        return [
            mean(rate, log(stated.mean_per_day) - stated.spread**2 / 2),
            spread(rate, stated.spread),
            mean(gap, log(stated.gap_s) - stated.gap_spread**2 / 2),
            spread(gap, stated.gap_spread),
        ]

    held(Activity(), ["mean_per_day", "spread", "gap_s", "gap_spread"], deviations)


def test_branching_is_beta() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        drawn = people.beta(made.branching, made.branching_concentration, N, rng)
        variance = stated.branching * (1 - stated.branching) / (stated.branching_concentration + 1)
        return [mean(drawn, stated.branching), spread(drawn, sqrt(variance))]

    held(Activity(), ["branching", "branching_concentration"], deviations)


def test_peak_hours_are_normal_around_the_clock() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        off = (people.peaks(made, N, rng) - stated.peak_hour + 12) % 24 - 12
        return [mean(off, 0.0), spread(off, stated.peak_spread)]

    held(Activity(), ["peak_hour", "peak_spread"], deviations)


def test_accounts_live_in_their_communitys_zone_or_anywhere() -> None:
    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        community = rng.integers(0, 1000, N).astype(np.int32)
        zone = people.zones(made, community, 1000, rng)
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
        drawn = people.shares(made, N, rng)
        expected = np.array([getattr(stated, name) for name in names])
        expected = expected / expected.sum()
        variance = expected * (1 - expected) / (stated.concentration + 1)
        means = [mean(drawn[:, i], expected[i], sqrt(variance[i])) for i in range(6)]
        return [*means, *(spread(drawn[:, i], sqrt(variance[i])) for i in range(6))]

    held(Kinds(), [*names, "concentration"], deviations)


def test_shares_of_links_and_hashtags_are_beta() -> None:
    def deviations(made: Society, stated: Society, rng: np.random.Generator) -> Deviations:
        drawn = people.draw(msgspec.structs.replace(made, accounts=N), int(rng.integers(1000)))
        found = []
        for name, sample in (("links", drawn.links), ("tags", drawn.tags)):
            expected, concentration = getattr(stated.kinds, name), getattr(stated.kinds, f"{name}_concentration")
            found += [mean(sample, expected), spread(sample, sqrt(expected * (1 - expected) / (concentration + 1)))]
        return found

    def of(made: Kinds, stated: Kinds, rng: np.random.Generator) -> Deviations:
        return deviations(Society(kinds=made), Society(kinds=stated), rng)

    held(Kinds(), ["links", "links_concentration", "tags", "tags_concentration"], of)


def test_sizes_of_communities_fall_with_rank_as_a_power() -> None:
    def deviations(made: Ties, stated: Ties, rng: np.random.Generator) -> Deviations:
        community = people.communities(made, N, rng)
        ranks = np.arange(1, round(N / stated.community) + 1)
        expected = ranks**-stated.community_exponent
        expected = expected / expected.sum()
        sizes = np.bincount(community, minlength=len(ranks))
        return [share(int(sizes[k]), N, float(expected[k])) for k in (0, 1, 2, len(ranks) - 1)] + [
            float(len(sizes) != len(ranks)) * 100
        ]

    held(Ties(), ["community", "community_exponent"], deviations)


def test_numbers_followed_are_lognormal_and_fame_is_pareto() -> None:
    def deviations(made: Ties, stated: Ties, rng: np.random.Generator) -> Deviations:
        from scipy.stats import norm

        drawn = people.followings(made, N, rng)
        mu = log(stated.following) - stated.following_spread**2 / 2
        below = [float(norm.cdf((log(k) - mu) / stated.following_spread)) for k in (4, 11, 30)]
        shares = [share(int((drawn <= k).sum()), N, p) for k, p in zip((4, 11, 30), below, strict=True)]
        fame = np.log(people.pareto(made.fame, N, rng))
        return [*shares, mean(fame, 1 / stated.fame), spread(fame, 1 / stated.fame)]

    held(Ties(), ["following", "following_spread", "fame"], deviations)


def test_the_people_of_a_society_are_drawn_by_these_generators() -> None:
    society = Society(accounts=20_000, activity=Activity(mean_per_day=3.0, spread=0.7))
    drawn = people.draw(society, 5)
    assert abs(mean(np.log(drawn.rate), log(3.0) - 0.7**2 / 2)) < 5
    assert abs(mean(drawn.branching, 0.5)) < 5
    assert abs(mean(np.log(drawn.gap_s), log(600) - 0.6**2 / 2)) < 5
    assert drawn.kinds.shape == (20_000, 6)
    assert np.allclose(drawn.kinds.sum(axis=1), 1)


def test_ages_are_lognormal(monkeypatch: pytest.MonkeyPatch) -> None:
    def deviations() -> Deviations:
        age = np.log(people.draw(Society(accounts=20_000), 1).age_days)
        return [mean(age, log(1400.0) - 0.9**2 / 2), spread(age, 0.9)]

    assert np.max(np.abs(deviations())) < DEVIATION
    for name, stated in (("AGE_DAYS", 1400.0), ("AGE_SPREAD", 0.9)):
        for factor in (0.8, 1.2):
            with monkeypatch.context() as patched:
                patched.setattr(people, name, stated * factor)
                assert np.max(np.abs(deviations())) > DEVIATION
