"""The frontier between civility and engagement: what moderators reached on trial, beside their rivals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from simulation.lab.moderator_trial import FIXED, MODERATOR, NO_MODERATOR, TAX, FinishedTrial, PricingRow
from simulation.lab.polarity_report import SeedMean, estimate
from simulation.plots import CAMPAIGNS, CONTROLS, OTHERS, svg
from simulation.population_files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

AIM: Final = (0.3, 0.2)
"""Mean |p| of posts below, at no more of engagement lost."""

COLUMNS: Final = (
    "polarity of posts, last two episodes",
    "engagement lost",
    "polarity of what is followed and liked",
    "polarity of posts, whole life",
    "engagement lost",
    "aim reached, last two episodes",
)

LEARNERS: Final = {"gradient": "posters who climb a gradient", "ppo": "posters who learn by PPO"}

COLOURS: Final = {NO_MODERATOR: OTHERS, TAX: CAMPAIGNS[2], FIXED: CONTROLS, MODERATOR: CAMPAIGNS[0]}


def by_way(outcomes: Sequence[FinishedTrial], learner: str) -> Iterator[tuple[str, float, list[PricingRow]]]:
    """Name and level of each way, and its rows over populations whose posters learn so."""
    mine = sorted((one for one in outcomes if one.options.learner == learner), key=lambda one: one.options.population)
    if mine:
        for number, way in enumerate(mine[0].options.ways):
            yield way.name, way.level, [one.rows[number] for one in mine]


def _of(rows: Sequence[PricingRow], name: str) -> SeedMean:
    return estimate([getattr(row, name) for row in rows])


def _called(name: str, level: float) -> str:
    return {NO_MODERATOR: name, TAX: f"{name} {level:g}"}.get(name, f"{name}, engagement weighs {level:g}")


def frontier_table(outcomes: Sequence[FinishedTrial]) -> str:
    """Means over populations with intervals, in Markdown: a table for each kind of poster."""
    lines: list[str] = []
    for learner, called in LEARNERS.items():
        ways = list(by_way(outcomes, learner))
        if not ways:
            continue
        lines += [
            *([""] if lines else []),
            f"| {called} | {' | '.join(COLUMNS)} |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name, level, rows in ways:
            reached = sum(row.late_polarity < AIM[0] and row.late_lost <= AIM[1] for row in rows)
            lines.append(
                f"| {_called(name, level)} | {_of(rows, 'late_polarity')} | {_of(rows, 'late_lost')} "
                f"| {_of(rows, 'late_seen')} | {_of(rows, 'polarity')} | {_of(rows, 'lost')} "
                f"| {reached} of {len(rows)} |"
            )
    return "\n".join(lines) + "\n"


def frontier_rows(outcomes: Sequence[FinishedTrial], path: Path) -> None:
    """A row for each way and population as CSV.

    Raises:
        UsageError: the file cannot be written.
    """
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["learner", "population", *PricingRow.__struct_fields__])
    for one in sorted(outcomes, key=lambda each: (each.options.learner, each.options.population)):
        for row in one.rows:
            table.writerow([one.options.learner, one.options.population, *msgspec.structs.astuple(row)])
    with written(path) as file:
        file.write(out.getvalue().encode())


def frontier_drawing(outcomes: Sequence[FinishedTrial]) -> str:
    """Polarity of posts against engagement lost, in the last two episodes and over a whole life. SVG."""

    def draw(figure: Figure) -> None:
        shown = (("late_lost", "late_polarity", "last two episodes"), ("lost", "polarity", "whole life"))
        for axes, (across, up, title) in zip(figure.subplots(1, 2), shown, strict=True):
            axes.add_patch(_aim())
            for way in (NO_MODERATOR, TAX, FIXED, MODERATOR):
                points = [
                    (_of(rows, across), _of(rows, up)) for name, _, rows in by_way(outcomes, "gradient") if name == way
                ]
                if not points:
                    continue
                x, y = np.array([[each.mean for each in point] for point in points]).T
                half = np.array([[each.high - each.mean for each in point] for point in points]).T
                axes.errorbar(
                    x, y, np.nan_to_num(half[1]), np.nan_to_num(half[0]),
                    marker="o", markersize=4, linewidth=1.2, color=COLOURS[way], label=way, gid=f"{up}-{way}",
                )  # fmt: skip
            axes.set_title(title)
            axes.set_xlabel("share of engagement lost")
            axes.set_ylabel("mean absolute polarity of posts")
            axes.set_xlim(-0.08, 1.0)
            axes.set_ylim(0, 1.05)
        axes.legend(frameon=False, loc="upper right")

    return svg(draw, "Civility and engagement", (9.0, 3.8))


def _aim() -> Rectangle:
    """The corner of the aim."""
    from matplotlib.patches import Rectangle

    return Rectangle((-0.08, 0), AIM[1] + 0.08, AIM[0], color=CONTROLS, alpha=0.12, linewidth=0)
