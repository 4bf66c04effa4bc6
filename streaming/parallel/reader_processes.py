"""A recording through both stages on several cores of one machine: its texts are read by processes beside this one.

Each process reads the parts of one shard of accounts (`streaming.parallel.part_reading`); here their slices are put
together in the order of the recording and decided on. What comes out is what `streaming.playback.play` gives.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

from detector.errors import ModelError
from detector.models import load_models
from streaming.assess import Assess, AssessSettings, Reranker
from streaming.parallel.gathering import AheadAnswers, feed_slice
from streaming.parallel.part_reading import PartReader, ReadAhead
from streaming.parallel.slices import PostSlice, ScoredPart, decode_part, decode_scored, encode_record, slices, split
from streaming.playback import due, live_reranker, scorer_of
from streaming.sinks.base import Step
from streaming.sources.base import SourceRecord

SLICES_AHEAD: Final = 8
"""Slices that are being read, or wait to be decided on: enough that no process waits for another's longer part."""

RECORDS_A_PROCESS: Final = 1_000
"""Fewer records are read in less time than a process takes to load the models."""

MOST_PROCESSES: Final = 16
"""One process decides (`assess`), and that many readers are more than it can follow."""


def processes_for(records: int, cores: int | None = None) -> int:
    """How many processes read a recording best: 1 where this one reads it itself.

    Args:
        records: of the recording.
        cores: of the machine that this process may use; asked of the system without it.
    """
    held = len(os.sched_getaffinity(0)) if cores is None else cores
    return max(1, min(held, MOST_PROCESSES, records // RECORDS_A_PROCESS))


class _Reading(NamedTuple):
    """What a process is told when it starts."""

    settings: AssessSettings
    models_dir: Path | None
    second_stage: str
    shards: int


class ReaderProcesses:
    """Processes that read texts; used in a `with` statement.

    Args:
        settings: of the run.
        models_dir: of the models; the shipped ones where None.
        second_stage: name of an installed text model in place of the directory's own, "" for none.
        processes: how many.
    """

    def __init__(self, settings: AssessSettings, models_dir: Path | None, second_stage: str, processes: int) -> None:
        self.texts_cut = 0
        """Events so far whose text was cut."""
        told = _Reading(settings, models_dir, second_stage, processes)
        context = multiprocessing.get_context("spawn")  # models and threads of this process are not to be copied
        self._pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_start, initargs=(told,)) for _ in range(processes)
        ]

    @property
    def pids(self) -> list[int]:
        """Of the processes that have started."""
        return [pid for pool in self._pools for pid in (pool._processes or ())]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End them, whatever they read: of a run that was stopped nobody waits for it."""
        pids = self.pids
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def play(self, records: Iterable[SourceRecord], assess: Assess, live: Reranker, now_ms: int) -> Iterator[Step]:
        """Run a recording through both stages to its end, as `streaming.playback.play` does.

        Args:
            records: in order of ascending offsets.
            assess: a fresh one, of one partition.
            live: reads what was not read ahead, in this process.
            now_ms: the present, ms since 1970.

        Raises:
            ModelError: a process ended.
        """
        answers = AheadAnswers(live)
        for parts in self._read(slices(records, now_ms)):
            for part in parts:
                self.texts_cut += part.texts_cut
                answers.add(part.read)
            letters = feed_slice(assess, parts)
            yield Step(letters, list(due(assess, answers)))

    def _read(self, wholes: Iterator[PostSlice]) -> Iterator[Sequence[ScoredPart]]:
        """The parts of each slice, in the order of the slices."""
        waiting: deque[list[Future[bytes]]] = deque()
        for whole in wholes:
            waiting.append([self._submit(part.shard, encode_record(part)) for part in split(whole, len(self._pools))])
            if len(waiting) == SLICES_AHEAD:
                yield self._parts(waiting.popleft())
        while waiting:
            yield self._parts(waiting.popleft())

    def _submit(self, shard: int, body: bytes) -> Future[bytes]:
        try:
            return self._pools[shard].submit(_read_part, body)
        except BrokenProcessPool:
            raise _ended(len(self._pools)) from None

    def _parts(self, read: Sequence[Future[bytes]]) -> list[ScoredPart]:
        try:
            return [decode_scored(each.result()) for each in read]
        except BrokenProcessPool:
            raise _ended(len(self._pools)) from None


def _ended(processes: int) -> ModelError:
    return ModelError(
        f"one of {processes} processes that read texts ended before its time: look whether the machine has memory left "
        "(each takes about 1 GB), or run with fewer (--processes 1 reads in this one)"
    )


_reader: PartReader | None = None
"""Of this process, where it is one that reads."""


def _start(told: _Reading) -> None:
    """Load the models: what a process does first."""
    global _reader  # the pool hands a process functions and no object that lives in it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: whoever started this process ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    models = load_models(told.models_dir, told.second_stage)
    ahead = ReadAhead(told.settings, models, told.shards, live_reranker(models))
    _reader = PartReader(scorer_of(models, told.settings), ahead)


def _end_with_parent() -> None:
    """A pool's process waits for work for ever, also when whoever gave it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _read_part(body: bytes) -> bytes:
    assert _reader is not None
    return encode_record(_reader.read(decode_part(body)))
