"""Moderators on trial: posters held out from their training, the same under each way of setting prices.

A population of posters lives its twenty episodes once under each way: without a moderator, under even taxes, under the
fixed tariffs that were searched for, and under the moderators that were trained. What is lost of engagement is measured
against the same posters without a moderator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from simulation.lab.finished import finish_all
from simulation.lab.moderator import HOLD, SEEN, TOGETHER, WEIGHTS, Moderators, Schooling, schooled
from simulation.lab.poster_societies import (
    EPISODE_WINDOWS,
    WINDOWS,
    GradientPosters,
    Posters,
    PpoPosters,
    Report,
    Societies,
    drawn,
)
from simulation.lab.reach_prices import BANDS, Limits, no_price, tariff, tax
from simulation.sampling import stream

TAXES: Final = (0.25, 0.5, 0.75, 1.0)
"""Rates t of even taxes: a post of polarity p keeps 1 - t |p| of its reach."""

PPO_WEIGHT: Final = 0.5
"""Of the moderator and the fixed tariff that posters meet who learn by PPO, since such posters take long."""

LATE_WINDOWS: Final = 2 * EPISODE_WINDOWS
"""The last two episodes: what posters do when they have learned what there is to learn."""

GROUP: Final = 8
"""Populations side by side: each is some hundred posters, whose steps are mostly calls."""

NO_MODERATOR, TAX, FIXED, MODERATOR = "no moderator", "tax", "fixed tariff", "moderator"

Kind: TypeAlias = Literal["gradient", "ppo"]


class Schooled(msgspec.Struct, frozen=True, kw_only=True):
    """A trained moderator: a line of the file of moderators. `weights`: shape (BANDS, 1 + SEEN)."""

    options: Schooling
    weights: tuple[tuple[float, ...], ...]


class PricingRule(msgspec.Struct, frozen=True, kw_only=True):
    """A way of setting prices.

    Args:
        name: which.
        level: rate of a tax; weight of engagement for which prices were searched.
        weights: of a moderator or a fixed tariff.
    """

    name: str
    level: float = 0.0
    weights: tuple[tuple[float, ...], ...] = ()


class ModeratorTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One population under several ways.

    Args:
        population: its number.
        learner: how its posters learn; those who learn by PPO act in every step.
        posters: how many.
        ways: of which the first is without a moderator.
        limits: of bonuses.
        windows: of a life of posters.
    """

    population: int
    learner: Kind
    posters: int
    ways: tuple[PricingRule, ...]
    limits: Limits = Limits()
    windows: int = WINDOWS


class PricingRow(msgspec.Struct, frozen=True, kw_only=True):
    """What happened under a way: over a life, and in its last two episodes (`late_`).

    Args:
        polarity: mean |p| of the posts that were made, each window weighing alike.
        seen: mean |p| of what was followed or liked.
        engagement: followers and likes won.
        lost: share of the engagement without a moderator that is missing.
    """

    name: str
    level: float
    polarity: float
    seen: float
    engagement: float
    lost: float
    late_polarity: float
    late_seen: float
    late_lost: float


class FinishedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that is finished: a line of the file of trials."""

    options: ModeratorTrial
    rows: list[PricingRow]


def school_all(wanted: Sequence[Schooling], path: Path, processes: int) -> Iterator[Schooled]:
    """Train moderators, or take them from the file; errors as `finish_all`.

    Args:
        wanted: which.
        path: the file of finished ones; others in it stay.
        processes: at once.
    """
    return finish_all([[one] for one in wanted], _school, Schooled, path, processes)


def _school(group: Sequence[Schooling]) -> list[Schooled]:
    return [
        Schooled(options=one, weights=tuple(tuple(float(each) for each in band) for band in schooled(one)))
        for one in group
    ]


def trials(schooled: Sequence[Schooled], populations: int, posters: int, learner: Kind) -> list[ModeratorTrial]:
    """Trials of moderators; population i meets those of the i-th seed, in turn, so that intervals are over both.

    Args:
        schooled: moderators and fixed tariffs of one or several seeds, with the same limits.
        populations: how many.
        posters: in each.
        learner: how posters learn; those of PPO meet what was trained for `PPO_WEIGHT` alone.
    """
    seeds = sorted({one.options.seed for one in schooled})
    found = []
    for population in range(populations):
        trained = [
            PricingRule(name=FIXED if one.options.fixed else MODERATOR, level=one.options.weight, weights=one.weights)
            for one in schooled
            if one.options.seed == seeds[population % len(seeds)]
            and (learner == "gradient" or one.options.weight == PPO_WEIGHT)
        ]
        trained.sort(key=lambda way: (way.name, way.level))
        taxes = [PricingRule(name=TAX, level=rate) for rate in TAXES] if learner == "gradient" else []
        ways = PricingRule(name=NO_MODERATOR), *taxes, *trained
        options = schooled[0].options
        trial = ModeratorTrial(
            population=population,
            learner=learner,
            posters=posters,
            ways=ways,
            limits=options.limits,
            windows=options.windows,
        )
        found.append(trial)
    return found


def try_all(wanted: Sequence[ModeratorTrial], path: Path, processes: int) -> Iterator[FinishedTrial]:
    """Hold trials, or take them from the file; errors as `finish_all`.

    Args:
        wanted: which.
        path: the file of finished ones; others in it stay.
        processes: at once.
    """
    groups = [
        same[begin : begin + GROUP]
        for kind in ("gradient", "ppo")
        for same in [[one for one in wanted if one.learner == kind]]
        for begin in range(0, len(same), GROUP)
    ]
    return finish_all(groups, tried, FinishedTrial, path, processes)


def tried(group: Sequence[ModeratorTrial]) -> list[FinishedTrial]:
    """Hold trials side by side; but for population and ways, of which all have as many, options are the first's."""
    first = group[0]
    rng = stream(first.population, "lab", "trial", first.learner)
    every = [
        drawn(stream(one.population, "lab", "population"), 1, one.posters, "held-out").repeated(len(one.ways))
        for one in group
    ]
    posters = Posters(*(np.concatenate(each) for each in zip(*every, strict=True)))
    worth = first.limits.worth
    if first.learner == "gradient":
        societies = Societies(posters, GradientPosters(posters, rng, HOLD), rng, HOLD, TOGETHER, worth)
    else:
        societies = Societies(posters, PpoPosters(posters, rng), rng, worth=worth)
    ways = [way for one in group for way in one.ways]
    multipliers = np.stack([tax(way.level) if way.name == TAX else no_price() for way in ways])
    led = np.flatnonzero([bool(way.weights) for way in ways])
    weights = np.array([ways[one].weights for one in led]).reshape(-1, BANDS, 1 + SEEN)
    moderators = Moderators(weights, first.limits, first.windows)
    reports: list[Report] = []
    for window in range(first.windows):
        last = Report(*(each[led] for each in reports[-1])) if reports else None
        multipliers[led] = tariff(moderators.prices(last, window))
        reports.append(societies.window(multipliers))
    count = len(first.ways)
    return [
        FinishedTrial(options=one, rows=_rows(one.ways, reports, slice(number * count, (number + 1) * count)))
        for number, one in enumerate(group)
    ]


def _rows(ways: Sequence[PricingRule], reports: Sequence[Report], of: slice) -> list[PricingRow]:
    """Rows of one trial's ways, which are at `of` in the reports."""
    polarity, seen, engagement = (
        np.stack([getattr(report, name)[of] for report in reports]) for name in ("polarity", "seen", "engagement")
    )
    late = slice(-LATE_WINDOWS, None)
    return [
        PricingRow(
            name=way.name,
            level=way.level,
            polarity=float(polarity[:, one].mean()),
            seen=float(np.average(seen[:, one], weights=engagement[:, one] + 1e-9)),
            engagement=float(engagement[:, one].sum()),
            lost=float(1 - engagement[:, one].sum() / engagement[:, 0].sum()),
            late_polarity=float(polarity[late, one].mean()),
            late_seen=float(np.average(seen[late, one], weights=engagement[late, one] + 1e-9)),
            late_lost=float(1 - engagement[late, one].sum() / engagement[late, 0].sum()),
        )
        for one, way in enumerate(ways)
    ]


def schoolings(seeds: int, limits: Limits, candidates: int, rounds: int, windows: int = WINDOWS) -> list[Schooling]:
    """A moderator and a fixed tariff for each of `WEIGHTS` and each seed.

    Args:
        seeds: how many, from 0.
        limits: of bonuses.
        candidates: of a round.
        rounds: of candidates.
        windows: of a life of posters.
    """
    return [
        Schooling(
            seed=seed,
            weight=weight,
            fixed=fixed,
            candidates=candidates,
            rounds=rounds,
            limits=limits,
            windows=windows,
        )
        for seed in range(seeds)
        for weight in WEIGHTS
        for fixed in (False, True)
    ]
