"""Sittings follow the daily rhythm, and what happens in them is a Hawkes cluster."""

from __future__ import annotations

from math import exp, sqrt

import numpy as np
from scipy.special import iv
from scipy.stats import kstest

from simulation.arrays import DAY_MS, HOUR_MS
from simulation.people import People
from simulation.settings import Activity
from simulation.sittings import Sittings, clusters
from tests.simulation.stated import Deviations, count, held, mean, share


def equal_people(activity: Activity, n: int, rate: float, zone: float = 0.0) -> People:
    """n people without individual differences."""
    same = np.ones(n)
    return People(
        np.zeros(n, np.int32), rate * same, activity.branching * same, activity.gap_s * same,
        activity.peak_hour * same, zone * same, activity.night * same, np.tile(np.full(6, 1 / 6), (n, 1)),
        0.3 * same, 0.2 * same, np.full(n, 5), same, 1000 * same,
    )  # fmt: skip


def test_sittings_follow_the_stated_rhythm_and_rate() -> None:
    people_count, days, rate = 2000, 2, 160.0

    def deviations(made: Activity, stated: Activity, rng: np.random.Generator) -> Deviations:
        sittings = Sittings(equal_people(made, people_count, rate), made.peakedness)
        accounts, at = sittings.starts(0, days * DAY_MS, rng)
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
    sittings = Sittings(equal_people(Activity(), 500, 50.0, zone=-8.0), 4.0)
    _, at = sittings.starts(0, 4 * DAY_MS, rng)
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


def test_what_a_sitting_is_for_is_passed_on() -> None:
    people = equal_people(Activity(), 100, 5.0)
    roots = np.arange(100)
    accounts, at, task = clusters(people, roots, np.zeros(100, np.int64), roots + 7, np.random.default_rng(0))
    assert len(at) > 20
    assert np.array_equal(task, accounts + 7)


def test_the_mean_rate_of_the_whole_is_the_rate_of_the_account() -> None:
    rng = np.random.default_rng(4)
    people = equal_people(Activity(), 3000, 6.0)
    sittings = Sittings(people, 1.2)
    accounts, at = sittings.starts(0, 10 * DAY_MS, rng)
    more, _, _ = clusters(people, accounts, at, at, rng)
    assert abs((len(at) + len(more)) / 30_000 - 6.0) < 0.1
