"""The command `swarmlight ingest`: recordings of any installed format become post events in one file.

In: files of a format (`streaming.sources`). Out: post events, one JSON object a line, by time. Every record is counted
as one of three: an event, skipped (in order, and no post event), or dead, with the reason.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import typer
import zstandard

from detector.errors import EventError, StoppedError, UnusableError, UsageError
from streaming.interrupts import Interrupts
from streaming.logs import shown
from streaming.schema.dead_letter import DeadLetterCounts, dead_letter, encode
from streaming.score import event_of
from streaming.sinks.result_file import ResultFile
from streaming.sources.files import AUTO, EVENTS, RecordingFiles, counted, nothing_but
from streaming.sources.guess import check_times

REASONS_TOLD = 3
"""Commonest reasons that are told; all are in the dead letters."""


class Ingested(NamedTuple):
    """What became of the records of some recordings.

    Args:
        events: post events that were written.
        skipped: records that are no post events, by what they are.
        dead: records that cannot be read, by field and reason.
    """

    events: int
    skipped: dict[str, int]
    dead: DeadLetterCounts


def ingest(
    inputs: Sequence[str | Path],
    out: Path,
    *,
    format_name: str = AUTO,
    dead_letters: Path | None = None,
    stdin: BufferedReader | None = None,
) -> Ingested:
    """Write the post events of recordings, by time.

    Args:
        inputs: recordings, compressed or not, in any order.
        out: where to write; compressed where the name ends in `.gz` or `.zst`.
        format_name: of the recordings, or `auto` to recognise each.
        dead_letters: file for the records that cannot be read.
        stdin: what `-` reads; the process's own where None.

    Raises:
        UsageError: an input cannot be read to its end, times that are impossible, or a file that cannot be written.
        UnusableError: less than half of the records that are not skipped are usable. What was written stays at
            `NAME.partial`.
        StoppedError: SIGINT or SIGTERM came; likewise.
    """
    now_ms = time.time_ns() // 1_000_000
    interrupts, tally, events = Interrupts(), DeadLetterCounts(), 0
    files = [ResultFile(out, "OUT")]
    try:
        if dead_letters is not None:
            files.append(ResultFile(dead_letters, "--dead-letters"))
        lines = _Compressed(files[0])
        with interrupts, RecordingFiles(inputs, stdin, format_name, keep_readable=True) as read:
            for record in read.by_time(check=lambda times: check_times(times, now_ms)):
                try:
                    event_of(record, now_ms)
                except EventError as error:
                    letter = dead_letter(record, error, now_ms)
                    tally.add(letter)
                    if dead_letters is not None:
                        files[1].write(encode(letter) + b"\n")
                    continue
                lines.write((record.value if b"\n" not in record.value else _on_one_line(record.value)) + b"\n")
                events += 1
            lines.finish()
            told = Ingested(events, dict(read.skipped), tally)
            _check(read, told)
        for file in files:
            file.publish()
    except BaseException as error:
        kept = [place for file in files if (place := file.abandon()) is not None]
        if isinstance(error, KeyboardInterrupt) and interrupts.received is not None:
            done = f"after {events:,} events" if events else "while records were read; none was written"
            where = f"; {shown(out)} is as it was, what there is lies in {shown(kept[0])}" if kept else ""
            raise StoppedError(f"stopped by {interrupts.received.name} {done}{where}", interrupts.received) from None
        raise
    return told


def as_events(recording: Path, format_name: str, folder: Path) -> Path:
    """A recording as a file of post events: itself where it is one, else converted.

    Args:
        recording: of the format.
        format_name: an installed one, or `auto`.
        folder: takes what is converted, under the recording's own name.

    Raises:
        UsageError: as `ingest`.
    """
    if format_name == EVENTS:
        return recording
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"{recording.name}.jsonl"
    ingest([recording], made, format_name=format_name)
    return made


def _on_one_line(value: bytes) -> bytes:
    return msgspec.json.format(value, indent=-1)


class _Compressed:
    """Writes to a file, compressed as its name says."""

    def __init__(self, file: ResultFile) -> None:
        self._file = file
        self._packer: Any = None
        if file.path.suffix == ".gz":
            self._packer = zlib.compressobj(wbits=31)  # a gzip header without a time: equal content, equal bytes
        elif file.path.suffix == ".zst":
            self._packer = zstandard.ZstdCompressor().compressobj()

    def write(self, body: bytes) -> None:
        """Append bytes."""
        self._file.write(body if self._packer is None else self._packer.compress(body))

    def finish(self) -> None:
        """Write what the compression still holds."""
        if self._packer is not None:
            self._file.write(self._packer.flush())


def _check(read: RecordingFiles, told: Ingested) -> None:
    """Refuse input that could not be read to its end, or of which too little is usable."""
    said = list(read.failures)
    if told.dead.letters > told.events:
        said.append(f"{told.events:,} of {told.events + told.dead.letters:,} records are usable: {_reasons(told.dead)}")
        said += read.guesses()
    elif not told.events and told.skipped:
        said.append(nothing_but(told.skipped))
    if said:
        raise (UsageError if read.failures else UnusableError)(". ".join(said))


def _reasons(tally: DeadLetterCounts) -> str:
    commonest = tally.by_problem.most_common(REASONS_TOLD)
    return "; ".join(f"{count:,} times {field}: {reason}" for (field, reason), count in commonest)


def ingest_command(
    recordings: Annotated[
        list[str], typer.Argument(metavar="IN... OUT", help="files to read, - for standard input; the last is written")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help="input format: an installed one, with its options, or auto to recognise it"
        ),
    ] = AUTO,
    dead_letters: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write records that cannot be read, with the reason")
    ] = None,
    kept: Annotated[bool, typer.Option(hidden=True)] = True,
) -> int:
    """Convert recordings of a platform, an export or a table to post events, by time.

    It ends with one line on standard error that accounts for every record. Exit status 2 when an input cannot be read
    to its end, 3 when less than half of its records are usable; what was written stays at OUT.partial then.

    Args:
        recordings: what to read and, last, what to write.
        kept: whether the events stay where they are written, so that the line says it.
    """
    if len(recordings) < 2:
        raise UsageError("name what to read and what to write: swarmlight ingest IN... OUT")
    *inputs, out = recordings
    if out in inputs and out != "-":
        raise UsageError(f"{out!a} is both read and written: name another file")
    told = ingest(inputs, Path(out), format_name=format_name, dead_letters=dead_letters)
    read = told.events + sum(told.skipped.values()) + told.dead.letters
    skipped = f" ({counted(told.skipped)})" if told.skipped else ""
    dead = f" ({_reasons(told.dead)})" if told.dead.letters else ""
    where = f"; events in {'standard output' if out == '-' else shown(out)}" if kept else ""
    print(
        f"read {read:,}: {told.events:,} events, {sum(told.skipped.values()):,} skipped{skipped}, "
        f"{told.dead.letters:,} dead{dead}{where}",
        file=sys.stderr,
    )
    return 0
