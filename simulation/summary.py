"""What was made and what it tells, as tables for a terminal."""

from __future__ import annotations

from collections import Counter

from rich.table import Table

from simulation.arrays import Json
from simulation.gate import BOOSTED, SINGLE, TWINS, Verdict


def summary(rows: list[Json], events: int) -> Table:
    """A society by slice, from its truth."""
    table = Table(title=f"{events:,} events by {len(rows):,} accounts")
    for column in ("slice", "accounts", "machines", "campaigns", "groups"):
        table.add_column(column, justify="left" if column == "slice" else "right")
    for name, count in sorted(Counter(str(row["slice"]) for row in rows).items(), key=lambda item: (-item[1], item[0])):
        mine = [row for row in rows if row["slice"] == name]
        machines = sum(int(row["label"]) for row in mine)
        campaigns = {row["campaign"] for row in mine} - {None}
        groups = {row["group"] for row in mine} - {None}
        table.add_row(name, *(f"{value:,}" for value in (count, machines, len(campaigns), len(groups))))
    return table


def verdict(found: Verdict, *, easy: bool) -> Table:
    """What the gate of metadata found."""
    name, single = found.worst
    title = f"metadata of {found.machines:,} machines and {found.people:,} people"
    table = Table(title=title + (" (meant to be easy: no bound applies)" if easy else ""))
    for column in ("what metadata tell", "AUROC", "bound"):
        table.add_column(column, justify="left" if column.startswith("what") else "right")
    rows = (
        ("machines from people, gradient boosting", found.boosted, BOOSTED),
        (f"machines from people, `{name}` alone", single, SINGLE),
        ("campaign members from their organic twins", found.twins, TWINS),
    )
    for what, value, bound in rows:
        table.add_row(what, f"{value:.3f}", f"{bound:.2f}", style="red" if value > bound and not easy else "")
    return table
