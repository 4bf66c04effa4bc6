"""Records in the order of their time, however many there are: an external merge sort in bounded memory.

`Sorter` takes records in any order, holds a chunk of them, and writes every full chunk in order to a temporary file as
a *run*; `records` gives all of them back by time, merging the runs. Records of the same time stay in the order in which
they came. What fits one chunk never touches the disk, and recordings that are in order already are one long run, which
is read back as it was written.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from operator import itemgetter
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

import msgspec

from detector.errors import UsageError
from detector.times import AT_MAX, parse_time
from streaming.sources.base import FieldProblem, Oversize, SourceRecord
from streaming.sources.platform_times import EARLIEST_MS

CHUNK_BYTES: Final = 128 * 1024 * 1024
"""Memory for records that are being sorted, by estimate: the models take several times as much."""

_RECORD_BYTES: Final = 200
"""Memory that a record takes beside its own bytes."""

_BLOCK_BYTES: Final = 1 << 18
"""Of a run that are read at once: a merge holds one block of every run."""

_FAN_IN: Final = 64
"""Runs merged at once. More are merged in several rounds, so that memory does not follow the size of the input."""


class _RecordTime(msgspec.Struct):
    at: Any = None


_at_decoder = msgspec.json.Decoder(_RecordTime)


class _Row(msgspec.Struct, array_like=True, gc=False):
    """A record as it lies in a run. `origin` is a number, which the sorter knows."""

    time: int
    origin: int
    position: int
    value: bytes
    oversize: Oversize | None
    problem: FieldProblem | None


class _Run(NamedTuple):
    """Where a run lies: its blocks, each (place, size) in the file, and the times of its first and last record."""

    file: IO[bytes]
    blocks: list[tuple[int, int]]
    first: int
    last: int


_EARLY: Final = FieldProblem("at", "lies before 2000, unlike others here: `at` is milliseconds since 1970, not seconds")
"""Of a record among later ones: in 1970 it would be an account's one post of decades ago."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Row]).decode


class TimeRange:
    """Which times records have: the least that tells a wrong unit or clock.

    Args:
        count: records with a time, an integer that is out of range included.
        lowest, highest: of the times, ms since 1970 as they are written.
        integers: how many of them are written as integers.
    """

    def __init__(self) -> None:
        self.count = 0
        self.lowest = 0
        self.highest = 0
        self.integers = 0

    def see(self, time: int, integer: bool) -> None:
        """Take note of one time."""
        if not self.count:
            self.lowest = self.highest = time
        elif time < self.lowest:
            self.lowest = time
        elif time > self.highest:
            self.highest = time
        self.count += 1
        self.integers += integer


