"""The results of a comparison of policies as tables: for a terminal, a page of documentation, and as Parquet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from detector.errors import UsageError
from simulation.lab.comparison import Outcomes
from simulation.lab.feed_mixes import FeedMix
from simulation.lab.ranking import STOPPED, Interval, PolicyRanking
from simulation.redteam.measure import shown


def percent(interval: Interval) -> str:
    """A share with its interval, in percent."""
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def plain(value: Interval) -> str:
    """A number with its interval."""
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def days_said(days: float | None) -> str:
    """A number of days, a dash for none."""
    return "-" if days is None else f"{days:.1f}"


def markdown(ranking: PolicyRanking, mixes: Sequence[FeedMix] = ()) -> str:
    """The tables of results for a terminal or a page of documentation.

    Args:
        ranking: of policies.
        mixes: feed algorithms alone and in pairs, if they were tried.
    """
    sizes = [each.size for each in ranking.results[0].stopped]
    lines = [
        (
            "| tier | policy | value | campaigns' reach gone | people hit | engagement gone | hostility gone | days "
            "until named | until acted on | campaigns acted on | points for a view |"
        ),
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    tier = {name: i + 1 for i, names in enumerate(ranking.tiers) for name in names}
    for each in ranking.results:
        lines.append(
            f"| {tier[each.name]} | {each.name} | {plain(each.value)} | {percent(each.prevented)} | "
            f"{percent(each.hit)} | {percent(each.engagement)} | {each.hostility:.0%} | {days_said(each.named)} | "
            f"{days_said(each.days)} | {each.noticed:.0%} | {each.cost:.2f} |"
        )
    heads = " | ".join(f"{size} accounts" for size in sizes)
    lines += [
        "",
        f"| campaigns of which at most {STOPPED:.0%} of the posts are seen | {heads} |",
        f"| --- |{' --- |' * len(sizes)}",
    ]
    for each in ranking.results:
        lines.append(f"| {each.name} | {' | '.join(shown(one.stopped, one.campaigns) for one in each.stopped)} |")
    if ranking.tau:
        lowest = min(ranking.tau, key=lambda name: ranking.tau[name])
        firm = min(ranking.tau_apart.values(), default=math.nan)
        apart = len(ranking.results) * (len(ranking.results) - 1) // 2 - len(ranking.alike)
        said = f"Smallest Kendall's tau: {plain(ranking.tau_interval)} over all pairs ({lowest}), {firm:.2f} over the "
        lines += ["", f"{said}{apart} that are told apart."]
    if mixes:
        lines += [
            "",
            "| feed | campaigns' share of what is seen | mean of both alone | engagement a society |",
            "| --- | --- | --- | --- |",
        ]
    for mix in mixes:
        expected = "" if mix.expected is None else f"{mix.expected:.1%}"
        lines.append(f"| {' + '.join(mix.names)} | {mix.campaigns:.1%} | {expected} | {mix.engagement:,.0f} |")
    return "\n".join(lines) + "\n"


def write_tables(outcomes: Outcomes, folder: Path) -> None:
    """Every campaign and every slice of people of every society under every policy, as two Parquet files.

    Args:
        outcomes: of `comparison.compare`.
        folder: of `campaigns.parquet` and `people.parquet`.

    Raises:
        UsageError: they cannot be written.
    """
    campaigns: list[tuple[object, ...]] = []
    people: list[tuple[object, ...]] = []
    for (variant, policy), made in outcomes.items():
        for one in made:
            for each in one.campaigns:
                days = math.nan if each.days is None else each.days
                plan = "; ".join(each.plan)
                campaigns.append(
                    (
                        variant,
                        policy,
                        one.seed,
                        each.name,
                        plan,
                        each.size,
                        each.reach,
                        each.posts,
                        each.seen,
                        each.acted_on,
                        math.nan if each.named is None else each.named,
                        days,
                        each.cost,
                    )
                )
            for some in one.people:
                people.append((variant, policy, one.seed, some.slice, some.lang, some.people, some.hit, some.reach))
    for name, rows, columns in (("campaigns", campaigns, _CAMPAIGNS), ("people", people, _PEOPLE)):
        path = folder / f"{name}.parquet"
        table = {column: np.array([row[i] for row in rows]) for i, column in enumerate(columns)}
        try:
            with duckdb.connect() as connection:
                connection.register("rows", table)
                connection.table("rows").write_parquet(str(path))
        except duckdb.Error as error:
            raise UsageError(f"{path}: cannot be written: {str(error).splitlines()[0]}") from None


_CAMPAIGNS: Final = (
    "variant", "policy", "society", "campaign", "plan", "size", "reach", "posts", "seen", "acted_on",
    "named", "days", "cost",
)  # fmt: skip

_PEOPLE: Final = ("variant", "policy", "society", "slice", "lang", "people", "hit", "reach")
