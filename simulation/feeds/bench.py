"""Measures how many events a second a society with feeds makes, and its memory against the number of accounts.

`swarmlight lab bench` prints it, and starts `python -m simulation.feeds.bench` once a size, so that peak memory is of
that size alone. Exposures are made and counted and not kept: what is kept of them grows with time, not with accounts.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table

from simulation.bench import apart
from simulation.feeds.plan import FeedPlan, algorithm
from simulation.feeds.society import FeedSociety
from simulation.population_files import PRESETS, preset
from simulation.sampling import Json
from simulation.world import World
from streaming.cli import one_of, run_function

SIZES: Final = (25_000, 50_000, 100_000)
"""Accounts: three points show whether memory grows in proportion to them."""


def measure(name: str, accounts: int, days: float) -> Json:
    """Act out in this process: events and exposures (those before the start included), seconds, peak memory.

    Half of the people read by engagement, half by time.

    Args:
        name: of the preset.
        accounts: in place of its own number.
        days: in place of its own.
    """
    population = msgspec.structs.replace(preset(name), accounts=accounts, days=days)
    society = FeedSociety(
        World(population, 0), FeedPlan([(algorithm("engagement"), 0.5), (algorithm("chronological"), 0.5)])
    )
    begun, begun_cpu = time.perf_counter(), time.process_time()
    events = exposures = 0
    while society.world.now_ms < society.world.end_ms:
        step = society.step()
        events += len(step.events)
        exposures += len(step.exposures)
    return {
        "events": events, "exposures": exposures, "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time() - begun_cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def one_size(
    name: Annotated[str, typer.Option("--preset", metavar="NAME", callback=one_of(PRESETS))] = "election",
    accounts: Annotated[int, typer.Option(metavar="N", min=20)] = SIZES[0],
    days: Annotated[float, typer.Option(metavar="D")] = 1.0,
) -> int:
    """Measure one size in this process and print it as JSON.

    Args:
        name: of the preset.
        accounts: of it.
        days: of it.
    """
    print(json.dumps(measure(name, accounts, days)))
    return 0


def measured(name: str, sizes: list[int], days: float) -> list[Json]:
    """What `measure` gives of each size, each in a process of its own.

    Args:
        name: of the preset.
        sizes: accounts.
        days: acted out, after the day before the start.

    Raises:
        SwarmlightError: the process of a size failed.
    """
    return [
        apart(
            "simulation.feeds.bench",
            ["--preset", name, "--accounts", str(size), "--days", str(days)],
            f"feeds of {size} accounts",
        )
        for size in sizes
    ]


def table(title: str, sizes: list[int], rows: list[Json]) -> Table:
    """The measurements as a table.

    Args:
        title: of it.
        sizes: accounts of each row.
        rows: of `measured`.
    """
    result = Table(title=title)
    for column in ("accounts", "events", "exposures", "events/s", "events/s of processor time", "peak MiB"):
        result.add_column(column, justify="right")
    for size, row in zip(sizes, rows, strict=True):
        result.add_row(
            f"{size:,}", f"{row['events']:,}", f"{row['exposures']:,}", f"{row['events'] / row['wall_s']:,.0f}",
            f"{row['events'] / row['cpu_s']:,.0f}", f"{row['peak_mib']:.0f}",
        )  # fmt: skip
    return result


if __name__ == "__main__":
    sys.exit(run_function(one_size, "python -m simulation.feeds.bench"))
