"""What outcomes say of policies: measures with intervals, a ranking, and how far it can be trusted.

Societies are drawn again with replacement for every interval (percentile bootstrap, Efron 1979), the same societies for
all policies, so that differences between policies are paired. The value of a policy is what it prevents of the
campaigns' reach less what `HarmWeights` says its harm counts; `pareto` needs no such weights. Rankings of the varied
societies are compared by Kendall's tau-b (Kendall 1945).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from scipy.stats import kendalltau

from simulation.lab.comparison import BASE, Outcomes
from simulation.lab.outcomes import SocietyOutcome
from simulation.redteam.measure import clopper_pearson
from simulation.redteam.menu import MENU
from simulation.sampling import Floats, stream

DRAWS: Final = 1000
"""Of the bootstrap: a percentile's own error is then a twentieth of the interval."""

STOPPED: Final = 0.1
"""A campaign counts as stopped where people saw at most this share of what they saw of it without any policy."""


class HarmWeights(msgspec.Struct, frozen=True, kw_only=True):
    """What one unit of harm counts against one unit of a campaign's reach.

    hit: one person in a hundred hit weighs like this many hundredths of the campaigns' reach. engagement: the same for
    a hundredth of engagement lost (`outcomes`).
    """

    hit: float = 5.0
    engagement: float = 1.0


class Interval(NamedTuple):
    """An estimate with its 95% interval."""

    value: float
    low: float
    high: float


class Stopped(NamedTuple):
    """Campaigns of one size: how many people saw of, how many of them were stopped, and the exact 95% interval."""

    size: int
    campaigns: int
    stopped: int
    low: float
    high: float


class PolicyResult(NamedTuple):
    """One policy over all societies.

    prevented: share of the campaigns' reach without any policy that is gone; hit: share of people about whom something
    was done; hit_by_slice: counts (hit, people) by slice; silenced: share of people's own reach that is gone;
    engagement: share of engagement that is gone; value: see the module; days: median days to the first action
    against campaigns in which there was one, None where there was none; noticed: share of campaigns with one; cases:
    alerts reviewed a society; lost: share of the operators' accounts acted on.
    """

    name: str
    prevented: Interval
    hit: Interval
    hit_by_slice: dict[str, tuple[int, int]]
    silenced: Interval
    engagement: Interval
    value: Interval
    days: float | None
    noticed: float
    cases: float
    lost: float
    stopped: list[Stopped]


class PolicyRanking(NamedTuple):
    """Policies, best first, with the pairs that cannot be told apart and the front that no weights are needed for."""

    results: list[PolicyResult]
    alike: list[tuple[str, str]]
    front: list[str]
    tau: dict[str, float]
    tau_interval: Interval


Sums = Floats
"""(societies, 5), columns as `sums` has them."""


def sums(outcomes: Sequence[SocietyOutcome]) -> Sums:
    """What adds up over societies, (n, 5): campaigns' reach, people, people hit, people's reach, engagement."""
    return np.array(
        [
            (
                sum(each.reach for each in one.campaigns),
                sum(each.people for each in one.people),
                sum(each.hit for each in one.people),
                sum(each.reach for each in one.people),
                one.engagement,
            )
            for one in outcomes
        ],
        np.float64,
    )


def measures(policy: Sums, nothing: Sums, worth: HarmWeights) -> Floats:
    """(..., 5) prevented, hit, silenced, engagement lost and value.

    Args:
        policy: (..., 5) `sums` under a policy.
        nothing: (..., 5) the same societies without.
        worth: of harms.
    """
    prevented = 1 - policy[..., 0] / np.maximum(nothing[..., 0], 1)
    hit = policy[..., 2] / np.maximum(policy[..., 1], 1)
    silenced = 1 - policy[..., 3] / np.maximum(nothing[..., 3], 1)
    engagement = 1 - policy[..., 4] / np.maximum(nothing[..., 4], 1)
    value = prevented - worth.hit * hit - worth.engagement * engagement
    result: Floats = np.stack((prevented, hit, silenced, engagement, value), axis=-1)
    return result


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Interval(value, float(low), float(high))


def rank(outcomes: Outcomes, nothing: str, worth: HarmWeights, seed: int = 0) -> PolicyRanking:
    """Policies by their value, best first.

    Args:
        outcomes: of `comparison.compare`.
        nothing: name of the policy that does nothing.
        worth: of harms.
        seed: of the bootstrap.
    """
    names = [name for variant, name in outcomes if variant == BASE]
    table = {name: sums(outcomes[BASE, name]) for name in names}
    n = len(table[nothing])
    chosen = stream(seed, "bootstrap").integers(0, n, (DRAWS, n))
    drawn = {
        name: measures(table[name][chosen].sum(axis=1), table[nothing][chosen].sum(axis=1), worth) for name in names
    }
    whole = {name: measures(table[name].sum(axis=0), table[nothing].sum(axis=0), worth) for name in names}
    results = [_result(name, whole[name], drawn[name], outcomes[BASE, name], outcomes[BASE, nothing]) for name in names]
    results.sort(key=lambda each: (-each.value.value, each.name))
    ordered = [each.name for each in results]
    alike = []
    for place, one in enumerate(ordered):
        for other in ordered[place + 1 :]:
            low, high = np.quantile(drawn[one][:, 4] - drawn[other][:, 4], (0.025, 0.975))
            if low <= 0 <= high:
                alike.append((one, other))
    tau, interval = agreement(outcomes, nothing, worth, seed)
    return PolicyRanking(results, alike, pareto(results), tau, interval)


