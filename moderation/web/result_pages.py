"""The page of results, and the same numbers as CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from moderation import console_config, words
from moderation.auth import SignedIn
from moderation.decision_results import DecisionResults, Precision, Rate, results
from moderation.missed_accounts import Misses
from moderation.odds import percent
from moderation.second_looks import Agreement
from moderation.web.charts import Share, shares
from moderation.web.history_pages import ListFilters, as_csv
from moderation.web.rendering import page

router = APIRouter()

COLUMNS: Final = ("measure", "kind", "odds", "hits", "of", "share", "low_95", "high_95")


@router.get("/results")
def show_results(context: SignedIn) -> Response:
    """What the decisions came to, of all time or between two days."""
    filters = ListFilters.read(context)
    with context.read() as connection:
        found = results(connection, context.actor, context.now, *filters.times())
        texts = console_config.current(connection).policy_texts
    return page(
        context, "results.html", found=found, filters=filters, chart=_chart(found), texts=texts,
        rate_words=rate_words, agreed=agreement_words(found.agreement),
        missed=misses_words(found.misses) if found.misses is not None else "",
    )  # fmt: skip


@router.get("/results.csv")
def export_results(context: SignedIn) -> Response:
    """The numbers of the page with these filters as CSV."""
    filters = ListFilters.read(context)
    with context.read() as connection:
        found = results(connection, context.actor, context.now, *filters.times())
    return as_csv("results.csv", COLUMNS, _rows(found))


def rate_words(rate: Rate) -> str:
    """`34 of 40, 85% (70% to 94%)`; `none yet` where nothing is counted."""
    if rate.share is None:
        return "none yet"
    return f"{rate.hits:,} of {rate.of:,}, {_share(rate.share)} ({_share(rate.low)} to {_share(rate.high)})"


def _share(value: float) -> str:
    return "0%" if value == 0 else "100%" if value == 1 else percent(value)


def _chart(found: DecisionResults) -> str:
    rows = [_row(each) for each in found.precision]
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    label = f"Confirmed, of the alerts that were decided, with 95% intervals. {said}"
    return shares(rows, label) + shares(rows, label, slim=True)


def _row(each: Precision) -> Share:
    kind = words.KINDS.get(each.kind, each.kind)
    label = f"{kind}, all" if each.band == "all" else f"{kind}, {each.band}"
    said = f"{each.rate.hits:,} of {each.rate.of:,}"
    return Share(label, each.rate.share, each.rate.low, each.rate.high, said)


def _rows(found: DecisionResults) -> Iterator[Sequence[object]]:
    for each in found.precision:
        yield ("confirmed", each.kind, each.band, *_numbers(each.rate))
    yield ("taken_back", "", "", *_numbers(found.taken_back))
    yield ("restored_by_receivers", "", "", *_numbers(found.restored))
    agree, missed = found.agreement, found.misses
    if agree.pairs:
        yield ("second_looks_agree", "", "", *_numbers(Rate.counted(agree.same, agree.pairs)))
        yield (
            "second_looks_kappa",
            "",
            "",
            agree.same,
            agree.pairs,
            *map(_decimal, (agree.kappa, agree.low, agree.high)),
        )
    if missed is not None:
        yield ("missed_in_sample", "", "", missed.found, missed.decided, "", "", "")
        yield ("missed_estimated", "", "", *(f"{each:.1f}" for each in missed.number[:1]), missed.population,
               *(f"{each:.6f}" for each in missed.share()))  # fmt: skip
    for duration in found.durations:
        yield (
            "minutes_to_decide_median",
            duration.kind,
            "",
            duration.decided,
            "",
            f"{duration.median_minutes:.1f}",
            "",
            "",
        )
        yield (
            "minutes_to_decide_90",
            duration.kind,
            "",
            duration.decided,
            "",
            f"{duration.ninetieth_minutes:.1f}",
            "",
            "",
        )
    for kind, count in found.waiting.items():
        yield ("waiting", kind, "", count, "", "", "", "")
    yield ("reported_missed", "", "", found.reported, "", "", "", "")


def _decimal(value: float) -> str:
    """Four decimals; "" where there is no such number."""
    return "" if math.isnan(value) else f"{value:.4f}"


def agreement_words(found: Agreement) -> str:
    """`18 of 20, 90% (68% to 99%); Cohen's kappa 0.78 (0.48 to 1.00)`; "" where nothing was decided twice."""
    if not found.pairs:
        return ""
    said = rate_words(Rate.counted(found.same, found.pairs))
    if math.isnan(found.kappa):
        return f"{said}; all the first or all the second are of one kind, so Cohen's kappa says nothing"
    return f"{said}; Cohen's kappa {found.kappa:.2f} ({found.low:.2f} to {found.high:.2f}), where 0 is chance"


def misses_words(found: Misses) -> str:
    """The estimate of missed accounts in two sentences."""
    number, share = found.number, found.share()
    each = "each day" if found.days == 1 else f"over {found.days:,} days, each day for itself"
    return (
        f"about {_few(number.number)} of {words.counted(found.population, 'account')} that nothing flagged "
        f"({_few(number.low)} to {_few(number.high)}; {percent(share.high)} at most), {each}. "
        f"Of {found.decided:,} in the blind sample {found.found:,} {'was one' if found.found == 1 else 'were'}"
    )


def _few(value: float) -> str:
    """A number of accounts: whole, to two digits from a hundred on."""
    whole = round(value)
    return f"{whole:,}" if whole < 100 else f"{round(whole, 2 - len(str(whole))):,}"


def _numbers(rate: Rate) -> tuple[object, ...]:
    share = "" if rate.share is None else f"{rate.share:.4f}"
    return rate.hits, rate.of, share, f"{rate.low:.4f}", f"{rate.high:.4f}"
