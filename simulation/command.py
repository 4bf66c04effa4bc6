"""`swarmlight simulate`: a society's events and the truth about its accounts."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from detector.errors import UsageError
from simulation.arrays import Json
from simulation.files import PRESETS, explained, load, preset, written
from simulation.render import Renderer, truth
from simulation.settings import Society
from simulation.society import World
from simulation.texts.choice import writer_of
from simulation.texts.writer import Writer


def command(argv: list[str]) -> int:
    """Parse `argv` and simulate. Exit status 0."""
    options = _parser().parse_args(argv)
    society = _society(options)
    console = Console(file=sys.stderr)
    world = World(society, options.seed)
    renderer = Renderer(world)
    writer = writer_of(world, os.environ)
    events = _write(world, renderer, writer, options.events, console)
    rows = truth(world, renderer.names)
    with written(options.truth) as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
    console.print(summary(rows, events))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmlight simulate",
        description="Simulate a social network of people, crowds and operators; write its events and the truth.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--preset", metavar="NAME", help=", ".join(PRESETS))
    source.add_argument("--config", type=Path, metavar="FILE", help="a society of one's own (society.toml)")
    parser.add_argument("--events", type=Path, metavar="OUT", required=True, help=".jsonl, .jsonl.gz, .jsonl.zst or -")
    parser.add_argument("--truth", type=Path, metavar="OUT", required=True, help="who is what, one line an account")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="equal seeds give equal bytes (default 0)")
    parser.add_argument("--accounts", type=int, metavar="N", help="in place of the society's own number")
    parser.add_argument("--days", type=float, metavar="D", help="in place of the society's own")
    parser.add_argument("--people-texts", metavar="SOURCE", help="none or corpus:FILE (people's posts by author)")
    parser.add_argument(
        "--machine-texts", metavar="SOURCE", help="none, corpus:FILE, local:FOLDER, smollm2 or endpoint:ADDRESS#MODEL"
    )
    return parser


def _society(options: argparse.Namespace) -> Society:
    society = preset(options.preset) if options.preset is not None else load(options.config)
    changes = {name: getattr(options, name) for name in ("accounts", "days") if getattr(options, name) is not None}
    if options.seed < 0:
        raise UsageError("--seed is a whole number of at least 0")
    words = {"people": options.people_texts, "machines": options.machine_texts}
    texts = msgspec.structs.replace(society.texts, **{name: word for name, word in words.items() if word is not None})
    try:
        return msgspec.convert(
            msgspec.to_builtins(society) | changes | {"texts": msgspec.to_builtins(texts)}, type=Society
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"these options cannot be used: {explained(str(error))}") from None


def _write(world: World, renderer: Renderer, writer: Writer | None, path: Path, console: Console) -> int:
    """Write all events; how many."""
    total = world.end_ms - world.now_ms
    begin = world.now_ms
    events = 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
    with written(path) as file, Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        line = bar.add_task("simulating", total=total, events=0)
        for chunk in world.chunks():
            file.write(renderer.lines(chunk, writer.texts(chunk) if writer is not None else None))
            events += len(chunk)
            bar.update(line, completed=world.now_ms - begin, events=events)
    return events


def summary(rows: list[Json], events: int) -> Table:
    """What was made, by slice."""
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
