"""The report of a comparison of policies: one HTML page for somebody who does not program, and its tables as Parquet.

In: a `ComparisonSettings`, its outcomes and their `PolicyRanking`. The page says which policy to prefer and how sure
that is, what each prevented, whom it hit, what was assumed, and what would change the ranking.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import numpy as np

from detector.errors import UsageError
from simulation.lab.comparison import BASE, CHANGE, ComparisonSettings, Outcomes, by_name
from simulation.lab.feed_mixes import FeedMix
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.ranking import STOPPED, HarmWeights, Interval, PolicyRanking, PolicyResult, next_move
from simulation.redteam.measure import shown
from streaming.html_page import document, escaped, section, table
from streaming.schema.lab_run import LabRunRecord

TITLE: Final = "Policies against campaigns, compared"

FIRM_TAU: Final = 0.9
"""Kendall's tau from which on a ranking is called firm."""


def percent(interval: Interval) -> str:
    """A share with its interval, in percent."""
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def plain(value: Interval) -> str:
    """A number with its interval."""
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def headline(ranking: PolicyRanking) -> str:
    """Which policy to prefer, and how sure that is, in two or three sentences."""
    best = ranking.results[0]
    rivals = [b if a == best.name else a for a, b in ranking.alike if best.name in (a, b)]
    said = [
        f"Best by the stated worth of harms: {best.name}.",
        (
            f"It took away {best.prevented.value:.0%} of what people saw of campaigns and did something about "
            f"{best.hit.value:.2%} of people."
        ),
    ]
    if rivals:
        said.append(f"It cannot be told apart from {_list(rivals)} in these societies.")
    else:
        said.append("It is ahead of every other policy beyond the chance of the draw of societies.")
    if ranking.tau:
        lowest = min(ranking.tau, key=lambda name: ranking.tau[name])
        firm = ranking.tau[lowest] >= FIRM_TAU
        said.append(
            f"With each assumed number a fifth lower or higher the ranking agrees with this one at Kendall's tau of at "
            f"least {ranking.tau[lowest]:.2f} ({lowest}): it {'holds' if firm else 'does not hold firmly'}."
        )
    return " ".join(said)


def page(
    setting: ComparisonSettings,
    outcomes: Outcomes,
    ranking: PolicyRanking,
    worth: HarmWeights,
    mixes: Sequence[FeedMix],
) -> str:
    """The page.

    Args:
        setting: what was compared.
        outcomes: of `comparison.compare`.
        ranking: of them.
        worth: of harms, by which policies were ranked.
        mixes: feed algorithms alone and in pairs; none where they were not tried.
    """
    nothing = next(policy.name for policy in setting.policies if policy.measure == "nothing")
    policies = by_name(setting.policies)
    sections = [
        section("In short", f"<p>{escaped(headline(ranking))}</p>{_drawing(ranking)}"),
        section("What each policy does", _policies(setting.policies)),
        section("What came of it", _results(ranking)),
        section("Campaigns stopped early", _stopped(ranking.results)),
        section("Who was wrongly hit", _hit(ranking.results)),
        section("What an operator would do next", _moves(outcomes, ranking, nothing)),
    ]
    if mixes:
        sections.append(section("Feeds alone and together", _mixes(mixes)))
    sections += [
        section("What would change the ranking", _sensitivity(ranking)),
        section("What was assumed", _assumed(setting, worth, policies)),
    ]
    return document(TITLE, sections)


def record(setting: ComparisonSettings, ranking: PolicyRanking) -> LabRunRecord:
    """What lists of runs say of this one."""
    best = ranking.results[0]
    return LabRunRecord(
        headline=headline(ranking),
        best=best.name,
        prevented=best.prevented.value,
        hit=best.hit.value,
        policies=[policy.name for policy in setting.policies],
        societies=setting.societies,
        seed=setting.seed,
    )


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _policies(policies: Sequence[Policy]) -> str:
    rows = []
    for policy in policies:
        review = policy.review
        looked = f"{review.hours_per_day:g} h a day, {review.minutes_per_case:g} min an alert" if review else "nobody"
        rows.append(
            (
                escaped(policy.name), escaped(policy.about), escaped(policy.act_on), escaped(policy.measure),
                f"{policy.target_fpr:.1%}", f"{policy.delay_hours:g} h", escaped(looked),
            )
        )  # fmt: skip
    return table(("policy", "in words", "acts on", "measure", "people it may flag", "delay", "who looks first"), rows)


