"""`python -m simulation.bench`: events a second without texts, and memory, against the number of accounts.

Each size runs in a process of its own, so that its peak memory is its own. Written are rendered JSON lines, to nowhere:
the disk is not what is measured.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from detector.errors import UsageError
from simulation.files import PRESETS, preset
from simulation.output import Renderer
from simulation.sampling import Json
from simulation.world import World

SIZES: Final = (25_000, 50_000, 100_000)


def main(argv: list[str] | None = None) -> int:
    """Measure every size, print a table and how memory grows."""
    parser = argparse.ArgumentParser(prog="python -m simulation.bench", description=__doc__)
    parser.add_argument("--preset", default="election", choices=PRESETS)
    parser.add_argument("--accounts", type=int, nargs="+", default=list(SIZES), metavar="N")
    parser.add_argument("--days", type=float, default=2.0)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(measure(options.preset, options.accounts[0], options.days)))
        return 0
    table = Table(title=f"{options.preset}, {options.days:g} days, no texts")
    for column in ("accounts", "events", "events/s", "events/s of processor time", "making the people, s", "peak MiB"):
        table.add_column(column, justify="right")
    rows = []
    for accounts in options.accounts:
        row = _apart(options.preset, accounts, options.days)
        rows.append(row)
        table.add_row(
            f"{accounts:,}", f"{row['events']:,}", f"{row['events'] / row['wall_s']:,.0f}",
            f"{row['events'] / row['cpu_s']:,.0f}", f"{row['build_s']:.1f}", f"{row['peak_mib']:.0f}",
        )  # fmt: skip
    console = Console()
    console.print(table)
    if len(rows) > 1:
        grown = (rows[-1]["peak_mib"] - rows[0]["peak_mib"]) / (options.accounts[-1] - options.accounts[0]) * 1024
        console.print(f"memory: {rows[0]['peak_mib']:.0f} MiB and {grown:.2f} KiB for each further account")
    return 0


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


def _apart(name: str, accounts: int, days: float) -> Json:
    arguments = ["--preset", name, "--accounts", str(accounts), "--days", str(days), "--one"]
    done = subprocess.run(  # noqa: S603 - this interpreter, arguments of our own
        [sys.executable, "-m", "simulation.bench", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UsageError(f"the measurement of {accounts} accounts failed: {done.stderr.strip()[-500:]}")
    found: Json = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
