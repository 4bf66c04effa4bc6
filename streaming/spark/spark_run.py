"""How Spark reads the texts of an archive: slices to parts, each shard of accounts by one task, back in order.

    slices ─► split ─► by shard, in order ─► read (parallel) ─► by time ─► gather, in the driver

Spark shuffles twice and keeps nothing between tasks; a task that fails is run again, and says the same. What decides is
in the driver, beside which all of it is cheap (docs/how-to/scale.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pyspark import SparkConf, SparkContext

from detector.models import Models, load_models
from streaming.assess import AssessSettings
from streaming.parallel.gathering import Gathering, SaidRecord
from streaming.parallel.part_reading import PartReader, ReadAhead
from streaming.parallel.slices import PostSlice, decode_line, decode_part, encode_line, encode_record, split
from streaming.playback import live_reranker, scorer_of

SLICES_A_TASK: Final = 200
"""Slices that one task brings back to the driver: a hundred thousand records, some hundred megabytes."""

NAME: Final = "swarmlight batch"

QUIET: Final = [("spark.ui.enabled", "false"), ("spark.ui.showConsoleProgress", "false"), ("spark.log.level", "ERROR")]
"""What Spark has to say of itself beyond errors is left out."""

Key = tuple[int, int]
"""Of a part: its shard, and where its slice begins."""


@dataclass(frozen=True)
class BatchSettings:
    """What all tasks are told.

    Args:
        assess: of the run.
        models_dir: of the models; the shipped ones where empty.
        second_stage: name of an installed text model in place of the directory's own.
        shards: of accounts; each is read by one task.
        master: of Spark: `local[2]`, or a cluster's URL.
        folder: that all machines see, for slices.
    """

    assess: AssessSettings
    models_dir: str
    second_stage: str
    shards: int
    master: str
    folder: Path


@cache
def _models(directory: str, second_stage: str) -> Models:
    """The models, once in a process."""
    return load_models(Path(directory) if directory else None, second_stage)


@dataclass(frozen=True)
class SplitLines:
    """A line of the file of slices to parts."""

    shards: int

    def __call__(self, line: str) -> Iterator[tuple[Key, bytes]]:
        for part in split(decode_line(line), self.shards):
            yield (part.shard, part.slice.start), encode_record(part)


@dataclass(frozen=True)
class ReadShard:
    """The parts of a shard, in order, to what was read in them, by where their slice begins."""

    settings: BatchSettings

    def __call__(self, parts: Iterable[tuple[Key, bytes]]) -> Iterator[tuple[int, bytes]]:
        settings = self.settings
        models = _models(settings.models_dir, settings.second_stage)
        readers: dict[int, PartReader] = {}
        for (shard, start), body in parts:
            if shard not in readers:
                ahead = ReadAhead(settings.assess, models, settings.shards, live_reranker(models))
                readers[shard] = PartReader(scorer_of(models, settings.assess), ahead)
            yield start, encode_record(readers[shard].read(decode_part(body)))


@dataclass(frozen=True)
class InOrder:
    """Which task brings the parts of a slice back: so many records each."""

    records: int
    tasks: int

    def __call__(self, start: int) -> int:
        return min(start * self.tasks // max(self.records, 1), self.tasks - 1)


def _shard(key: Key) -> int:
    return key[0]


def run_batch(slices: Iterator[PostSlice], settings: BatchSettings) -> Iterator[SaidRecord]:
    """Carry out a run.

    Args:
        slices: of a recording.
        settings: where and how.

    Returns:
        What is said of them, in order.
    """
    file, count, records = settings.folder / "slices.jsonl", 0, 0
    with file.open("wb") as written:
        for whole in slices:
            written.write(encode_line(whole))
            count, records = count + 1, whole.end
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    context = SparkContext(conf=SparkConf().setMaster(settings.master).setAppName(NAME).setAll(QUIET))
    try:
        tasks = -(-count // SLICES_A_TASK)
        parts = context.textFile(file.as_uri()).flatMap(SplitLines(settings.shards))
        read = parts.repartitionAndSortWithinPartitions(settings.shards, _shard).mapPartitions(ReadShard(settings))
        ordered = read.repartitionAndSortWithinPartitions(tasks, InOrder(records, tasks))
        models = _models(settings.models_dir, settings.second_stage)
        gathering = Gathering(settings.assess, models, 1, live_reranker(models))
        for _, body in ordered.toLocalIterator(prefetchPartitions=True):
            yield from gathering.take(body)[0]
    finally:
        context.stop()