def _result(
    name: str, whole: Floats, drawn: Floats, outcomes: Sequence[SocietyOutcome], nothing: Sequence[SocietyOutcome]
) -> PolicyResult:
    estimates = [_interval(float(whole[i]), drawn[:, i]) for i in range(5)]
    slices: dict[str, tuple[int, int]] = {}
    for outcome in outcomes:
        for each in outcome.people:
            hit, people = slices.get(each.slice, (0, 0))
            slices[each.slice] = (hit + each.hit, people + each.people)
    campaigns = [each for outcome in outcomes for each in outcome.campaigns]
    before = [each for outcome in nothing for each in outcome.campaigns]
    days = [each.days for each in campaigns if each.days is not None]
    stopped = []
    for size in sorted({each.size for each in campaigns}):
        pairs = [(a.reach, b.reach) for a, b in zip(campaigns, before, strict=True) if a.size == size and b.reach > 0]
        hits = sum(after <= STOPPED * without for after, without in pairs)
        stopped.append(Stopped(size, len(pairs), hits, *clopper_pearson(hits, len(pairs))))
    return PolicyResult(
        name, estimates[0], estimates[1], slices, estimates[2], estimates[3], estimates[4],
        float(np.median(days)) if days else None,
        len(days) / max(len(campaigns), 1),
        float(np.mean([outcome.review_cases for outcome in outcomes])),
        sum(each.acted_on for each in campaigns) / max(sum(each.size for each in campaigns), 1),
        stopped,
    )  # fmt: skip


def pareto(results: Sequence[PolicyResult]) -> list[str]:
    """Policies that no other beats in one of prevented reach, people hit and engagement without losing in another."""
    points = {each.name: (-each.prevented.value, each.hit.value, each.engagement.value) for each in results}
    return [
        name
        for name, point in points.items()
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in points.values()
        )
    ]


def agreement(outcomes: Outcomes, nothing: str, worth: HarmWeights, seed: int = 0) -> tuple[dict[str, float], Interval]:
    """Kendall's tau between the ranking as assumed and that of every variant, over the societies that were varied.

    Args:
        outcomes: of `comparison.compare`.
        nothing: name of the policy that does nothing.
        worth: of harms.
        seed: of the bootstrap.

    Returns:
        tau by variant; and the smallest of them with its interval over societies. NaN where nothing was varied.
    """
    names = sorted({name for variant, name in outcomes if variant == BASE})
    kinds = [variant for variant in dict.fromkeys(variant for variant, _ in outcomes) if variant != BASE]
    if not kinds or len(names) < 3:
        return {}, Interval(float("nan"), float("nan"), float("nan"))
    n = len(outcomes[kinds[0], nothing])
    table = {
        variant: np.stack([sums(outcomes[variant, name][:n]) for name in names]) for variant in (BASE, *kinds)
    }  # (policies, societies, 5)
    zero = names.index(nothing)

    def values(variant: str, some: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        added = table[variant][:, some].sum(axis=1)
        return measures(added, added[zero], worth)[:, 4]

    everyone = np.arange(n)
    tau = {kind: float(kendalltau(values(BASE, everyone), values(kind, everyone)).statistic) for kind in kinds}
    rng = stream(seed, "tau")
    worst = []
    for _ in range(_TAU_DRAWS):
        some = rng.integers(0, n, n)
        base = values(BASE, some)
        worst.append(min(float(kendalltau(base, values(kind, some)).statistic) for kind in kinds))
    return tau, _interval(min(tau.values()), np.array(worst))


_TAU_DRAWS: Final = 200
"""Of the bootstrap of tau: each is one tau a variant."""


def next_move(
    outcomes: Sequence[SocietyOutcome], nothing: Sequence[SocietyOutcome]
) -> dict[str, list[tuple[str, int, float]]]:
    """What an operator who learns would turn to: for each question of the menu, the reach that its options keep.

    Args:
        outcomes: under a policy.
        nothing: of the same societies without.

    Returns:
        question -> (option, campaigns that had it, share of their reach that is left), the most left first.
    """
    found: dict[str, list[tuple[str, int, float]]] = {}
    pairs = [
        (one, before)
        for outcome, without in zip(outcomes, nothing, strict=True)
        for one, before in zip(outcome.campaigns, without.campaigns, strict=True)
    ]
    for place, question in enumerate(MENU):
        rows = []
        for option in MENU[question]:
            some = [(one.reach, before.reach) for one, before in pairs if one.plan[place] == option.name]
            if some:
                left = sum(reach for reach, _ in some) / max(sum(reach for _, reach in some), 1)
                rows.append((option.name, len(some), left))
        found[question] = sorted(rows, key=lambda row: -row[2])
    return found
