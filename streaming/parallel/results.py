"""A run over recordings that an engine carries out: recordings in, a folder of results out, as those of `run`.

The engine is a function: slices in, what the deciding operator says out, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from detector.errors import EngineError, UnusableError, UsageError
from detector.models import Models
from streaming.assess import Answer, TickOutput, TickStats
from streaming.commands import summary_line
from streaming.config import Config
from streaming.parallel.gathering import EndOfRun, SaidRecord
from streaming.parallel.slices import SLICE_RECORDS, PostSlice, slices
from streaming.pipeline import RunEnd
from streaming.run_totals import RunTotals, is_usable, run_summary
from streaming.schema.score import ScoreRecord
from streaming.sinks.base import Step
from streaming.sinks.files import Outputs
from streaming.sources.files import EVENTS, RecordingFiles
from streaming.sources.guess import check_times

Engine = Callable[[Iterator[PostSlice]], Iterable[SaidRecord]]
"""Carries out a run: takes the slices of a recording, gives what is said of them in order, the last with `end`."""

FILES: Final = {
    "alerts": "alerts.jsonl",
    "details": "details.jsonl",
    "scores": "scores.jsonl",
    "summary": "summary.json",
    "dead-letters": "dead-letters.jsonl",
    "blind-sample": "blind-sample.jsonl",
}
"""Names of the files in the folder of results, by the options of `swarmlight run` that write the same."""


def run_spread(
    inputs: Sequence[str | Path],
    out: Path,
    engine: Engine,
    *,
    config: Config,
    models: Models,
    format_name: str = EVENTS,
    slice_records: int = SLICE_RECORDS,
) -> tuple[RunEnd, EndOfRun]:
    """Score recordings with an engine.

    Args:
        inputs: recordings, compressed or not; together sorted by event time.
        out: folder of results, made where it is not there.
        engine: carries it out.
        config: of the run.
        models: of the run; here only their versions are told.
        format_name: input format of the recordings.
        slice_records: records of a slice; changes no output.

    Returns:
        What a run ends with, and what the deciding operator told.

    Raises:
        UsageError: an input that cannot be read, or results that cannot be written.
        EngineError: the engine failed.
        UnusableError: less than half of the records are post events.
    """
    started, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    with ExitStack() as stack:
        read = stack.enter_context(RecordingFiles(inputs, None, format_name))
        outputs = stack.enter_context(outputs_of(out, [str(name) for name in inputs], config))
        records = read.by_time(check=lambda times: check_times(times, now_ms))
        made = written(engine(slices(records, now_ms, size=slice_records)), outputs)
        end = made.end
        told = run_summary(
            RunTotals(end.counts, made.accounts, made.flagged, end.campaigns, end.texts_cut, end.threshold),
            outputs=outputs, models=models, started=started, skipped=dict(read.skipped.most_common()),
        )  # fmt: skip
        outputs.write_summary(told)
        places = outputs.places
        if not is_usable(told):
            raise UnusableError(
                f"{told.read - told.dead:,} of {told.read:,} records are usable; the reasons are in "
                f"{', '.join(map(str, outputs.abandon()))}"
            )
        outputs.publish()
    return RunEnd(told, places, True), end


def outputs_of(out: Path, inputs: Sequence[str], config: Config) -> Outputs:
    """The files of a folder of results.

    Args:
        out: the folder, made where it is not there.
        inputs: files that must not be overwritten.
        config: of the run.

    Raises:
        UsageError: they cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {str(out)!a}: {error.strerror or 'it cannot be made'}") from None
    return Outputs(
        alerts=out / FILES["alerts"],
        details=out / FILES["details"],
        scores=out / FILES["scores"],
        summary=out / FILES["summary"],
        dead_letters=out / FILES["dead-letters"],
        blind_sample=out / FILES["blind-sample"] if config.blind_sample_per_day else None,
        trajectories=None,
        inputs=inputs,
        sinks=(),
        config=config,
    )


class WrittenRun(NamedTuple):
    """What was written.

    Args:
        end: what the deciding operator told at the end.
        accounts: with a score.
        flagged: of them.
    """

    end: EndOfRun
    accounts: int
    flagged: int


def written(said: Iterable[SaidRecord], outputs: Outputs) -> WrittenRun:
    """Write what was said.

    Args:
        said: in order; records that come again are left out.
        outputs: the files.

    Raises:
        EngineError: the engine ended before the run did.
    """
    end, number, scores = None, 0, list[ScoreRecord]()
    for record in said:
        if record.number < number:
            continue
        if record.number > number:
            raise EngineError(f"output {number} of the job is missing: its folder was changed; run it again")
        number += 1
        ticks = TickOutput(
            0, record.alerts, record.details, [], record.gone, Answer.unread(), TickStats(), record.samples
        )
        outputs.write(Step(record.letters, [ticks]))
        scores += record.scores
        end = record.end or end
    if end is None:
        raise EngineError("the job ended before it had read everything: see its log, and run it again")
    return WrittenRun(end, *outputs.finish(scores))


def spread_line(end: RunEnd, told: EndOfRun) -> str:
    """What became of a run that an engine carried out, on one line.

    Args:
        end: of the run.
        told: by the deciding operator.
    """
    return f"{summary_line(end)}; {told.hits:,} of {told.hits + told.misses:,} texts had been read ahead"
