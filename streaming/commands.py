"""The commands `swarmlight run`, `worker`, `config`, `dlq` and `forget`.

Each function is one command: Typer makes its options of the parameters, whose `help` says what they are; its value is
the exit status. `run` scores files in this process (`streaming.pipeline`), the others work on Kafka and the
configuration.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO

import typer

from detector.errors import SwarmlightError, UsageError
from detector.evidence import COMPONENTS
from streaming import logs
from streaming.cli import among
from streaming.config import Config, load_config, render
from streaming.logs import shown
from streaming.pipeline import RunEnd, RunProgress, run_recording
from streaming.run_exports import RunExports
from streaming.schema.dead_letter import DeadLetter, DeadLetterCounts, letters
from streaming.sources.files import EVENTS, RecordingFiles, counted

if TYPE_CHECKING:
    from streaming.kafka.admin import RecordReplay

_LARGEST_SEED: Final = 2**32 - 1
"""Of numpy's generators."""

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file; environment variables win over it")
]

log = logging.getLogger(__name__)


def _out(name: str, what: str) -> typer.models.OptionInfo:
    """An option that names a file to write."""
    option: typer.models.OptionInfo = typer.Option(f"--{name}", metavar="FILE", help=f"write {what}")
    return option


def run_command(
    recordings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...",
            help="events, one JSON object a line or a JSON array, compressed by gzip or zstd or not, in any order; - "
            "is standard input (or files of another --format); several are sorted together by their time",
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="FILE...", help="the same as FILE... without it")
    ] = None,
    alerts: Annotated[
        Path | None,
        _out("alerts", "every revision of every alert, in order; as a table where it ends in .csv or .parquet"),
    ] = None,
    details: Annotated[
        Path | None, _out("details", "the pages behind the alerts: whole networks and time lines")
    ] = None,
    scores: Annotated[
        Path | None, _out("scores", "one line per account; as a table where it ends in .csv or .parquet")
    ] = None,
    summary: Annotated[
        Path | None, _out("summary", "one JSON object with counts, time, memory and model versions")
    ] = None,
    dead_letters: Annotated[Path | None, _out("dead-letters", "records that are no event, with the reason")] = None,
    blind_sample: Annotated[
        Path | None, _out("blind-sample", "accounts that are not flagged, blind_sample_per_day a day, to be decided on")
    ] = None,
    report: Annotated[Path | None, _out("report", "one page that shows all of it, as swarmlight report does")] = None,
    network: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the network of the groups as .graphml, or its ties as .csv, .parquet"),
    ] = None,
    trajectories: Annotated[Path | None, typer.Option(hidden=True)] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:TARGET...",
            help="send every revision of every alert there too: jsonl:FILE, kafka:[HOST:PORT], webhook:URL, "
            "parquet:FILE, ozone:FILE, ozone:URL, osprey:[HOST:PORT/TOPIC], prometheus:URL",
        ),
    ] = None,
    format_name: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="NAME",
            help="input format, as bluesky or table:account=COLUMN,at=COLUMN (docs/how-to/read.md); auto recognises it",
        ),
    ] = EVENTS,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="configuration (swarmlight config prints all keys)"),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="PART...",
            help=f"leave an evidence component out everywhere: {', '.join(COMPONENTS)}",
            callback=among(COMPONENTS),
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="seed of every random choice; over the configuration's")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="that read texts, about 1 GB each; 1 for none beside this one; as many as there are cores without it, "
            "where there is enough to read. Changes no result",
        ),
    ] = None,
) -> int:
    """Score a recording of post events to its end, with the same stages as the worker.

    It ends with one line on standard error: what became of the records, and where results are. Files of results (- is
    standard output) take the places of earlier ones when the run has succeeded; else what there is stays at
    NAME.partial.

    Exit status 0 when every record is accounted for and at least half of them are post events; 2 when an input cannot
    be read to its end (what could be read is scored) or all its times are impossible; 3 when less than half of the
    records are post events; 130 or 143 when a signal ended it.

    Args:
        recordings: what to read.
        inputs: more of it.
        trajectories: every total that was held against the threshold, which `swarmlight calibrate` reads.

    Raises:
        UsageError: unusable arguments, or input that cannot be read to its end.
        UnusableError: less than half of the records are post events.
        StoppedError: a signal ended the run.
        ModelError: weights that cannot be used.
    """
    line = ProgressLine(sys.stderr, time.monotonic)
    read = [*(recordings or ()), *(inputs or ())]
    named = {"alerts": alerts, "details": details, "scores": scores, "summary": summary, "dead-letters": dead_letters}
    with RunExports(named, read, report=report, network=network) as exports:
        files, ends = exports.files, list[RunEnd]()
        run_recording(
            read,
            config=_run_config(config, seed),
            without=without or (),
            alerts=files["alerts"],
            details=files["details"],
            scores=files["scores"],
            summary=files["summary"],
            dead_letters=files["dead-letters"],
            trajectories=trajectories,
            sinks=sink or (),
            format_name=format_name,
            keep=False,
            on_step=line.show,
            on_end=lambda end: ends.append(end) if end.complete else line.close(exports.told(end)),
            copies=exports.copies,
            blind_sample=blind_sample,
            processes=processes,
        )
        made = False
        try:
            exports.publish()
            made = True
        finally:
            for end in ends:
                line.close(exports.told(end, made=made))
    return 0


