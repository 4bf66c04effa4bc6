"""Recordings from files to files: what `swarmlight run` runs, and training and the red team with it.

`run_recording` takes recordings (files of post events) to their end and gives score rows, alerts and a summary. Texts
are read in this process or in others beside it (`streaming.parallel.reader_processes`), with the same result to the
last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from detector.errors import StoppedError, UnusableError, UsageError
from detector.models import Models
from streaming.assess import (
    AlertRevision,
    Assess,
    AssessSettings,
)
from streaming.assess.groups import SearchWatch
from streaming.config import Config, load_config
from streaming.interrupts import Interrupts
from streaming.logs import shown
from streaming.parallel.reader_processes import ReaderProcesses, processes_for
from streaming.playback import configured_models, live_reranker, models_folder, play, scorer_of
from streaming.run_totals import RunTotals, is_usable, run_summary
from streaming.schema.dead_letter import DeadLetterCounts
from streaming.schema.run_summary import RunSummary
from streaming.schema.score import ScoreRecord
from streaming.score import Scorer
from streaming.sinks.files import Outputs
from streaming.sources.base import SourceRecord
from streaming.sources.files import EVENTS, RecordingFiles, nothing_but
from streaming.sources.guess import check_times


class RunProgress(NamedTuple):
    """How far a run is.

    Args:
        share: of the work, 0 to 1: of the input's bytes while it is read (None where its size is unknown, as of
            standard input), then of its records.
        events: records settled so far, of every outcome.
        accounts, flagged, campaigns: accounts with a score row, flagged ones, open campaign alerts.
        reading: how many records were read so far, while they are read and put in order; None after that.
    """

    share: float | None
    events: int
    accounts: int
    flagged: int
    campaigns: int
    reading: int | None = None


class RunEnd(NamedTuple):
    """What a run ends with, complete or not.

    Args:
        summary: counts, cost and models.
        files: the files that were asked for, by the names of their options.
        complete: whether all was read and scored, and the files have their names.
    """

    summary: RunSummary
    files: Mapping[str, Path]
    complete: bool


@dataclass(frozen=True)
class RunResult:
    """What a run found.

    Args:
        summary: counts, cost and models.
        scores: one for every account, by name, as in `--scores`; empty where nothing was to be kept.
        alerts: every revision of every alert in order, as in `--alerts`; empty where nothing was to be kept.
    """

    summary: RunSummary
    scores: list[ScoreRecord]
    alerts: list[AlertRevision]


def run_recording(
    inputs: Sequence[str | Path],
    *,
    config: Config | None = None,
    models: Models | Path | None = None,
    without: Iterable[str] = (),
    alerts: Path | None = None,
    details: Path | None = None,
    scores: Path | None = None,
    summary: Path | None = None,
    dead_letters: Path | None = None,
    trajectories: Path | None = None,
    on_search: SearchWatch | None = None,
    sinks: Sequence[str] = (),
    format_name: str = EVENTS,
    keep: bool = True,
    on_step: Callable[[RunProgress], None] | None = None,
    on_end: Callable[[RunEnd], None] | None = None,
    stdin: BufferedReader | None = None,
    copies: Mapping[str, Path] | None = None,
    blind_sample: Path | None = None,
    processes: int | None = 1,
) -> RunResult:
    """Score recordings to their end with the same stages as the worker.

    Records may be in any order: they are sorted by time first. Files take the places of earlier ones when the run has
    succeeded; else what there is stays at `NAME.partial`, and earlier files are as they were.

    The result depends on the events, the models and the configuration alone: equal calls give equal rows. The
    process's environment is not read; `load_config(None, {"SWARMLIGHT_TARGET_FPR": "0.05"})` sets single values.

    Args:
        inputs: recordings, compressed by gzip or zstd or not, or `-` for standard input; together sorted by event time.
        config: settings; the defaults where None.
        models: loaded models, or a models directory; `[models] dir` of the configuration where None, and without
            one the shipped models.
        without: parts of the evidence to leave out everywhere (`text`, `behaviour`, `coordination`, `graph`).
        alerts: file for every revision of every alert; a table where its name ends in `.csv` or `.parquet`.
        details: file for the pages behind the alerts.
        scores: file for one line, or row, per account; a table likewise.
        summary: file for the summary.
        dead_letters: file for records that are no post event.
        trajectories: file for every total that was held against the threshold; `swarmlight calibrate` reads it.
        on_search: told every search among suspects; `swarmlight train graph` learns from it.
        sinks: further places for every revision of every alert, `NAME:TARGET` (`streaming.sinks.base`).
        format_name: input format of the recordings (`streaming.sources.base`), or `auto` to recognise it.
        keep: whether the result carries score rows and alerts. A recording of millions of accounts goes to files.
        on_step: told while records are read, and after every chunk of them that was scored.
        on_end: told once at the end, also of a run that is going to raise because its input was not usable.
        stdin: what `-` reads; the process's own where None.
        copies: further files of `alerts` and `scores` as JSON lines, where those that were asked for are tables.
        blind_sample: file for accounts that are not flagged, drawn to be decided on (`blind_sample_per_day`).
        processes: that read texts: 1 reads them in this one, None takes as many as the machine has cores, where there
            are records enough for that. They load models themselves, so loaded ones are read with here. Changes no row.

    Returns:
        Summary, and with `keep` score rows and alerts.

    Raises:
        UsageError: no input, one that cannot be read to its end (what could be read is scored), times that are all
            before 2000 or in the future, a file that cannot be written, an unknown part, format or sink.
        UnusableError: there are records, and less than half of them are post events.
        StoppedError: SIGINT or SIGTERM came; what was scored until then is in the partial files.
        ModelError: weights that cannot be used.
    """
    started = time.monotonic()
    given = config if config is not None else load_config(None, {})
    settings = AssessSettings.from_config(given, without)
    with ExitStack() as stack:
        read = stack.enter_context(RecordingFiles(inputs, stdin, format_name, keep_readable=True))
        outputs = stack.enter_context(
            Outputs(
                alerts=alerts,
                details=details,
                scores=scores,
                dead_letters=dead_letters,
                summary=summary,
                trajectories=trajectories,
                inputs=[str(name) for name in inputs],
                sinks=sinks,
                config=given,
                copies=copies,
                blind_sample=blind_sample,
            )
        )
        bundle = models if isinstance(models, Models) else configured_models(given, models)
        assess = Assess(settings, bundle, partitions=1)
        if trajectories is not None:
            assess.watch(outputs.write_trajectory)
        if on_search is not None:
            assess.watch_searches(on_search)
        interrupts = stack.enter_context(Interrupts())
        run = _RecordReader(read, assess, on_step)
        kept: list[AlertRevision] = []
        problems = DeadLetterCounts()
        texts_of: Scorer | ReaderProcesses
        try:
            records = run.in_order()
            interrupts.patient = True
            many = processes_for(run.count) if processes is None else processes
            if many > 1 and not isinstance(models, Models):
                place = models_folder(given, models)
                readers = stack.enter_context(ReaderProcesses(settings, place, given.models.second_stage, many))
                texts_of, steps = readers, readers.play(records, assess, live_reranker(bundle), _now_ms())
            else:
                texts_of = scorer_of(bundle, settings)
                steps = play(records, assess, texts_of, live_reranker(bundle), _now_ms)
            for step in steps:
                outputs.write(step)
                for letter in step.letters:
                    problems.add(letter)
                if keep:
                    kept += [alert for output in step.outputs for alert in output.alerts]
                run.tell()
                if interrupts.received is not None:
                    break
        except KeyboardInterrupt:
            if interrupts.received is None:
                raise
            raise _stopped(interrupts, assess.counts.settled, run.count, outputs.abandon()) from None
        rows: list[ScoreRecord] = []
        accounts, flagged = outputs.finish(assess.scores(), rows if keep else None)
        counts = assess.counts
        told = run_summary(
            RunTotals(counts, accounts, flagged, assess.campaigns, texts_of.texts_cut, assess.threshold),
            outputs=outputs, models=bundle, started=started, skipped=dict(read.skipped.most_common()),
        )  # fmt: skip
        outputs.write_summary(told)
        stopped = interrupts.received is not None and not assess.ended()
        complete = is_usable(told) and not stopped and not read.failures
        if complete:
            outputs.publish()
        if on_end is not None:
            on_end(RunEnd(told, outputs.places, complete))
        if stopped:
            raise _stopped(interrupts, told.read, run.count, outputs.abandon())
        if not complete:
            raise _incomplete(read, told, problems, outputs.abandon())
    return RunResult(told, rows, kept)


class _RecordReader:
    """Reads the records of a run in order, and tells how far it is.

    Args:
        inputs: what is read.
        assess: of the run.
        on_step: told how far it is.
    """

    def __init__(self, inputs: RecordingFiles, assess: Assess, on_step: Callable[[RunProgress], None] | None) -> None:
        self.count = 0
        self.given = 0
        self._inputs = inputs
        self._assess = assess
        self._on_step = on_step

    def in_order(self) -> Iterator[SourceRecord]:
        """The records by time, all read when this returns.

        Raises:
            UsageError: they cannot be read, or all have impossible times.
        """
        records = self._inputs.by_time(check=lambda times: check_times(times, _now_ms()), on_read=self._reading)
        return self._counted(records)

    def _counted(self, records: Iterator[SourceRecord]) -> Iterator[SourceRecord]:
        for record in records:
            self.given += 1
            yield record

    def _reading(self, count: int) -> None:
        self.count = count
        if self._on_step is not None:
            size = self._inputs.size
            share = min(self._inputs.position / size, 1.0) if size else None
            self._on_step(RunProgress(share, 0, 0, 0, 0, count))

    def tell(self) -> None:
        """How far scoring is."""
        if self._on_step is not None:
            assess = self._assess
            share = self.given / self.count if self.count else None
            self._on_step(RunProgress(share, assess.counts.settled, assess.accounts, assess.flagged, assess.campaigns))


REASONS_TOLD: Final = 3
"""Commonest reasons that are told of unusable input; all are in the dead letters."""


def _incomplete(
    inputs: RecordingFiles, summary: RunSummary, problems: DeadLetterCounts, partial: Sequence[Path]
) -> UsageError:
    """The error for input that could not be read to its end, or of which too little could be used."""
    said = list(inputs.failures)
    if summary.dead * 2 > summary.read:
        usable = summary.read - summary.dead
        reasons = problems.by_problem.most_common(REASONS_TOLD)
        commonest = "; ".join(f"{count:,} times {field}: {reason}" for (field, reason), count in reasons)
        said.append(f"{usable:,} of {summary.read:,} records are usable: {commonest}")
        said += inputs.guesses()
    elif not summary.read and summary.skipped:
        said.append(nothing_but(summary.skipped))
    message = ". ".join(said) + _partial(partial)
    return UsageError(message) if inputs.failures else UnusableError(message)


def _stopped(interrupts: Interrupts, settled: int, count: int, partial: Sequence[Path]) -> StoppedError:
    assert interrupts.received is not None
    done = f"after {settled:,} of {count:,} records" if settled else "while records were read; none was scored"
    return StoppedError(f"stopped by {interrupts.received.name} {done}{_partial(partial)}", interrupts.received)


def _partial(paths: Sequence[Path]) -> str:
    where = ", ".join(shown(path) for path in paths)
    return f". Earlier results are as they were; partial results are in {where}" if where else ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
