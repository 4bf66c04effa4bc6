"""Measures how many events a second the simulator makes without texts, and its memory against the number of accounts.

`python -m simulation.bench` is the program. Each size runs in a process of its own, so that its peak memory is its own.
Events are rendered as JSON lines and written nowhere: the disk is not what is measured.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from detector.errors import SwarmlightError, UsageError
from simulation.output import Renderer
from simulation.population_files import PRESETS, preset
from simulation.sampling import Json
from simulation.world import World
from streaming.cli import one_of, run_function
from streaming.logs import shown

SIZES: Final = (25_000, 50_000, 100_000)
"""Accounts: three points show whether memory grows in proportion to them."""

SAID: Final = 500
"""Characters of a failed measurement's last words."""


def bench(
    name: Annotated[
        str, typer.Option("--preset", metavar="NAME", help=", ".join(PRESETS), callback=one_of(PRESETS))
    ] = "election",
    accounts: Annotated[
        list[int] | None,
        typer.Option(metavar="N...", min=1, help=f"sizes to measure; {', '.join(str(size) for size in SIZES)}"),
    ] = None,
    days: Annotated[float, typer.Option(metavar="D", help="in place of the preset's own")] = 2.0,
    one: Annotated[bool, typer.Option("--one", hidden=True)] = False,
) -> int:
    """Measure events a second and memory of the simulator, size by size, and print a table.

    Args:
        name: of the preset.
        accounts: sizes in place of the preset's own; `SIZES` where None.
        days: in place of the preset's own.
        one: measure the first size in this process and print what `measure` gives as JSON.

    Raises:
        UsageError: `days` is no length of time.
        SwarmlightError: the process of a size failed.
    """
    if not 0 < days < float("inf"):
        raise UsageError(f"--days {days:g}: give a number above 0")
    sizes = accounts or list(SIZES)
    if one:
        print(json.dumps(measure(name, sizes[0], days)))
        return 0
    rows = [
        apart(
            "simulation.bench",
            ["--preset", name, "--accounts", str(size), "--days", str(days), "--one"],
            f"{size} accounts",
        )
        for size in sizes
    ]
    console = Console()
    console.print(_table(f"{name}, {days:g} days, no texts", sizes, rows))
    console.print(growth(sizes, rows))
    return 0


def growth(sizes: list[int], rows: list[Json]) -> str:
    """How peak memory grows from the first size to the last, in words; nothing where there is one size."""
    if sizes[-1] == sizes[0]:
        return ""
    grown = (rows[-1]["peak_mib"] - rows[0]["peak_mib"]) / (sizes[-1] - sizes[0]) * 1024
    return f"memory: {rows[0]['peak_mib']:.0f} MiB and {grown:.2f} KiB for each further account"


def _table(title: str, sizes: list[int], rows: list[Json]) -> Table:
    table = Table(title=title)
    for column in ("accounts", "events", "events/s", "events/s of processor time", "making the people, s", "peak MiB"):
        table.add_column(column, justify="right")
    for size, row in zip(sizes, rows, strict=True):
        table.add_row(
            f"{size:,}", f"{row['events']:,}", f"{row['events'] / row['wall_s']:,.0f}",
            f"{row['events'] / row['cpu_s']:,.0f}", f"{row['build_s']:.1f}", f"{row['peak_mib']:.0f}",
        )  # fmt: skip
    return table


def measure(name: str, accounts: int, days: float) -> Json:
    """Simulate in this process: events rendered (those before the start included), seconds, peak memory.

    Args:
        name: of the preset.
        accounts: in place of its own number.
        days: in place of its own.
    """
    population = msgspec.structs.replace(preset(name), accounts=accounts, days=days)
    begun = time.perf_counter()
    world = World(population, 0)
    renderer = Renderer(world)
    built, built_cpu = time.perf_counter(), time.process_time()
    events = written = 0
    while world.now_ms < world.end_ms:
        chunk = world.step()
        events += len(chunk)
        written += len(renderer.lines(chunk))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "events": events, "wall_s": time.perf_counter() - built, "cpu_s": time.process_time() - built_cpu,
        "build_s": built - begun, "peak_mib": peak, "bytes": written,
    }  # fmt: skip


def apart(module: str, arguments: list[str], what: str) -> Json:
    """What `python -m MODULE ARGUMENTS...` prints as JSON, in a process of its own: its peak memory is its own.

    Args:
        module: to run.
        arguments: of it.
        what: is measured, for messages.

    Raises:
        SwarmlightError: the process failed.
    """
    done = subprocess.run(  # noqa: S603 - this interpreter, arguments of our own
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = shown(done.stderr.strip()[-SAID:], SAID)
        raise SwarmlightError(f"measuring {what} ended with status {done.returncode}: {said}")
    found: Json = json.loads(done.stdout)
    return found


def main(argv: list[str] | None = None) -> int:
    """Run it as a program. Exit status 0; 1 an error; 2 unusable arguments."""
    return run_function(bench, "python -m simulation.bench", argv)


if __name__ == "__main__":
    sys.exit(main())
