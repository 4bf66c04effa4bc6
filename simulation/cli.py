"""What was made and what it tells, as tables for a terminal.

`swarmlight simulate`: a society's events, the truth about its accounts, and what there is to know about both.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from detector.errors import UsageError
from simulation.content.models import writer_of
from simulation.files import PRESETS, explained, load, preset, written
from simulation.output import KafkaSink, Pace, Renderer, truth
from simulation.plots import Plot
from simulation.realism import report
from simulation.redteam.adaptive import adaptive
from simulation.sampling import Json
from simulation.settings import Society
from simulation.validate import BOOSTED, SINGLE, TWINS, Verdict, judge
from simulation.world import Chunk, World
from streaming.config import load_config


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


OUTPUTS = ("events", "truth", "to_kafka", "plot", "report", "gate", "adaptive")


def command(argv: list[str]) -> int:
    """Parse `argv` and simulate. Exit status 0; 1 where `--gate` finds that metadata tell too much."""
    options = _parser().parse_args(argv)
    asked = [name for name in OUTPUTS if getattr(options, name) is not None and getattr(options, name) is not False]
    if not asked:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in OUTPUTS)
        raise UsageError(f"nothing to do: name at least one of {names}")
    society = _society(options)
    console = Console(file=sys.stderr)
    if options.adaptive is not None:
        if set(asked) - {"adaptive", "plot"}:
            raise UsageError("--adaptive plays a game of its own: ask for events, truth, report or gate in another run")
        adaptive(options, society, console)
        return 0
    if options.out is not None or options.work is not None or options.models is not None:
        raise UsageError("--out, --work and --models go with --adaptive")
    if options.report is not None:
        report(society, options.seed, options.report, Console(), options.report_out)
    if options.gate:
        console.print("simulating, then training on metadata alone ...")
        world = World(society, options.seed)
        found = judge(world, world.chunks())
        Console().print(verdict(found, easy=society.easy))
        if found.failures() and not society.easy:
            return 1
    if set(asked) - {"report", "gate"}:
        _simulate(World(society, options.seed), options, console)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarmlight simulate",
        description="Simulate a social network of people, crowds and operators; write its events and the truth.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--preset", metavar="NAME", help=", ".join(PRESETS))
    source.add_argument("--config", type=Path, metavar="FILE", help="a society of one's own (society.toml)")
    parser.add_argument("--events", type=Path, metavar="OUT", help=".jsonl, .jsonl.gz, .jsonl.zst or - for the events")
    parser.add_argument("--truth", type=Path, metavar="OUT", help="who is what: one line an account")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="equal seeds give equal bytes (default 0)")
    parser.add_argument("--accounts", type=int, metavar="N", help="in place of the society's own number")
    parser.add_argument("--days", type=float, metavar="D", help="in place of the society's own")
    parser.add_argument("--people-texts", metavar="SOURCE", help="none, demo or corpus:FILE (people's posts by author)")
    parser.add_argument(
        "--machine-texts",
        metavar="SOURCE",
        help="none, demo, corpus:FILE, local:FOLDER, smollm2 or endpoint:ADDRESS#MODEL",
    )
    parser.add_argument("--plot", type=Path, metavar="OUT.svg", help="draw the network, and activity over time")
    parser.add_argument(
        "--to-kafka", nargs="?", const="", metavar="HOST:PORT", help="send the events to the topic `posts` (the load "
        "generator); the broker is the configuration's unless named here",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=float, default=0.0, metavar="N", help="events a second to Kafka; 0: all it takes"
    )
    parser.add_argument("--settings", type=Path, metavar="FILE", help="Swarmlight's configuration, for its [kafka]")
    parser.add_argument(
        "--report", type=Path, metavar="REAL", help="compare with a real stream (.jsonl[.gz|.zst] of post events, or "
        "a .parquet or .csv of who shared what, when) and say what misses",
    )  # fmt: skip
    parser.add_argument("--report-out", type=Path, metavar="OUT.md", help="write that comparison into this page too")
    parser.add_argument(
        "--adaptive", type=int, metavar="ROUNDS", help="play an operator who learns from what the detector flags, and "
        "one who does not, among the society's people; --plot draws the curve",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="OUT.json", help="write that game: plans, recall, round by round")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep its rounds here, so that a broken game goes on")
    parser.add_argument("--models", type=Path, metavar="DIR", help="models to play it against, not the shipped ones")
    parser.add_argument("--gate", action="store_true", help="fail (exit 1) where metadata alone tell who is a machine")
    return parser


def _society(options: argparse.Namespace) -> Society:
    society = preset(options.preset) if options.preset is not None else load(options.config)
    changes = {name: getattr(options, name) for name in ("accounts", "days") if getattr(options, name) is not None}
    if options.seed < 0:
        raise UsageError("--seed is a whole number of at least 0")
    if not 0 <= options.rate < float("inf"):
        raise UsageError("--rate is a number of events a second, or 0 for as many as the broker takes")
    words = {"people": options.people_texts, "machines": options.machine_texts}
    texts = msgspec.structs.replace(society.texts, **{name: word for name, word in words.items() if word is not None})
    try:
        return msgspec.convert(
            msgspec.to_builtins(society) | changes | {"texts": msgspec.to_builtins(texts)}, type=Society
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"these options cannot be used: {explained(str(error))}") from None


def _simulate(world: World, options: argparse.Namespace, console: Console) -> None:
    """Act the world out, once, into everything that was asked for."""
    renderer = Renderer(world)
    writer = writer_of(world, os.environ)
    plot = Plot(world) if options.plot is not None else None
    events = 0
    with ExitStack() as stack:
        file = stack.enter_context(written(options.events)) if options.events is not None else None
        sink = _kafka(options) if options.to_kafka is not None else None
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[events]:,} events"))
        bar = stack.enter_context(Progress(*columns, TimeRemainingColumn(), console=console, transient=True))
        begin = world.now_ms
        line = bar.add_task("simulating", total=world.end_ms - begin, events=0)
        for chunk in world.chunks():
            rows = renderer.rows(chunk, writer.texts(chunk) if writer is not None else None)
            _give(chunk, rows, renderer, file, sink)
            if plot is not None:
                plot.take(chunk)
            events += len(rows)
            bar.update(line, completed=world.now_ms - begin, events=events)
        if sink is not None:
            sink.close()
            console.print(f"{sink.pace.sent:,} events to {sink.topic}, {sink.pace.reached():,.0f} a second")
    if plot is not None:
        plot.write(options.plot)
    facts = truth(world, renderer.names)
    if options.truth is not None:
        with written(options.truth) as file:
            for row in facts:
                file.write(msgspec.json.encode(row) + b"\n")
    console.print(summary(facts, events))


def _give(chunk: Chunk, rows: list[str], renderer: Renderer, file: IO[bytes] | None, sink: KafkaSink | None) -> None:
    if file is not None and rows:
        file.write(("\n".join(rows) + "\n").encode())
    if sink is not None:
        sink.send([renderer.names[account] for account in chunk.account.tolist()], rows)


def _kafka(options: argparse.Namespace) -> KafkaSink:
    kafka = load_config(options.settings, os.environ).kafka
    if options.to_kafka:
        kafka = msgspec.structs.replace(kafka, bootstrap_servers=options.to_kafka)
    return KafkaSink(kafka, Pace(options.rate))