def _run_config(path: Path | None, seed: int | None) -> Config:
    config = load_config(path, os.environ)
    if seed is None:
        return config
    if not 0 <= seed <= _LARGEST_SEED:
        raise UsageError(f"--seed {seed}: it has to lie between 0 and {_LARGEST_SEED}")
    return config.model_copy(update={"seed": seed})


PROGRESS_S: Final = 0.2
"""Seconds between two lines of progress: smooth to the eye, free for the work."""


def summary_line(end: RunEnd) -> str:
    """What became of a run, on one line: what was read, what came of it, and where it is."""
    told = end.summary
    edits = f" ({told.revised:,} of them edits)" if told.revised else ""
    records = f"read {told.read:,}: {told.accepted:,} accepted{edits}, {told.duplicate:,} duplicate, {told.late:,} late"
    skipped = f", {sum(told.skipped.values()):,} skipped ({counted(told.skipped)})" if told.skipped else ""
    cut = f", {told.texts_cut:,} texts cut" if told.texts_cut else ""
    found = f"{told.accounts:,} accounts, {told.flagged:,} flagged, {told.campaigns:,} campaigns"
    if not end.complete:
        where = "not complete"
    elif end.files:
        where = ", ".join(f"{name} in {shown(path)}" for name, path in end.files.items())
    else:
        where = "nothing was kept (--scores FILE and --alerts FILE keep it)"
    alike = f" ({told.letters_left_out:,} of them like others and in no letter)" if told.letters_left_out else ""
    return f"{records}, {told.dead:,} dead{alike}{skipped}{cut}; {found}; {where}"


