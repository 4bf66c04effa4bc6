"""Charts as SVG, made by the server: no script, colours from the style sheet, and all that they show in words beside.

Each takes plain numbers and gives one element with `role="img"` and a label that says what it shows; a table with the
same numbers belongs beside it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

WIDTH: Final = 640
"""Units of a chart; it is drawn as wide as there is room."""

BARS: Final = 48
"""Bars of a strip: enough to see days and waves, wide enough to be seen on a phone."""

STRIP_HEIGHT: Final = 48

ROW_HEIGHT: Final = 28
LABELS: Final = 190
"""Units kept for names of rows, and at the right end for the numbers."""

NUMBERS: Final = 130

SLIM_WIDTH: Final = 320
SLIM_ROW_HEIGHT: Final = 44
"""Units of the same chart for a phone, where names and numbers stand above each row."""


def strip(times: Sequence[int], label: str) -> Markup:
    """When something happened, as bars over time; "" of fewer than two times.

    Args:
        times: ms since 1970.
        label: what the chart shows, in words.
    """
    if len(times) < 2 or max(times) == min(times):
        return Markup("")
    first, span = min(times), max(times) - min(times)
    counts = [0] * BARS
    for at in times:
        counts[min(BARS - 1, (at - first) * BARS // span)] += 1
    most = max(counts)
    step = WIDTH / BARS
    bars = Markup("").join(
        Markup('<rect x="{}" y="{}" width="{}" height="{}"/>').format(
            f"{place * step + 1:g}", f"{STRIP_HEIGHT * (1 - count / most):.1f}", f"{step - 2:g}",
            f"{STRIP_HEIGHT * count / most:.1f}",
        )
        for place, count in enumerate(counts)
        if count
    )  # fmt: skip
    return Markup(
        '<svg class="chart strip" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">{}</svg>'
    ).format(WIDTH, STRIP_HEIGHT, label, bars)


class Share(NamedTuple):
    """A row of a chart of shares, all from 0 to 1: the share, and between what it may lie.

    Args:
        label: of the row.
        share: None where there is nothing to say.
        low: least that it may be.
        high: most that it may be.
        said: the numbers, as the chart writes them behind the row.
    """

    label: str
    share: float | None
    low: float
    high: float
    said: str


def shares(rows: Sequence[Share], label: str, *, slim: bool = False) -> Markup:
    """Shares with their intervals, one below the other on one scale from 0 to 100%; "" without rows.

    Args:
        rows: from the first to the last.
        label: what the chart shows, in words.
        slim: for a phone, with names and numbers above each row instead of beside it.
    """
    if not rows:
        return Markup("")
    width, row_height = (SLIM_WIDTH, SLIM_ROW_HEIGHT) if slim else (WIDTH, ROW_HEIGHT)
    height = row_height * len(rows) + 24
    # Ends of the scale have room for half of what stands below them.
    left, room = (16, SLIM_WIDTH - 40) if slim else (LABELS, WIDTH - LABELS - NUMBERS)

    def across(value: float) -> str:
        return f"{left + room * value:.1f}"

    drawn = [
        Markup(
            '<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{1}"/><text class="tick" x="{0}" y="{2}">{3}</text>'
        ).format(across(value), row_height * len(rows), row_height * len(rows) + 18, f"{value:.0%}")
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    for place, row in enumerate(rows):
        y = row_height * place + (32 if slim else row_height / 2)
        words_y = f"{y - 12 if slim else y + 5:g}"
        drawn.append(Markup('<text class="name" x="0" y="{}">{}</text>').format(words_y, row.label))
        if row.share is not None:
            drawn.append(
                Markup(
                    '<line class="interval" x1="{}" x2="{}" y1="{}" y2="{}"/><circle cx="{}" cy="{}" r="5"/>'
                ).format(across(row.low), across(row.high), f"{y:g}", f"{y:g}", across(row.share), f"{y:g}")
            )
        drawn.append(Markup('<text class="said" x="{}" y="{}">{}</text>').format(width, words_y, row.said))
    return Markup('<svg class="chart shares{}" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        " slim" if slim else "", width, height, label, Markup("").join(drawn)
    )