def _results(ranking: PolicyRanking) -> str:
    rows = [
        (
            escaped(each.name), plain(each.value), percent(each.prevented), percent(each.hit), percent(each.silenced),
            percent(each.engagement), "-" if each.days is None else f"{each.days:.1f}", f"{each.noticed:.0%}",
            f"{each.lost:.0%}", f"{each.cases:.1f}",
        )
        for each in ranking.results
    ]  # fmt: skip
    front = escaped(_list(ranking.front))
    alike = "; ".join(f"{a} and {b}" for a, b in ranking.alike) or "none"
    return (
        table(
            ("policy", "value", "campaigns' reach gone", "people hit", "people's reach gone", "engagement gone",
             "days to the first action", "campaigns noticed", "operators' accounts hit", "alerts reviewed a society"),
            rows,
        )
        + f"<p>Best without any weights (no other policy is better in one of reach, people hit and engagement without "
        f"being worse in another): {front}.</p><p>Pairs that cannot be told apart: {escaped(alike)}.</p>"
        "<p><small>In brackets: 95% of the draws of societies, the same societies for all policies. A share below zero "
        "is chance: a policy changes who meets what, and societies differ.</small></p>"
    )  # fmt: skip


def _stopped(results: Sequence[PolicyResult]) -> str:
    sizes = [each.size for each in results[0].stopped]
    rows = [(escaped(one.name), *(shown(each.stopped, each.campaigns) for each in one.stopped)) for one in results]
    return (
        f"<p>Share of campaigns of which people saw at most {STOPPED:.0%} of what they saw without any policy, with "
        "the exact 95% interval.</p>" + table(("policy", *(f"{size} accounts" for size in sizes)), rows)
    )


def _hit(results: Sequence[PolicyResult]) -> str:
    slices = sorted({name for one in results for name in one.hit_by_slice})
    chosen = [name for name in slices if any(one.hit_by_slice.get(name, (0, 0))[0] for one in results)]
    if not chosen:
        return "<p>Nobody, by any policy.</p>"
    rows = []
    for one in results:
        cells = [f"{hit} of {people}" for hit, people in (one.hit_by_slice.get(name, (0, 0)) for name in chosen)]
        rows.append((escaped(one.name), *cells))
    return (
        "<p>People about whom something was done, by what sort of people they are in the simulator; sorts of whom "
        "nobody was hit are left out.</p>" + table(("policy", *chosen), rows)
    )


def _moves(outcomes: Outcomes, ranking: PolicyRanking, nothing: str) -> str:
    rows = []
    for one in ranking.results:
        if one.name == nothing:
            continue
        for question, options in next_move(outcomes[BASE, one.name], outcomes[BASE, nothing]).items():
            if len(options) > 1:
                (best, n, left), (worst, m, least) = options[0], options[-1]
                rows.append(
                    (
                        escaped(one.name), escaped(question), escaped(f"{best} ({left:.0%} of reach left, {n})"),
                        escaped(f"{worst} ({least:.0%}, {m})"),
                    )
                )  # fmt: skip
    return (
        "<p>Campaigns had plans drawn from the red team's menu. An operator who sees what became of them turns to what "
        "kept most of its reach. In brackets: what was left, and how many campaigns that rests on; few mean little.</p>"
        + table(("under", "question", "would turn to", "and away from"), rows)
    )


def _mixes(mixes: Sequence[FeedMix]) -> str:
    rows = [
        (
            escaped(" + ".join(mix.names)), f"{mix.campaigns:.2%}",
            "-" if mix.expected is None else f"{mix.expected:.2%}", f"{mix.engagement:,.0f}",
        )
        for mix in mixes
    ]  # fmt: skip
    return (
        "<p>Share of what people saw that campaigns wrote, when one algorithm ranks alone or two rank half and half, "
        "beside the mean of both alone: where they differ, the two interact.</p>"
        + table(("feed", "campaigns' share", "mean of both alone", "engagement a society"), rows)
    )