class ProgressLine:
    """One line on a terminal that is written over while a run lasts; anywhere, the summary at its end.

    Args:
        stream: standard error.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._on = stream.isatty()
        self._begun = clock()
        self._shown = self._begun
        self._last = RunProgress(None, 0, 0, 0, 0)

    def show(self, now: RunProgress) -> None:
        """Show how far the run is, if it is time to."""
        self._last = now
        if self._on and self._clock() - self._shown >= PROGRESS_S:
            self._shown = self._clock()
            share = f"{now.share:4.0%}  " if now.share is not None else ""
            self._write(share + (self._scored() if now.reading is None else f"reading: {now.reading:,} records"))

    def close(self, end: RunEnd) -> None:
        """Show the end: what was done, and on a terminal how fast."""
        if self._on:
            self._write(self._scored() + "\n")
        self._stream.write(summary_line(end) + "\n")
        self._stream.flush()

    def _scored(self) -> str:
        last = self._last
        rate = last.events / max(self._clock() - self._begun, 1e-9)
        return (
            f"{last.events:,} events  {rate:,.0f}/s  {last.accounts:,} accounts  "
            f"{last.flagged:,} flagged  {last.campaigns:,} campaigns"
        )

    def _write(self, text: str) -> None:
        self._stream.write(f"\r\x1b[K{text}")
        self._stream.flush()


def worker_command(
    config: ConfigFile = None,
    stage: Annotated[
        Literal["all", "score", "assess", "deliver", "compare", "choose"],
        typer.Option(
            metavar="all|score|assess|deliver|compare|choose",
            help="score: only read posts; assess: only decide, or stand by; deliver: only send alerts to [sinks]; of a "
            "[shadow], compare: say whom it adds and removes; choose: put alerts of both together",
        ),
    ] = "all",
    exit_when_idle: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="the topic is bounded: once all was read and nothing more came for SECONDS, close it and exit 0",
        ),
    ] = None,
    format_name: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="format of the posts' records; over the configuration's"),
    ] = None,
) -> int:
    """Read events from Kafka and write alerts to Kafka, until told to stop.

    Start as many as you like: they share the partitions of `posts` among them, and one of them decides.

    Args:
        exit_when_idle: seconds, finite and at least 0.
        format_name: an input format that converts single records.

    Raises:
        UsageError: unusable arguments.
    """
    if exit_when_idle is not None and not (math.isfinite(exit_when_idle) and exit_when_idle >= 0):
        raise UsageError("--exit-when-idle takes a number of seconds, 0 or more")
    from streaming.kafka.worker import build_cores, run_worker

    # Until the loops run there is nothing to finish; they install handlers of their own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    loaded = load_config(config, os.environ)
    if format_name is not None:
        kafka = loaded.kafka.model_copy(update={"posts_format": format_name})
        loaded = loaded.model_copy(update={"kafka": kafka})
    logs.configure(loaded.log)
    try:
        run_worker(loaded, stage, exit_when_idle, build_cores(loaded))
    except Exception as error:
        if loaded.log.format != "json":
            raise
        # Whoever collects the log reads one object a line, the last one above all.
        known = isinstance(error, SwarmlightError)
        log.critical("%s" if known else "unexpected error: %s", error, exc_info=None if known else error)
        return error.exit_status if isinstance(error, SwarmlightError) else 1
    return 0


def config_command(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="start from this file instead of the defaults"),
    ] = None,
) -> int:
    """Print all keys with their values, defaults and reasons, as a TOML file that can be loaded again."""
    sys.stdout.write(render(load_config(config, os.environ)))
    return 0


SHOWN: Final = 20
"""Letters printed unless asked for more: a screen."""


def dlq_command(
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help="a file written by run --dead-letters; in its place the topic dead-letters is read",
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="only letters about this field; 'record' for the record as a whole"),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="letters to print; all are counted")] = SHOWN,
    replay: Annotated[bool, typer.Option("--replay", help="send the records to posts again")] = False,
    config: ConfigFile = None,
) -> int:
    """Look at dead letters: records that are no post event, with the field and the reason.

    With --replay the original bytes go to the topic posts once more, for instance when events came before their time.
    Records over 4 KiB are not kept whole and cannot be sent. Events older than the allowed lateness will be late: what
    has to be repaired first is repaired where the events are made.

    Args:
        source: file of letters; the topic where None.
    """
    loaded = load_config(config, os.environ)
    with ExitStack() as stack:
        sender: RecordReplay | None = None
        if replay:
            from streaming.kafka.admin import RecordReplay

            sender = stack.enter_context(RecordReplay(loaded.kafka))
        tally = DeadLetterCounts()
        for letter in _letters(source, loaded, stack):
            if field is not None and field != (letter.field or "record"):
                continue
            tally.add(letter)
            if tally.letters <= limit:
                print(letter.line())
            if sender is not None:
                sender.send(letter.record())
        if sender is not None:
            sender.finish()
            print(f"{sender.sent} records sent to {sender.topic} again, {sender.incomplete} not kept whole")
    for line in tally.lines():
        print(line, file=sys.stderr)
    return 0


def _letters(path: Path | None, config: Config, stack: ExitStack) -> Iterator[DeadLetter]:
    if path is not None:
        inputs = stack.enter_context(RecordingFiles([path]))
        return letters((record.source, record.value) for record in inputs)
    from streaming.kafka.admin import dead_letters

    return letters(dead_letters(config.kafka))


def forget_command(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="name of the account, as events have it")],
    config: ConfigFile = None,
) -> int:
    """Remove everything that is kept of an account: state, alerts, scores.

    The request goes into the stream as a delete_account event, so that every replay forgets as well. What only
    retention can remove is printed.
    """
    from streaming.kafka.admin import forget

    for line in forget(load_config(config, os.environ), account):
        print(line)
    return 0
