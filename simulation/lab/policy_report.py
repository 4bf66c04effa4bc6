"""The report of a comparison of policies: one HTML page for somebody who does not program, and its tables as Parquet.

In: a `ComparisonSettings`, its outcomes and their `PolicyRanking`. The page says which policy to prefer and how sure
that is, what each prevented, whom it hit, what was assumed, and what would change the ranking.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from simulation.lab.comparison import BASE, CHANGE, ComparisonSettings, Outcomes, by_name
from simulation.lab.feed_mixes import FeedMix
from simulation.lab.interventions import Assumed, Policy
from simulation.lab.operators import OperatorAnswer
from simulation.lab.policy_tables import days_said, percent, plain
from simulation.lab.ranking import STOPPED, HarmWeights, PolicyRanking, PolicyResult, next_move
from simulation.lab.trial_society import SocietySettings
from simulation.redteam.measure import shown
from simulation.redteam.menu import MENU
from streaming.html_page import document, escaped, section, table
from streaming.schema.lab_run import LabRunRecord

TITLE: Final = "Policies against campaigns, compared"

FIRM_TAU: Final = 0.9
"""Kendall's tau from which on a ranking is called firm."""


def headline(ranking: PolicyRanking) -> str:
    """Which policy to prefer, and how sure that is, in two or three sentences."""
    best = ranking.results[0]
    rivals = ranking.tiers[0][1:]
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
    said += _agreement(ranking)
    return " ".join(said)