def _sensitivity(ranking: PolicyRanking) -> str:
    if not ranking.tau:
        return "<p>Nothing was varied (<code>--varied</code>).</p>"
    rows = [
        (escaped(name), f"{value:.2f}")
        for name, value in sorted(ranking.tau.items(), key=lambda each: (each[1], each[0]))
    ]
    least = ranking.tau_interval
    said = f"{least.value:.2f}"
    if not math.isnan(least.low):
        said += f" (95% of draws of societies: {least.low:.2f} to {least.high:.2f})"
    return (
        f"<p>Each assumed number was made {CHANGE:.0%} lower and higher, alone. Kendall's tau between that ranking and "
        f"the one as assumed is 1 where both are the same; the smallest is {said}.</p>"
        + table(("assumed number", "tau"), rows)
    )


def _assumed(setting: ComparisonSettings, worth: HarmWeights, policies: dict[str, Policy]) -> str:
    trial = setting.trial
    rows = [(escaped(name), f"{getattr(setting.assumed, name):g}") for name in Assumed.__struct_fields__]
    return (
        f"<p>{setting.societies} simulated societies of {trial.accounts} accounts over {trial.days:g} days, each with "
        f"campaigns of {_list([str(size) for size in trial.sizes])} accounts; {len(policies)} policies. The detector "
        "is the one of <code>swarmlight run</code>, with its errors; it read each society once, without any policy: "
        "what it would have said of accounts that a policy changes was not asked again. One person in a hundred hit "
        f"weighs like {worth.hit:g} hundredths of the campaigns' reach, a hundredth of engagement like "
        f"{worth.engagement:g}.</p>"
        "<p>The numbers below were measured nowhere; they are the lab's own.</p>" + table(("assumed", "value"), rows)
    )


def _drawing(ranking: PolicyRanking) -> str:
    """Prevented reach against people hit, a dot a policy, as SVG; the table says the same in numbers."""
    width, height, left, bottom = 640.0, 300.0, 60.0, 40.0
    points = [(each.name, each.hit.value, each.prevented.value) for each in ranking.results]
    most = max([hit for _, hit, _ in points] + [0.001])
    low = min([prevented for _, _, prevented in points] + [0.0])
    parts = [
        (
            f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
            'aria-label="Reach prevented against people hit, by policy">'
        ),
        f'<text x="{width / 2:g}" y="{height - 6:g}" text-anchor="middle">share of people hit, to {most:.2%}</text>',
        '<text x="8" y="16">campaigns\' reach that is gone</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = _y(share, low, height, bottom)
        parts.append(
            f'<line x1="{left:g}" x2="{width:g}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity=".15"/>'
            f'<text x="{left - 6:g}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    for name, hit, prevented in points:
        x, y = left + 10 + (width - left - 150) * hit / most, _y(prevented, low, height, bottom)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/><text x="{x + 8:.1f}" y="{y + 4:.1f}">{escaped(name)}</text>'
        )
    return f"<figure>{''.join(parts)}</svg></figure>"


def _y(share: float, low: float, height: float, bottom: float) -> float:
    return 24 + (height - bottom - 24) * (1 - (share - low) / (1 - low))


def markdown(ranking: PolicyRanking) -> str:
    """The table of results for a terminal or a page of documentation."""
    lines = [
        "| policy | value | campaigns' reach gone | people hit | engagement gone | days to first action | noticed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for each in ranking.results:
        days = "-" if each.days is None else f"{each.days:.1f}"
        lines.append(
            f"| {each.name} | {plain(each.value)} | {percent(each.prevented)} | {percent(each.hit)} | "
            f"{percent(each.engagement)} | {days} | {each.noticed:.0%} |"
        )
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
                    (variant, policy, one.seed, each.name, plan, each.size, each.reach, each.acted_on, days, each.cost)
                )
            for some in one.people:
                people.append((variant, policy, one.seed, some.slice, some.people, some.hit, some.reach))
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
    "variant", "policy", "society", "campaign", "plan", "size", "reach", "acted_on", "days", "cost"
)  # fmt: skip

_PEOPLE: Final = ("variant", "policy", "society", "slice", "people", "hit", "reach")
