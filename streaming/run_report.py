"""The command `swarmlight report`: what a run found, as one HTML page that a person can look at and pass on.

In: what the files of a run hold (`streaming.run_results`). Out: one page with nothing outside it: no script, no address
that it loads from, light and dark, wide and narrow. Everything in it that comes from events is a stranger's text and is
escaped; links of theirs are text, not links.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from detector.evidence import COMPONENTS
from detector.reason_sentences import direction
from detector.times import parse_time, rfc3339
from streaming.html_page import document
from streaming.html_page import escaped as _e
from streaming.html_page import section as _section
from streaming.html_page import table as _table
from streaming.run_results import RunResults, check_network, groups_of, results_of, write_network
from streaming.schema.alert import AlertRecord, PageRecord
from streaming.schema.run_summary import PeopleRecord
from streaming.sinks.result_file import ResultFile

CAMPAIGNS_SHOWN: Final = 100
MEMBERS_DRAWN: Final = 40
"""Members in a drawing: beyond them a network is a blot; all members are counted."""

POSTS_SHOWN: Final = 8
OBJECTS_SHOWN: Final = 12
TEXT_SHOWN: Final = 280
BINS: Final = 40


def page(found: RunResults, title: str) -> str:
    """The page.

    Args:
        found: what it shows.
        title: its heading.
    """
    groups = groups_of(found)
    sections = [
        _section("What was read", _read(found)),
        _section("Campaigns", _campaigns(found, groups)),
        _section("Accounts", _accounts(found)),
        _section("How scores are spread", _spread(found)),
        _section("What could not be judged", _abstained(found)),
        _section("How to read this", _READING),
    ]
    return document(title, sections)


def _read(found: RunResults) -> str:
    told = found.summary
    if told is None:
        return "<p>No summary was given (<code>--summary FILE</code>).</p>"
    numbers = [("records read", told.read), ("accepted", told.accepted), ("of them edits", told.revised),
               ("duplicates", told.duplicate), ("late", told.late), ("unreadable", told.dead),
               ("accounts", told.accounts), ("flagged", told.flagged), ("campaigns", told.campaigns)]  # fmt: skip
    tiles = "".join(
        f'<div class="tile"><b>{count:,}</b> {_e(name)}</div>'
        for name, count in numbers
        if count or name not in ("of them edits", "late")
    )
    parts = [f'<div class="tiles">{tiles}</div>']
    if told.skipped:
        rows = [(_e(what), f"{count:,}") for what, count in sorted(told.skipped.items(), key=lambda item: -item[1])]
        parts.append("<h3>Skipped: in order, and no post events</h3>" + _table(("what", "records"), rows))
    if found.dead is not None and found.dead.letters:
        dead = found.dead.by_problem.most_common(10)
        rows = [(_e(f"{name}: {reason}"), f"{count:,}") for (name, reason), count in dead]
        parts.append("<h3>Why records could not be read</h3>" + _table(("reason", "records"), rows))
    return "".join(parts)


def _campaigns(found: RunResults, groups: Sequence[AlertRecord]) -> str:
    if not groups:
        return "<p>No group of accounts was found to act together.</p>"
    parts = [_campaign(alert, found.pages.get(alert.id, [])) for alert in groups[:CAMPAIGNS_SHOWN]]
    if len(groups) > CAMPAIGNS_SHOWN:
        parts.append(f"<p>and {len(groups) - CAMPAIGNS_SHOWN:,} more, which are in the file of alerts.</p>")
    return "".join(parts)


def _campaign(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    what = "act together and look machine-driven" if alert.kind == "campaign" else "act together"
    note = "" if alert.kind == "campaign" else " Nothing shows that they are machine-driven; this is for information."
    since = (
        f"{(alert.first_post_at or '')[:16].replace('T', ' ')} to {(alert.last_post_at or '')[:16].replace('T', ' ')}"
    )
    why = "".join(f"<li>{_e(sentence)}</li>" for sentence in alert.why)
    limits = "".join(f"<li>{_e(sentence)}</li>" for sentence in alert.limits)
    quotes = "".join(
        f"<li><q>{_e(post.text[:TEXT_SHOWN])}</q> <small>{_e(post.account)}, {_e(_minute(post.at))}</small></li>"
        for post in alert.posts[:POSTS_SHOWN]
    )
    members = ", ".join(_e(member.account) for member in alert.members[:MEMBERS_DRAWN])
    others = len(alert.members) - MEMBERS_DRAWN
    return (
        f"<article><h3>{len(alert.members):,} accounts {what}</h3><p>{_e(since)}, UTC.{note}</p>"
        f"<h4>Why</h4><ul>{why}</ul>"
        f'<div class="pair"><figure>{_network(alert)}<figcaption>Who is tied to whom; thicker: more in common.'
        f"</figcaption></figure><figure>{_time_line(alert, pages)}<figcaption>When each of them acted.</figcaption>"
        f"</figure></div>{_shared(alert, pages)}<h4>What they wrote</h4><ul>{quotes}</ul>"
        f"<h4>Members</h4><p>{members}{f' and {others:,} more' if others > 0 else ''}</p>"
        f"<details><summary>What is not known</summary><ul>{limits}</ul></details></article>"
    )


def _minute(at: str | None) -> str:
    return (at or "")[:16].replace("T", " ")


def _network(alert: AlertRecord) -> str:
    """Members on a circle, in order of how strongly they are tied, and what they share."""
    members = [member.account for member in alert.members[:MEMBERS_DRAWN]]
    place = {
        name: (
            160 + 120 * math.sin(2 * math.pi * i / len(members)),
            160 - 120 * math.cos(2 * math.pi * i / len(members)),
        )
        for i, name in enumerate(members)
    }
    shared: Counter[tuple[str, str]] = Counter()
    for edge in alert.edges:
        if edge.a in place and edge.b in place:
            shared[edge.a, edge.b] += max(int(edge.count), 1)
    most = max(shared.values(), default=1)
    lines = "".join(
        f'<line x1="{place[a][0]:.1f}" y1="{place[a][1]:.1f}" x2="{place[b][0]:.1f}" y2="{place[b][1]:.1f}" '
        f'stroke-width="{0.5 + 3.5 * count / most:.2f}"/>'
        for (a, b), count in sorted(shared.items())
    )
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(3, 9 - len(members) / 8):.1f}"><title>{_e(name)}</title></circle>'
        for name, (x, y) in place.items()
    )
    label = f"Network of {len(members)} accounts with {len(shared)} ties"
    return f'<svg viewBox="0 0 320 320" role="img" aria-label="{label}"><g class="ties">{lines}</g>{dots}</svg>'


def _time_line(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    """A row of dots for every member."""
    moments = [(moment.account, moment.at) for each in pages for moment in each.posts]
    moments = moments or [(post.account, post.at) for post in alert.posts]
    members = {member.account: row for row, member in enumerate(alert.members[:MEMBERS_DRAWN])}
    timed = [(members[name], at) for name, text in moments if name in members and (at := parse_time(text)) is not None]
    if not timed:
        return "<p>No times were kept (<code>--details FILE</code>).</p>"
    begin, end = min(at for _, at in timed), max(at for _, at in timed)
    height, span = 300 / max(len(members), 1), max(end - begin, 1)
    dots = "".join(
        f'<circle cx="{8 + 304 * (at - begin) / span:.1f}" cy="{8 + height * (row + 0.5) * 0.93:.1f}" r="2"/>'
        for row, at in sorted(set(timed))
    )
    label = f"{len(timed):,} acts from {rfc3339(begin)} to {rfc3339(end)}"
    ends = (
        f'<text x="8" y="314">{_minute(rfc3339(begin))}</text>'
        f'<text x="312" y="314" text-anchor="end">{_minute(rfc3339(end))}</text>'
    )
    return f'<svg viewBox="0 0 320 320" role="img" aria-label="{label}">{dots}{ends}</svg>'


def _shared(alert: AlertRecord, pages: Sequence[PageRecord]) -> str:
    """What most members share, apart from hashes that say nothing to a reader."""
    sharers: Counter[tuple[str, str]] = Counter()
    for each in pages:
        for item in each.objects:
            sharers[item.kind, item.object] = max(sharers[item.kind, item.object], len(item.accounts))
    if not sharers:
        sharers.update((edge.kind, item) for edge in alert.edges for item in edge.objects)
    rows = [
        (_e(item), _e(kind.replace("_", " ")), f"{count:,}")
        for (kind, item), count in sorted(sharers.items(), key=lambda pair: (-pair[1], pair[0]))
        if kind != "near_duplicate"
    ][:OBJECTS_SHOWN]
    return "<h4>What they share</h4>" + _table(("what", "kind", "accounts"), rows) if rows else ""


def _scoreless(found: RunResults) -> str:
    """Why there are no accounts to show: the run has none, or its file of scores is missing."""
    if found.summary is not None and not found.summary.accounts:
        return "<p>There are no accounts: no post was read.</p>"
    return "<p>No scores were given (<code>--scores FILE</code>).</p>"


def _accounts(found: RunResults) -> str:
    if not found.accounts:
        return _scoreless(found)
    most = max((abs(score.llr.total) for score in found.top), default=1.0) or 1.0
    rows = []
    for score in found.top:
        total = score.llr.total
        width = f'<span class="bar"><i style="width:{100 * max(total, 0.0) / most:.0f}%"></i></span>'
        mark = '<span class="flag">flagged</span>' if score.flagged else ""
        parts = [_nats(getattr(score.llr, name)) for name in COMPONENTS]
        rows.append((f"{_e(score.account)} {mark}", f"{score.posts:,}", f"{width} {_nats(total)}", *parts,
                     _e(direction(total))))  # fmt: skip
    told = f"The {len(rows):,} of {found.accounts:,} accounts with the most evidence against them, in nats."
    return f'<p>{told}</p><div class="figures">' + _table(_COLUMNS, rows) + "</div>"


_COLUMNS: Final = ("account", "posts", "total", *COMPONENTS, "in words")


def _nats(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"


def _spread(found: RunResults) -> str:
    """How many accounts have which total, with what as many calibration people would show drawn over it."""
    if not found.totals:
        return _scoreless(found)
    people = None if found.summary is None else found.summary.people
    low, high = min(total for total, _ in found.totals), max(total for total, _ in found.totals)
    if people is not None:
        low = min(low, math.floor(10 * people.quantiles[0]))
        high = max(high, math.ceil(10 * people.quantiles[-1]), math.ceil(10 * people.threshold))
    step = max(math.ceil((high - low + 1) / BINS), 1)
    bins: Counter[tuple[int, bool]] = Counter()
    for (total, flagged), count in found.totals.items():
        bins[(total - low) // step, flagged] += count
    number = (high - low) // step + 1
    expected = [] if people is None else _expected(people, found.accounts, low, step, number)
    most = max([bins[i, False] + bins[i, True] for i in range(number)] + expected)
    width = 620 / number
    bars = []
    for i in range(number):
        bottom = 150.0
        for flagged in (False, True):
            size = 140 * bins[i, flagged] / most
            bottom -= size
            if size:
                name, left = "flagged" if flagged else "others", 10 + i * width
                bars.append(
                    f'<rect class="{name}" x="{left:.1f}" y="{bottom:.1f}" width="{max(width - 1, 1):.1f}" '
                    f'height="{size:.1f}"/>'
                )
    axis = (f'<text x="10" y="170">{low / 10:+.1f} nats</text>'
            f'<text x="630" y="170" text-anchor="end">{high / 10:+.1f} nats</text>')  # fmt: skip
    flagged_count = sum(count for (_, flagged), count in found.totals.items() if flagged)
    label = f"{found.accounts:,} accounts by total evidence, {flagged_count:,} of them flagged"
    told = f"{label}; the tallest bar is {max(bins[i, False] + bins[i, True] for i in range(number)):,} accounts."
    beside = ""
    if people is not None:
        path = "".join(
            f"{'L' if i else 'M'}{10 + i * width:.1f} {150 - 140 * value / most:.1f}H{10 + (i + 1) * width:.1f}"
            for i, value in enumerate(expected)
        )
        at = 10 + 620 * (10 * people.threshold - low) / (number * step)
        beside = (f'<path class="people" d="{path}"/>'
                  f'<line class="threshold" x1="{at:.1f}" x2="{at:.1f}" y1="10" y2="150"/>')  # fmt: skip
        told += _beside(people)
    return (f'<figure><svg viewBox="0 0 640 176" role="img" aria-label="{label}">{"".join(bars)}{beside}{axis}</svg>'
            f"<figcaption>{told}</figcaption></figure>")  # fmt: skip


def _expected(people: PeopleRecord, accounts: int, low: int, step: int, number: int) -> list[float]:
    """How many of as many people would lie in each bin, by their quantiles."""
    ends = [(low + i * step - 0.5) / 10 for i in range(number + 1)]
    share = np.interp(ends, people.quantiles, np.linspace(0, 1, len(people.quantiles)), left=0.0, right=1.0)
    return [accounts * float(value) for value in np.diff(share)]


def _beside(people: PeopleRecord) -> str:
    middle, last = people.quantiles[len(people.quantiles) // 2], people.quantiles[-2]
    which = "the highest total that each reached" if people.highest else "their totals after the last post"
    note = " A total at the end lies below the highest on the way, so the outline lies too far right." * people.highest
    return (
        f" The outline is what as many people would show, by {which}: {people.people:,} people who had no part in "
        f"training and on whom the threshold was set; half of them lie below {middle:+.1f} nats, 95% below "
        f"{last:+.1f}. The dashed line is the threshold, {people.threshold:+.1f} nats.{note}"
    )


def _abstained(found: RunResults) -> str:
    if not found.accounts:
        return _scoreless(found)
    if not found.abstained:
        return "<p>Every component judged every account.</p>"
    rows = [(_e(name), _e(reason), f"{count:,}") for (name, reason), count in found.abstained.most_common(20)]
    return _table(("component", "why it says nothing", "accounts"), rows)


_READING: Final = (
    "<p>Evidence is a log-likelihood ratio in nats: +1 means that what was seen is 2.7 times likelier for an account "
    "that a language model drives than for a person, +3 twenty times, and numbers below 0 speak for a person. "
    "<em>Text</em>, <em>behaviour</em>, <em>coordination</em> and <em>graph</em> add up to the total. An account is "
    "flagged where its total passes a threshold that was set on people. A flag is a request to look, and no verdict: "
    "some people are flagged, and some machines are not.</p>"
)

TITLE: Final = "What Swarmlight found"


def report_command(
    results: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="files that run wrote, or the folder in which they are")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="page to write; - is standard output")] = Path(
        "report.html"
    ),
    title: Annotated[str, typer.Option(metavar="TEXT", help="its heading")] = TITLE,
    network: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the network of the groups as .graphml, or its ties as .csv, .parquet"),
    ] = None,
) -> int:
    """Show what a run found on one page: what was read and lost, campaigns, accounts, scores, and what is not known.

    The page holds everything that it shows and loads nothing, so that it can be sent and kept.

    Args:
        results: alerts, details, scores, summary and dead letters; whichever there are.
    """
    check_network("--network", network)
    file = ResultFile(out, "--out")
    try:
        found = results_of(results)
        file.write(page(found, title).encode("utf-8", "replace"))
        if network is not None:
            write_network(network, found)
    except BaseException:
        file.abandon()
        raise
    file.publish()
    return 0
