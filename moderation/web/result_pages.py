"""The page of results, and the same numbers as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from moderation import console_config, words
from moderation.auth import SignedIn
from moderation.odds import percent
from moderation.results import Precision, Rate, Results, results
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
        rate_words=rate_words,
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


def _chart(found: Results) -> str:
    rows = [_row(each) for each in found.precision]
    said = "; ".join(f"{row.label}: {row.said}" for row in rows)
    return shares(rows, f"Confirmed, of the alerts that were decided, with 95% intervals. {said}")


def _row(each: Precision) -> Share:
    kind = words.KINDS.get(each.kind, each.kind)
    label = f"{kind}, all" if each.band == "all" else f"{kind}, {each.band}"
    said = f"{each.rate.hits:,} of {each.rate.of:,}"
    return Share(label, each.rate.share, each.rate.low, each.rate.high, said)


def _rows(found: Results) -> Iterator[Sequence[object]]:
    for each in found.precision:
        yield ("confirmed", each.kind, each.band, *_numbers(each.rate))
    yield ("taken_back", "", "", *_numbers(found.taken_back))
    yield ("restored_by_receivers", "", "", *_numbers(found.restored))
    for name, fact in (("agreement", found.agreement), ("missed", found.misses)):
        if fact is not None:
            yield (name, "", "", *_numbers(fact.rate))
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


def _numbers(rate: Rate) -> tuple[object, ...]:
    share = "" if rate.share is None else f"{rate.share:.4f}"
    return rate.hits, rate.of, share, f"{rate.low:.4f}", f"{rate.high:.4f}"
