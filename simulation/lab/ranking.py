"""What outcomes say of policies: measures with intervals, a ranking, and how far it can be trusted.

Societies are drawn again with replacement for every interval (percentile bootstrap, Efron 1979), the same societies for
all policies, so that differences between policies are paired. The value of a policy is what it prevents of the
campaigns' reach less what `HarmWeights` says its harm counts; `pareto` needs no such weights. Two policies are told
apart where the difference of their values is beyond the simultaneous 95% interval of all pairs (the largest of the
standardised differences of each draw, after Tukey). Policies come in tiers: each tier has those that cannot be told
apart from its first.

Rankings of the varied societies are compared by Kendall's tau-b (Kendall 1945), over all pairs of policies and over
those that are told apart: the order of the others is chance, and no ranking.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import combinations
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
"""A campaign counts as stopped where people came past at most this share of the posts that it writes without any
policy."""


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
    """Campaigns of one size that wrote anything: how many, how many of them were stopped, the exact 95% interval of
    that share, and how many had at most as large a share of their reach (`reached_less`)."""

    size: int
    campaigns: int
    stopped: int
    low: float
    high: float
    reached_less: int


class PolicyResult(NamedTuple):
    """One policy over all societies.

    prevented: share of the campaigns' reach without any policy that is gone; hit: share of people about whom something
    was done; hit_by_slice, hit_by_language: counts (hit, people); silenced: share of people's own reach that is gone;
    engagement: share of engagement that is gone; value: see the module; hostility: share that is gone of the rating
    against democratic values of what an exposure shows, on average; named: median days until the detector named a
    member, of campaigns of which it named one; days: the same until something was done about one; None where there was
    none; noticed: share of campaigns against which something was done; cases: alerts reviewed a society; lost: accounts
    acted on as a share of those that operators began with; cost: points that an exposure of a campaign's post cost.
    """

    name: str
    prevented: Interval
    hit: Interval
    hit_by_slice: dict[str, tuple[int, int]]
    hit_by_language: dict[str, tuple[int, int]]
    silenced: Interval
    engagement: Interval
    value: Interval
    hostility: float
    named: float | None
    days: float | None
    noticed: float
    cases: float
    lost: float
    cost: float
    stopped: list[Stopped]


class PolicyRanking(NamedTuple):
    """Policies, best first, with the pairs that cannot be told apart and the front that no weights are needed for.

    tau: by variant, over all pairs; tau_apart: over pairs that are told apart; tau_interval: the smallest of `tau`.
    """

    results: list[PolicyResult]
    alike: list[tuple[str, str]]
    tiers: list[list[str]]
    front: list[str]
    tau: dict[str, float]
    tau_apart: dict[str, float]
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
    apart = told_apart(whole, drawn)
    alike = [pair for pair in combinations(ordered, 2) if frozenset(pair) not in apart]
    tau, tau_apart, interval = agreement(outcomes, nothing, worth, apart, seed)
    return PolicyRanking(results, alike, tiers(ordered, apart), pareto(results), tau, tau_apart, interval)


Pairs = Set[frozenset[str]]


def told_apart(whole: dict[str, Floats], drawn: dict[str, Floats]) -> Pairs:
    """Pairs of policies whose values differ by more than chance, all pairs considered at once.

    Args:
        whole: `measures` of each policy over all societies.
        drawn: the same, (draws, 5), over societies drawn again.
    """
    pairs = list(combinations(whole, 2))
    difference = np.array([whole[a][4] - whole[b][4] for a, b in pairs])
    draws = np.stack([drawn[a][:, 4] - drawn[b][:, 4] for a, b in pairs], axis=1)
    spread = draws.std(axis=0)
    some = spread > 0
    largest = (np.abs(draws - difference)[:, some] / spread[some]).max(axis=1, initial=0.0)
    bound = float(np.quantile(largest, 0.95))
    return {
        frozenset(pair)
        for pair, d, s in zip(pairs, difference.tolist(), spread.tolist(), strict=True)
        if abs(d) > bound * s
    }


def tiers(ordered: Sequence[str], apart: Pairs) -> list[list[str]]:
    """Policies in their order, a new tier with each that is told apart from the first of the tier before.

    Args:
        ordered: best first.
        apart: pairs that are told apart.
    """
    found: list[list[str]] = []
    for name in ordered:
        if found and frozenset((found[-1][0], name)) not in apart:
            found[-1].append(name)
        else:
            found.append([name])
    return found


def _result(
    name: str, whole: Floats, drawn: Floats, outcomes: Sequence[SocietyOutcome], nothing: Sequence[SocietyOutcome]
) -> PolicyResult:
    estimates = [_interval(float(whole[i]), drawn[:, i]) for i in range(5)]
    slices: dict[str, tuple[int, int]] = {}
    languages: dict[str, tuple[int, int]] = {}
    for each in (some for outcome in outcomes for some in outcome.people):
        for groups, group in ((slices, each.slice), (languages, each.lang)):
            hit, people = groups.get(group, (0, 0))
            groups[group] = (hit + each.hit, people + each.people)
    campaigns = [each for outcome in outcomes for each in outcome.campaigns]
    before = [each for outcome in nothing for each in outcome.campaigns]
    days = [each.days for each in campaigns if each.days is not None]
    named = [each.named for each in campaigns if each.named is not None]
    stopped = []
    for size in sorted({each.size for each in campaigns}):
        pairs = [(a, b) for a, b in zip(campaigns, before, strict=True) if a.size == size and b.posts > 0]
        hits = sum(after.seen <= STOPPED * without.posts for after, without in pairs)
        less = sum(after.reach <= STOPPED * without.reach for after, without in pairs)
        stopped.append(Stopped(size, len(pairs), hits, *clopper_pearson(hits, len(pairs)), less))
    return PolicyResult(
        name, estimates[0], estimates[1], slices, languages, estimates[2], estimates[3], estimates[4],
        _gone(_hostility(outcomes), _hostility(nothing)),
        float(np.median(named)) if named else None,
        float(np.median(days)) if days else None,
        len(days) / max(len(campaigns), 1),
        float(np.mean([outcome.review_cases for outcome in outcomes])),
        sum(each.acted_on for each in campaigns) / max(sum(each.size for each in campaigns), 1),
        sum(each.cost for each in campaigns) / max(sum(each.reach for each in campaigns), 1),
        stopped,
    )  # fmt: skip


def _gone(after: float, before: float) -> float:
    """Share that is gone; 0 where there was nothing."""
    return 1 - after / before if before > 0 else 0.0


def _hostility(outcomes: Sequence[SocietyOutcome]) -> float:
    """Rating against democratic values of an exposure, on average."""
    return sum(each.hostility for each in outcomes) / max(sum(each.reach for each in outcomes), 1)


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


def agreement(
    outcomes: Outcomes, nothing: str, worth: HarmWeights, apart: Pairs, seed: int = 0
) -> tuple[dict[str, float], dict[str, float], Interval]:
    """Kendall's tau between the ranking as assumed and that of every variant, over the societies that were varied.

    Args:
        outcomes: of `comparison.compare`.
        nothing: name of the policy that does nothing.
        worth: of harms.
        apart: pairs of policies that are told apart.
        seed: of the bootstrap.

    Returns:
        tau by variant; the same over pairs that are told apart, without any where there are none; and the smallest of
        the first with its interval over societies. NaN where nothing was varied.
    """
    names = sorted({name for variant, name in outcomes if variant == BASE})
    kinds = [variant for variant in dict.fromkeys(variant for variant, _ in outcomes) if variant != BASE]
    if not kinds or len(names) < 3:
        return {}, {}, Interval(float("nan"), float("nan"), float("nan"))
    n = len(outcomes[kinds[0], nothing])
    table = {
        variant: np.stack([sums(outcomes[variant, name][:n]) for name in names]) for variant in (BASE, *kinds)
    }  # (policies, societies, 5)
    zero = names.index(nothing)

    def values(variant: str, some: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
        added = table[variant][:, some].sum(axis=1)
        return measures(added, added[zero], worth)[:, 4]

    everyone = np.arange(n)
    base = values(BASE, everyone)
    varied = {kind: values(kind, everyone) for kind in kinds}
    tau = {kind: float(kendalltau(base, value).statistic) for kind, value in varied.items()}
    pairs = [(i, j) for i, j in combinations(range(len(names)), 2) if frozenset((names[i], names[j])) in apart]
    firm = {
        kind: float(np.mean([np.sign(base[i] - base[j]) * np.sign(value[i] - value[j]) for i, j in pairs]))
        for kind, value in varied.items()
        if pairs
    }
    rng = stream(seed, "tau")
    worst = []
    for _ in range(_TAU_DRAWS):
        some = rng.integers(0, n, n)
        again = values(BASE, some)
        worst.append(min(float(kendalltau(again, values(kind, some)).statistic) for kind in kinds))
    return tau, firm, _interval(min(tau.values()), np.array(worst))


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
