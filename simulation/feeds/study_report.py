"""The tables of `swarmlight lab feeds`: effects of four feeds beside what the study published, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table

from simulation.feeds.study import (
    FEEDS,
    OUTCOMES,
    READERS,
    Number,
    StudyParticipants,
    as_published,
    dose_table,
    effects,
    expected,
)


def study_table(everybody: Sequence[StudyParticipants], given: dict[str, float]) -> Table:
    """A row for each outcome, feed and kind of reader: d, its range over societies, and what was published.

    Args:
        everybody: societies.
        given: values of `study.numbers` by name.
    """
    found = np.array([effects(asked, given) for asked in everybody])
    published = expected(given)
    people = round(float(np.mean([len(asked.feed) for asked in everybody])))
    table = Table(title=f"d against the engagement feed; {len(everybody)} societies of some {people:,} readers")
    for column in ("outcome", "feed", "readers", "d", "95% of societies", "published", "as published"):
        table.add_column(column, justify="left" if column in ("outcome", "feed", "readers") else "right")
    for i, outcome in enumerate(OUTCOMES):
        for k in range(1, len(FEEDS)):
            wanted = published.get((outcome, FEEDS[k]))
            for j, readers in enumerate(READERS):
                values = found[:, i, j, k]
                low, high = np.percentile(values, [2.5, 97.5])
                said, share = "", ""
                if wanted is not None and readers == "all":
                    said = (
                        f"{wanted.size:+.2f}" if wanted.size is not None else ("equal", "above", "below")[wanted.sign]
                    )
                    share = f"{as_published(values, wanted, given['equal_within']):.0%}"
                elif readers == "strong" and outcome == "animosity" and wanted is not None:
                    said, share = "weaker than weak", f"{(values > found[:, i, 0, k]).mean():.0%}"
                table.add_row(
                    outcome, FEEDS[k], readers, f"{values.mean():+.2f}", f"{low:+.2f} to {high:+.2f}", said, share,
                    end_section=readers == READERS[-1],
                )  # fmt: skip
    return table


def doses(everybody: Sequence[StudyParticipants]) -> Table:
    """What people saw in each feed: mean rating that acted on them, and share of posts with a warning."""
    table = Table(title="what was seen")
    table.add_column("")
    for feed in FEEDS:
        table.add_column(feed, justify="right")
    dose, warned = dose_table(everybody)
    table.add_row("mean rating, warnings discounted", *(f"{each:.4f}" for each in dose))
    table.add_row("share of posts with a warning", *(f"{each:.1%}" for each in warned))
    return table


def numbers_table(known: Mapping[str, Number]) -> Table:
    """Every number with where it comes from."""
    table = Table(title="numbers of the study and of its model")
    for column in ("number", "value", "status", "about"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for number in known.values():
        table.add_row(number.name, f"{number.value:g}", number.status, number.about)
    return table