class Sorter:
    """Sorts records by `at`. Use it as a context: the temporary files are gone with it.

    A record whose `at` cannot be read goes with the one before it in its file, or before all others where it is the
    first; one of which only the beginning is held, likewise.

    Args:
        chunk_bytes: memory for records, by estimate; for tests.
        fan_in: runs merged at once; for tests.
    """

    def __init__(self, *, chunk_bytes: int = CHUNK_BYTES, fan_in: int = _FAN_IN) -> None:
        self.times = TimeRange()
        self.count = 0
        self._chunk_bytes = chunk_bytes
        self._fan_in = fan_in
        self._rows: list[_Row] = []
        self._held = 0
        self._ordered = True
        self._origins: dict[str, int] = {}
        self._runs: list[_Run] = []
        self._files: list[IO[bytes]] = []

    def add(self, records: Iterable[SourceRecord]) -> Iterator[None]:
        """Take records, those of a file one after another; gives control back after every one of them.

        Raises:
            UsageError: there is no room for temporary files.
        """
        origin, number, time = None, 0, -1
        for record in records:
            if record.origin != origin:
                origin, time = record.origin, -1
                number = self._origins.setdefault(origin, len(self._origins))
            at = None if record.problem is not None else self._time_of(record.value)
            if at is not None:
                time = at
            rows = self._rows
            if rows and time < rows[-1].time:
                self._ordered = False
            rows.append(_Row(time, number, record.position, record.value, record.oversize, record.problem))
            self.count += 1
            self._held += len(record.value) + _RECORD_BYTES
            if self._held > self._chunk_bytes:
                self._spill()
            yield

    def _time_of(self, value: bytes) -> int | None:
        """`at` of a record in ms since 1970, None where it has none that can be read."""
        try:
            at = _at_decoder.decode(value).at
        except (ValueError, RecursionError, msgspec.MsgspecError):
            return None
        time = _ms(at)
        if time is None:
            return None
        self.times.see(time, isinstance(at, int))
        return time if 0 <= time <= AT_MAX else None

    def records(self) -> Iterator[SourceRecord]:
        """All records by time, numbered from 0. Once, and after the last `add`.

        Those before 2000 have a problem, unless all are.

        Raises:
            UsageError: there is no room for temporary files.
        """
        if self._runs:
            self._spill()
            rows = self._merged()
        else:
            rows = iter(self._sorted())
        names = list(self._origins)
        mixed = self.times.lowest < EARLIEST_MS <= self.times.highest
        for offset, row in enumerate(rows):
            problem = row.problem
            if mixed and row.time < EARLIEST_MS and problem is None and _is_early(row.value):
                problem = _EARLY
            yield SourceRecord(offset, -1, row.value, names[row.origin], row.position, row.oversize, problem=problem)

    def _sorted(self) -> list[_Row]:
        rows, ordered = self._rows, self._ordered
        self._rows, self._held, self._ordered = [], 0, True
        if not ordered:
            rows.sort(key=_time)
        return rows

    def _spill(self) -> None:
        """Write the chunk as a run, or as the end of the last one where it goes on from there."""
        rows = self._sorted()
        if not rows:
            return
        if not self._files:
            self._files.append(_temporary())
        run = _written(rows, self._files[0])
        if self._runs and self._runs[-1].last <= run.first:
            before = self._runs.pop()
            run = _Run(run.file, before.blocks + run.blocks, before.first, run.last)
        self._runs.append(run)

    def _merged(self) -> Iterator[_Row]:
        while len(self._runs) > self._fan_in:
            file = _temporary()
            runs = [self._runs[i : i + self._fan_in] for i in range(0, len(self._runs), self._fan_in)]
            self._runs = [_written(_merge(group), file) for group in runs]
            self.close()
            self._files.append(file)
        return _merge(self._runs)

    def close(self) -> None:
        """Remove the temporary files."""
        for file in self._files:
            file.close()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _ms(at: Any) -> int | None:
    """`at` in ms since 1970, None where it is no time."""
    return at if type(at) is int else parse_time(at) if isinstance(at, str) else None


def _is_early(value: bytes) -> bool:
    """Whether a record says a time from 1970 to 2000 itself, and has not that of its neighbour."""
    try:
        time = _ms(_at_decoder.decode(value).at)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return False
    return time is not None and 0 <= time < EARLIEST_MS


def _time(row: _Row) -> int:
    return row.time


def _temporary() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise _no_room(error) from None


def _no_room(error: OSError) -> UsageError:
    return UsageError(
        f"sorting needs room for temporary files in {tempfile.gettempdir()!a}: "
        f"{error.strerror or 'it cannot be used'}; make room, or name another folder in the environment variable TMPDIR"
    )


def _written(rows: Iterable[_Row], file: IO[bytes]) -> _Run:
    """Append rows, which are in order and at least one, to a file as a run."""
    blocks: list[tuple[int, int]] = []
    block: list[_Row] = []
    size, first, last = 0, None, 0

    def close_block() -> None:
        body = _encode(block)
        blocks.append((file.tell(), len(body)))
        file.write(body)
        block.clear()

    try:
        file.seek(0, 2)
        for row in rows:
            first = row.time if first is None else first
            last = row.time
            block.append(row)
            size += len(row.value) + _RECORD_BYTES
            if size > _BLOCK_BYTES:
                close_block()
                size = 0
        if block:
            close_block()
        file.flush()
    except OSError as error:
        raise _no_room(error) from None
    return _Run(file, blocks, first or 0, last)


def _merge(runs: list[_Run]) -> Iterator[_Row]:
    """The rows of runs by time; of equal ones those of the earlier run first."""
    if len(runs) == 1:
        return _read(runs[0])
    timed = [((row.time, row) for row in _read(run)) for run in runs]
    return (row for _, row in heapq.merge(*timed, key=itemgetter(0)))


def _read(run: _Run) -> Iterator[_Row]:
    for place, size in run.blocks:
        run.file.seek(place)
        yield from _decode(run.file.read(size))
