"""The command `swarmlight simulate`: acts out a population and writes its events, the truth, drawings and reports.

In: a preset or a TOML file, a seed, and options. Out: events as JSON lines or to Kafka, one line of truth for each
account, a drawing, a comparison with a real stream, the metadata check, or the game of an operator who learns. What is
printed for people goes to standard error, except tables that were asked for.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from detector.errors import UsageError
from detector.times import format_time, parse_time
from simulation.content.language_models import writer_of
from simulation.output import KafkaSink, Pace, Renderer, truth
from simulation.plots import Plot, require_matplotlib
from simulation.population_config import PopulationConfig
from simulation.population_files import PRESETS, explained, load, preset, written
from simulation.realism import report
from simulation.redteam.adaptive import GameOptions, adaptive
from simulation.sampling import DAY_MS, Json
from simulation.validate import BOOSTED, CONTROLS, SINGLE, MetadataReport, judge
from simulation.world import Chunk, World
from streaming.config import load_config
from streaming.ingest_cli import as_events
from streaming.sources.files import EVENTS


def summary(rows: list[Json], events: int) -> Table:
    """A simulated population by slice, from its truth."""
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


def gate_table(found: MetadataReport, *, easy: bool) -> Table:
    """What the metadata check found; `easy` where the population is meant to be easy and no bound applies."""
    name, single = found.worst
    title = f"metadata of {found.machines:,} machines and {found.people:,} people"
    table = Table(title=title + (" (meant to be easy: no bound applies)" if easy else ""))
    for column in ("what metadata tell", "AUROC", "bound"):
        table.add_column(column, justify="left" if column.startswith("what") else "right")
    rows = (
        ("machines from people, gradient boosting", found.boosted, BOOSTED),
        (f"machines from people, `{name}` alone", single, SINGLE),
        ("campaign members from their matched controls", found.controls, CONTROLS),
    )
    for what, value, bound in rows:
        table.add_row(what, f"{value:.3f}", f"{bound:.2f}", style="red" if value > bound and not easy else "")
    return table


class _Outputs(NamedTuple):
    """Where a simulation is to be written, and how fast. `settings`: the configuration that names the broker."""

    events: Path | None
    truth: Path | None
    to_kafka: str | None
    plot: Path | None
    rate: float
    settings: Path | None


def simulate_command(
    preset_name: Annotated[str | None, typer.Option("--preset", metavar="NAME", help=", ".join(PRESETS))] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a simulated population of one's own (society.toml)")
    ] = None,
    events: Annotated[
        Path | None, typer.Option(metavar="OUT", help=".jsonl, .jsonl.gz, .jsonl.zst or - for the events")
    ] = None,
    truth: Annotated[Path | None, typer.Option(metavar="OUT", help="who is what: one line an account")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="equal seeds give equal bytes")] = 0,
    accounts: Annotated[int | None, typer.Option(metavar="N", help="in place of the population's own number")] = None,
    days: Annotated[float | None, typer.Option(metavar="D", help="in place of the population's own")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|now",
            help="when its events begin, in place of the population's own (2024); now: so that they end now",
        ),
    ] = None,
    people_texts: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="none, demo or corpus:FILE (people's posts by author)")
    ] = None,
    machine_texts: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="none, demo, corpus:FILE, local:FOLDER, smollm2 or endpoint:ADDRESS#MODEL"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.svg", help="draw the network, and activity over time")
    ] = None,
    to_kafka: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:PORT]",
            help="send the events to the topic `posts` (the load generator); the broker is the configuration's unless "
            "named here",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(metavar="N", help="events a second to Kafka; 0: all it takes")] = 0.0,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Swarmlight's configuration, for its [kafka]")
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="REAL",
            help="compare with a real stream (.jsonl[.gz|.zst] of post events, or a .parquet or .csv of who shared "
            "what, when) and say what misses",
        ),
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format of the real stream, as in run")
    ] = EVENTS,
    report_out: Annotated[
        Path | None, typer.Option(metavar="OUT.md", help="write that comparison into this page too")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--adaptive",
            metavar="ROUNDS",
            help="play an operator who learns from what the detector flags, and one who does not, among these people; "
            "--plot draws the curve",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="OUT.json", help="write that game: plans, recall, round by round")
    ] = None,
    work: Annotated[
        Path | None, typer.Option(metavar="DIR", help="keep its rounds here, so that a broken game goes on")
    ] = None,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="models to play it against, not the shipped ones")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="fail (exit 1) where metadata alone tell who is a machine")
    ] = False,
) -> int:
    """Simulate a social network of people, crowds and operators; write its events and the truth.

    Args:
        preset_name, config: a population that comes with Swarmlight, or a file of one's own; one of the two.
        events, truth, plot: files to write; None for none.
        seed: of the population, at least 0.
        accounts, days, start: in place of the population's own.
        people_texts, machine_texts: sources of texts in place of its own.
        to_kafka: send the events: to this broker, or where empty to that of `settings`.
        rate: events a second, 0 for as many as the broker takes.
        settings: Swarmlight's configuration.
        real, report_out: a stream to compare with, and a page that takes the comparison.
        format_name: of that stream.
        rounds, out, work, models: of the adaptive operator's game: its length, its file, its folder, and the models
            that it is played against.
        gate: check what metadata tell.

    Returns:
        0; 1 where `gate` finds that metadata tell too much.

    Raises:
        UsageError: options that cannot be used, or not together.
    """
    wanted = _Outputs(events, truth, to_kafka, plot, rate, settings)
    outputs = {"events": events, "truth": truth, "to-kafka": to_kafka, "plot": plot, "report": real,
               "gate": gate or None, "adaptive": rounds}  # fmt: skip
    asked = {name for name, value in outputs.items() if value is not None}
    if (preset_name is None) == (config is None):
        raise UsageError("simulate: name one population, by --preset NAME or by --config FILE")
    if not asked:
        raise UsageError(f"nothing to do: name at least one of {', '.join(f'--{name}' for name in outputs)}")
    if seed < 0:
        raise UsageError("--seed is a whole number of at least 0")
    if not 0 <= rate < float("inf"):
        raise UsageError("--rate is a number of events a second, or 0 for as many as the broker takes")
    population = _changed(
        preset(preset_name) if preset_name is not None else load(config or Path()),
        {"accounts": accounts, "days": days},
        {"people": people_texts, "machines": machine_texts},
    )
    if start is not None:
        population = _moved(population, start, time.time_ns() // 1_000_000)
    console = Console(file=sys.stderr)
    if rounds is not None:
        if asked - {"adaptive", "plot"}:
            raise UsageError("--adaptive plays a game of its own: ask for events, truth, report or gate in another run")
        adaptive(GameOptions(rounds, seed, people_texts, machine_texts, models), population, console, out, plot, work)
        return 0
    if out is not None or work is not None or models is not None:
        raise UsageError("--out, --work and --models go with --adaptive")
    if real is not None:
        with tempfile.TemporaryDirectory() as scratch:
            report(population, seed, as_events(real, format_name, Path(scratch)), Console(), report_out)
    if gate:
        console.print("simulating, then training on metadata alone ...")
        world = World(population, seed)
        found = judge(world, world.chunks())
        Console().print(gate_table(found, easy=population.easy))
        if found.failures() and not population.easy:
            return 1
    if asked - {"report", "gate"}:
        _simulate(World(population, seed), wanted, console)
    return 0


def _moved(population: PopulationConfig, start: str, now_ms: int) -> PopulationConfig:
    """The same population at another time.

    Args:
        population: what is moved.
        start: when its events begin, or "now" where they are to end then.
        now_ms: the present, ms since 1970.

    Raises:
        UsageError: `start` is neither.
    """
    if start == "now":
        # A whole minute, which every step of the simulation divides or is divided by.
        begin_ms = (now_ms - round(population.days * DAY_MS)) // 60_000 * 60_000
        start = format_time(begin_ms)
    elif parse_time(start) is None:
        raise UsageError("--start: write a time with offset, such as 2026-03-04T00:00:00Z, or now")
    return msgspec.structs.replace(population, start=start)


def _changed(
    population: PopulationConfig, numbers: dict[str, float | None], sources: dict[str, str | None]
) -> PopulationConfig:
    """The simulated population with what the options say in place of its own."""
    texts = msgspec.structs.replace(
        population.texts, **{name: word for name, word in sources.items() if word is not None}
    )
    changes = {name: value for name, value in numbers.items() if value is not None}
    try:
        return msgspec.convert(
            msgspec.to_builtins(population) | changes | {"texts": msgspec.to_builtins(texts)}, type=PopulationConfig
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"these options cannot be used: {explained(str(error))}") from None


def _simulate(world: World, options: _Outputs, console: Console) -> None:
    """Act the world out, once, into everything that was asked for."""
    if options.plot is not None:
        require_matplotlib()
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
    if plot is not None and options.plot is not None:
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


def _kafka(options: _Outputs) -> KafkaSink:
    kafka = load_config(options.settings, os.environ).kafka
    if options.to_kafka:
        kafka = kafka.model_copy(update={"bootstrap_servers": options.to_kafka})
    return KafkaSink(kafka, Pace(options.rate))
