"""Links and hashtags come up, are chosen and fade as `population_config.Objects` states."""

from __future__ import annotations

from math import exp

import msgspec
import numpy as np

from simulation.objects import DOMAIN_BITS, Catalogue
from simulation.population_config import Links, Tags
from simulation.sampling import DAY_MS, HOUR_MS
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