def _agreement(ranking: PolicyRanking) -> list[str]:
    """Whether the ranking survives what is varied."""
    if not ranking.tau:
        return []
    lowest = min(ranking.tau, key=lambda name: ranking.tau[name])
    said = [
        (
            "With each assumed number a fifth lower or higher the ranking of all policies agrees with this one at "
            f"Kendall's tau of at least {ranking.tau[lowest]:.2f} ({lowest})."
        )
    ]
    if ranking.tau_apart:
        least = min(ranking.tau_apart, key=lambda name: ranking.tau_apart[name])
        firm = ranking.tau_apart[least] >= FIRM_TAU
        said.append(
            f"Of the pairs that can be told apart the order {'holds' if firm else 'does not hold firmly'}: tau is at "
            f"least {ranking.tau_apart[least]:.2f} ({least})."
        )
    return said


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
    nothing = next(policy.name for policy in setting.policies if policy.idle)
    policies = by_name(setting.policies)
    sections = [
        section("In short", f"<p>{escaped(headline(ranking))}</p>{_drawing(ranking)}"),
        section("What each policy does", _policies(setting.policies)),
        section("What came of it", _results(ranking)),
        section("Which can be told apart", _tiers(ranking)),
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
        feed = policy.feed
        does = policy.measure if feed is None else f"{feed.algorithm} feed for {feed.share:.0%}"
        looked = f"{review.hours_per_day:g} h a day, {review.minutes_per_case:g} min an alert" if review else "nobody"
        rows.append(
            (
                escaped(policy.name), escaped(policy.about), escaped(policy.act_on), escaped(does),
                f"{policy.target_fpr:.1%}", f"{policy.delay_hours:g} h", escaped(looked),
            )
        )  # fmt: skip
    return table(("policy", "in words", "acts on", "measure", "people it may flag", "delay", "who looks first"), rows)


def _results(ranking: PolicyRanking) -> str:
    reached = [
        (
            escaped(each.name), plain(each.value), percent(each.prevented), days_said(each.named), days_said(each.days),
            f"{each.noticed:.0%}", f"{each.lost:.0%}", f"{each.cost:.2f}",
        )
        for each in ranking.results
    ]  # fmt: skip
    people = [
        (
            escaped(each.name), percent(each.hit), percent(each.silenced), percent(each.engagement),
            f"{each.hostility:.0%}", f"{each.cases:.1f}",
        )
        for each in ranking.results
    ]  # fmt: skip
    front = escaped(_list(ranking.front))
    return (
        '<div class="figures"><h3>Campaigns</h3>'
        + table(
            ("policy", "value", "their reach gone", "days until named", "days until something was done",
             "campaigns acted on", "accounts hit", "points for a view"),
            reached,
        )
        + "<h3>Everybody else</h3>"
        + table(
            ("policy", "people hit", "people's reach gone", "engagement gone", "hostility gone",
             "alerts reviewed a society"),
            people,
        )
        + "</div><p>Best without any weights (no other policy is better in one of reach, people hit and engagement "
        f"without being worse in another): {front}.</p>"
        "<p><small>In brackets: 95% of the draws of societies, the same societies for all policies. A share below zero "
        "means more than without any policy. Accounts hit are a share of those that operators began with. Hostility is "
        "the rating against democratic values of what people come past, on average. Points are what the operator's "
        "menu says accounts with its plan cost, for each view of one of its posts.</small></p>"
    )  # fmt: skip


def _tiers(ranking: PolicyRanking) -> str:
    rows = [(str(i + 1), escaped(_list(tier))) for i, tier in enumerate(ranking.tiers)]
    apart = len(ranking.results) * (len(ranking.results) - 1) // 2 - len(ranking.alike)
    pairs = escaped("; ".join(f"{a} and {b}" for a, b in ranking.alike) or "none")
    return (
        "<p>A tier has the policies that cannot be told apart from its first in these societies, all pairs considered "
        f"at once (simultaneous 95% intervals of the differences). {apart} pairs can be told apart.</p>"
        + table(("tier", "policies"), rows)
        + f"<details><summary>Pairs that cannot be told apart</summary><p>{pairs}.</p></details>"
    )


def _stopped(results: Sequence[PolicyResult]) -> str:
    sizes = [each.size for each in results[0].stopped]
    rows = [(escaped(one.name), *(shown(each.stopped, each.campaigns) for each in one.stopped)) for one in results]
    less = [
        (escaped(one.name), *(f"{each.reached_less} of {each.campaigns}" for each in one.stopped)) for one in results
    ]
    heads = ("policy", *(f"{size} accounts" for size in sizes))
    return (
        f"<p>Campaigns of which people came past at most {STOPPED:.0%} of the posts that it writes without any policy, "
        "with the exact 95% interval. Without a policy too, some posts are seen by nobody.</p>"
        + table(heads, rows)
        + f"<p>Campaigns that had at most {STOPPED:.0%} of the views that they have without any policy.</p>"
        + table(heads, less)
    )


def _hit(results: Sequence[PolicyResult]) -> str:
    said = [
        "<p>People about whom something was done, by what sort of people they are in the simulator; sorts of whom "
        "nobody was hit are left out.</p>" + _hit_by({one.name: one.hit_by_slice for one in results})
    ]
    if len({lang for one in results for lang in one.hit_by_language}) > 1:
        said.append("<p>The same by the language in which they write.</p>")
        said.append(_hit_by({one.name: one.hit_by_language for one in results}, everybody=True))
    return "".join(said)


def _hit_by(counts: dict[str, dict[str, tuple[int, int]]], *, everybody: bool = False) -> str:
    """A table of (hit, people) by policy and group; groups of whom nobody was hit are left out but for `everybody`."""
    groups = sorted({name for groups in counts.values() for name in groups})
    chosen = [name for name in groups if everybody or any(each.get(name, (0, 0))[0] for each in counts.values())]
    if not chosen:
        return "<p>Nobody, by any policy.</p>"
    rows = []
    for policy, each in counts.items():
        cells = [f"{hit} of {people}" for hit, people in (each.get(name, (0, 0)) for name in chosen)]
        rows.append((escaped(policy), *cells))
    return table(("policy", *(name or "unknown" for name in chosen)), rows)


def _moves(outcomes: Outcomes, ranking: PolicyRanking, nothing: str) -> str:
    rows = []
    for one in ranking.results:
        if one.name == nothing or not one.noticed:
            continue
        moves = next_move(outcomes[BASE, one.name], outcomes[BASE, nothing])
        cells = []
        for options in moves.values():
            (best, _, left), (worst, _, least) = options[0], options[-1]
            told = f"{best} ({left:.0%} left)" if best == worst else f"{best} ({left:.0%}), not {worst} ({least:.0%})"
            cells.append(escaped(told))
        rows.append((escaped(one.name), *cells))
    if not rows:
        return "<p>Nothing was done about any campaign.</p>"
    return _answers(outcomes, ranking) + (
        "<p>Campaigns had plans drawn from the red team's menu. An operator who sees what became of them turns to what "
        "kept most of its reach, and away from what kept least. In brackets: what was left of the reach of the "
        "campaigns that had it; several questions are decided by a dozen campaigns.</p>" + table(("under", *MENU), rows)
    )


def _answers(outcomes: Outcomes, ranking: PolicyRanking) -> str:
    """What operators turned to in the closed loop; nothing where they did not answer."""
    rows = []
    for one in ranking.results:
        made = [each for outcome in outcomes[BASE, one.name] for each in outcome.answers]
        if made:
            turned = [turned_to(made, place) for place in range(len(MENU))]
            rows.append(
                (
                    escaped(one.name), str(len(made)), str(sum(each.lost for each in made)),
                    str(sum(each.replaced for each in made)), *(escaped(turned[i]) for i in (0, 1, 2)),
                )
            )  # fmt: skip
    if not rows:
        return ""
    return (
        "<p>What operators did in these societies when they had lost accounts, by the red team's memory of what "
        "survives: how often each option was taken.</p>"
        + table(("under", "answers", "accounts lost", "replaced", "wording", "cadence", "cover"), rows)
    )


def turned_to(answers: Sequence[OperatorAnswer], question: int) -> str:
    """How often operators took each option of a question of the menu, the most frequent first."""
    counts = Counter(each.after[question] for each in answers)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


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
        (escaped(name), f"{value:.2f}", f"{ranking.tau_apart[name]:.2f}" if ranking.tau_apart else "-")
        for name, value in sorted(ranking.tau.items(), key=lambda each: (each[1], each[0]))
    ]
    least = ranking.tau_interval
    said = f"{least.value:.2f}"
    if not math.isnan(least.low):
        said += f" (95% of draws of societies: {least.low:.2f} to {least.high:.2f})"
    return (
        f"<p>Each assumed number was made {CHANGE:.0%} lower and higher, alone. Kendall's tau between that ranking and "
        f"the one as assumed is 1 where both are the same; the smallest over all pairs is {said}. The order of "
        "policies that cannot be told apart is chance; the last column leaves those pairs out.</p>"
        + table(("assumed number", "tau, all pairs", "tau, pairs told apart"), rows)
    )


