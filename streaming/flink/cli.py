"""The command `swarmlight flink`: `swarmlight run` as a job of Apache Flink, in the environment that has it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.errors import EngineError, UsageError
from detector.evidence import COMPONENTS
from streaming.assess import AssessSettings
from streaming.cli import among
from streaming.config import load_config
from streaming.parallel.gathering import SaidRecord, decode_said
from streaming.parallel.results import run_spread, spread_line
from streaming.parallel.slices import SHARDS, SLICE_RECORDS, PostSlice, encode_line
from streaming.playback import configured_models
from streaming.sources.files import EVENTS

if TYPE_CHECKING:
    from streaming.flink.job import JobPlace, JobSettings


def flink_command(
    recordings: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="events, or files of another --format, as swarmlight run")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="folder of results: alerts, scores and so on")],
    jobmanager: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="of a cluster's REST interface; a small cluster of its own without"),
    ] = None,
    parallelism: Annotated[int, typer.Option(metavar="N", help="cores that read texts")] = 2,
    shards: Annotated[
        int, typer.Option(metavar="N", help="shards of accounts, as many as there may be cores")
    ] = SHARDS,
    work: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="that all machines see: slices, checkpoints; a temporary one without"),
    ] = None,
    checkpoint_s: Annotated[float, typer.Option(metavar="SECONDS", help="between checkpoints; 0 for none")] = 60.0,
    savepoint: Annotated[
        str | None, typer.Option(metavar="PATH", help="go on from a savepoint or checkpoint of the same work folder")
    ] = None,
    slice_records: Annotated[
        int, typer.Option(metavar="N", help="records that travel together: less is sooner, more is cheaper")
    ] = SLICE_RECORDS,
    format_name: Annotated[
        str, typer.Option("--format", metavar="NAME", help="input format, as of swarmlight run")
    ] = EVENTS,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="configuration")] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="PART...", help="evidence to leave out", callback=among(COMPONENTS)),
    ] = None,
) -> int:
    """Score recordings as a job of Apache Flink: what swarmlight run finds, on more cores and machines than one.

    Needs apache-flink and Java (make flink-setup; docs/how-to/scale.md).

    Args:
        recordings: what to read.
        out: folder of results.
        slice_records: changes no output.
        work: kept where it is given.

    Raises:
        UsageError: unusable arguments or input, or Flink is not installed.
        EngineError: the job failed.
    """
    if parallelism < 1 or shards < parallelism:
        raise UsageError(f"--parallelism {parallelism} is at least 1 and at most --shards, {shards}")
    if savepoint is not None and work is None:
        raise UsageError("--savepoint goes with the --work FOLDER of the job that made it")
    try:
        from streaming.flink.job import JobPlace, JobSettings
    except ImportError as error:
        raise UsageError(
            f"Apache Flink is not installed here ({error}): make flink-setup makes an environment with it, "
            "then .venv-flink/bin/swarmlight flink"
        ) from None
    given = load_config(config, os.environ)
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swarmlight-flink-")))
        settings = JobSettings(
            AssessSettings.from_config(given, without or ()), given.models.dir, given.models.second_stage, shards
        )
        place = JobPlace(jobmanager, parallelism, round(1000 * checkpoint_s), folder.resolve(), savepoint)
        end, told = run_spread(
            recordings,
            out,
            lambda slices: run_job(slices, settings, place),
            config=given,
            models=configured_models(given),
            format_name=format_name,
            slice_records=slice_records,
        )
    sys.stderr.write(spread_line(end, told) + "\n")
    return 0


def run_job(slices: Iterator[PostSlice], settings: JobSettings, place: JobPlace) -> Iterator[SaidRecord]:
    """Run a job to its end.

    Args:
        slices: written to the folder of the job, unless it goes on from a savepoint.
        settings: of the run.
        place: where and how.

    Raises:
        EngineError: it failed.
        UsageError: the folder cannot be written.
    """
    from streaming.flink.job import JOB, build, environment

    try:
        place.folder.mkdir(parents=True, exist_ok=True)
        if place.savepoint is None:
            shutil.rmtree(place.said, ignore_errors=True)
            with place.slices.open("wb") as file:
                for whole in slices:
                    file.write(encode_line(whole))
    except OSError as error:
        raise UsageError(f"--work {str(place.folder)!a}: {error.strerror or 'it cannot be written'}") from None
    # Python in processes of its own, also where the cluster is in this one: threads would share one core.
    os.environ["_python_worker_execution_mode"] = "process"  # noqa: SIM112 - as Flink reads it
    env = environment(place)
    build(env, settings, place)
    try:
        env.execute(JOB)
    except Exception as error:
        raise EngineError(f"the Flink job failed: {_cause(error)}") from error
    yield from said_in(place.said)


def said_in(folder: Path) -> Iterator[SaidRecord]:
    """What a job said, in order; records that it said again after a failure come again."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith((".", "_"))]
    records = [decode_said(line) for path in files for line in path.read_bytes().splitlines() if line]
    yield from sorted(records, key=lambda record: record.number)


def _cause(error: Exception) -> str:
    """The last line of Java's stack of causes that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    return (causes[-1] if causes else lines[0] if lines else type(error).__name__)[:500]
