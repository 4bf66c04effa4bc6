"""Prints the realism report, and writes it into a page between two marks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from detector.errors import UsageError
from simulation.arrays import stream
from simulation.chunk import Chunk
from simulation.report.acts import Acts, like, of_chunk, read
from simulation.report.compare import Estimate, Line, compare
from simulation.settings import Society
from simulation.society import World

LONGEST_DAYS: Final = 14.0
"""A real stream may be of months; a society is compared over its first two weeks."""

COLOURS: Final = {"fits": "green", "near": "yellow", "misses": "red"}


def report(society: Society, seed: int, path: Path, console: Console, page: Path | None) -> list[Line]:
    """Compare a simulated society with the real stream in `path`; print, and write into `page` where given.

    Raises:
        UsageError: the real stream or the page cannot be used.
    """
    real = read(path)
    accounts = len(np.unique(real.account))
    days = min(max(real.days, 1.0), LONGEST_DAYS)
    enough = max(society.accounts, 2 * accounts)
    world = World(msgspec.structs.replace(society, days=days, accounts=enough), seed)
    rng = stream(seed, "report")
    simulated = like(of_chunk(Chunk.joined(list(world.chunks()))), real, rng)
    if len(simulated) < 2:
        raise UsageError(f"{path}: the society has no acts of the kinds in it, so there is nothing to compare")
    lines = compare(real, simulated, rng)
    console.print(table(path.name, lines, real, simulated))
    missing = [line.name for line in lines if line.judgement == "misses"]
    console.print(sentence(lines, missing))
    if page is not None:
        _into(page, path.name, lines, real, simulated)
    return lines


def sentence(lines: list[Line], missing: list[str]) -> str:
    """What the report comes to, in words."""
    if not missing:
        return f"None of {len(lines)} facts misses."
    return f"{len(missing)} of {len(lines)} facts miss: {'; '.join(missing)}."


def table(name: str, lines: list[Line], real: Acts, simulated: Acts) -> Table:
    """The report for a terminal."""
    made = Table(title=f"{name}: {_size(real)}; simulated: {_size(simulated)}")
    for column in ("fact", "real", "simulated", ""):
        made.add_column(column, justify="left" if column in ("fact", "") else "right")
    for line in lines:
        style = COLOURS[line.judgement]
        made.add_row(line.name, _shown(line.real), _shown(line.simulated), f"[{style}]{line.judgement}[/]")
    return made


def _size(acts: Acts) -> str:
    return f"{len(acts):,} acts, {len(np.unique(acts.account)):,} accounts, {acts.days:.1f} days"


def _shown(estimate: Estimate) -> str:
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _into(page: Path, name: str, lines: list[Line], real: Acts, simulated: Acts) -> None:
    """Put the report into a page, in the place of the last one about the same stream."""
    begin, end = f"<!-- realism {name} -->", f"<!-- end realism {name} -->"
    missing = [line.name for line in lines if line.judgement == "misses"]
    rows = [f"| {line.name} | {_shown(line.real)} | {_shown(line.simulated)} | {line.judgement} |" for line in lines]
    text = "\n".join([
        begin, f"**{name}**: {_size(real)}. Simulated: {_size(simulated)}.", "", "| fact | real | simulated | |",
        "| --- | --- | --- | --- |", *rows, "", sentence(lines, missing), end,
    ])  # fmt: skip
    try:
        before = page.read_text(encoding="utf-8") if page.exists() else ""
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(before)
        after = (
            before[: found.start()] + text + before[found.end() :] if found else before.rstrip() + "\n\n" + text + "\n"
        )
        page.write_text(after.lstrip(), encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{page}: cannot be rewritten: {error}") from None