def _assumed(setting: ComparisonSettings, worth: HarmWeights, policies: dict[str, Policy]) -> str:
    trial = setting.trial
    rows = [(escaped(name), f"{getattr(setting.assumed, name):g}") for name in Assumed.__struct_fields__]
    return (
        f"<p>{setting.societies} simulated societies of {trial.accounts} accounts over {trial.days:g} days, each with "
        f"campaigns of {_list([str(size) for size in trial.sizes])} accounts; {len(policies)} policies. The detector "
        f"is the one of <code>swarmlight run</code>, with its errors; {_loop(trial)} One person in a hundred hit "
        f"weighs like {worth.hit:g} hundredths of the campaigns' reach, a hundredth of engagement like "
        f"{worth.engagement:g}.</p>"
        "<p>The numbers below were measured nowhere; they are the lab's own.</p>" + table(("assumed", "value"), rows)
    )


def _loop(trial: SocietySettings) -> str:
    if not trial.closed:
        return (
            "it read each society once, without any policy: what it would have said of accounts that a policy changes "
            "was not asked again, and operators did not answer."
        )
    said = "it read each society anew beside each policy, step by step, so that it saw what the policy had changed;"
    if not trial.rounds:
        return f"{said} operators did not answer."
    return (
        f"{said} operators looked {trial.rounds} times at what became of their accounts, and had {trial.spare:.0%} of "
        "them in reserve."
    )


def _drawing(ranking: PolicyRanking) -> str:
    """Reach that is gone of each policy with its interval, a row a policy, as SVG; the tables have the numbers."""
    rows = ranking.results
    left, right, step, top = 150.0, 620.0, 20.0, 34.0
    low = min(0.0, *(each.prevented.low for each in rows))
    high = max(0.5, *(each.prevented.high for each in rows))
    bottom = top + step * len(rows)

    def x(share: float) -> float:
        return left + (right - left) * (share - low) / (high - low)

    parts = [
        (
            f'<svg viewBox="0 0 760 {bottom + 8:g}" role="img" '
            'aria-label="Campaigns\' reach that is gone with 95% intervals, and people hit, by policy">'
        ),
        f'<text x="{left:g}" y="14">share of campaigns\' reach that is gone, with 95% interval</text>',
        '<text x="752" y="14" text-anchor="end">people hit</text>',
    ]
    for share in (each / 4 for each in range(-4, 5)):
        if low <= share <= high:
            parts.append(
                f'<line x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{top - 4:g}" y2="{bottom:g}" '
                f'stroke="currentColor" opacity="{0.5 if share == 0 else 0.15}"/>'
                f'<text x="{x(share):.1f}" y="{top - 7:g}" text-anchor="middle">{share:.0%}</text>'
            )
    for i, each in enumerate(rows):
        y = top + step * (i + 0.5)
        gone = each.prevented
        parts.append(
            f'<text x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{escaped(each.name)}</text>'
            f'<line x1="{x(gone.low):.1f}" x2="{x(gone.high):.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor"/>'
            f'<circle cx="{x(gone.value):.1f}" cy="{y:.1f}" r="4.5"/>'
            f'<text x="752" y="{y + 4:.1f}" text-anchor="end">{each.hit.value:.1%}</text>'
        )
    return f"<figure>{''.join(parts)}</svg></figure>"
