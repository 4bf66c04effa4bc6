"""The job: slices from a file, read by shards of accounts on as many cores as there are, decided by one operator.

    slices ─► split ─► parts by shard ─► read (parallel) ─► gather (one) ─► what was said, in files

Reading keeps nothing that has to be kept. What the one operator keeps is in Flink's state (`streaming.parallel.
gathering`): it comes back after a failure, and from a savepoint at any other parallelism.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyflink
from pyflink.common import Configuration, Encoder, Types, WatermarkStrategy
from pyflink.datastream import (
    FlatMapFunction,
    KeyedProcessFunction,
    ProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
)
from pyflink.datastream.connectors.file_system import FileSink, FileSource, RollingPolicy, StreamFormat
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor
from pyflink.java_gateway import get_gateway

from detector.models import Models, load_models
from streaming.assess import AssessSettings
from streaming.parallel.gathering import LEAST_KEPT, Gathering, decode_kept, encode_kept, encode_said
from streaming.parallel.part_reading import PartReader, ReadAhead
from streaming.parallel.slices import decode_line, decode_part, encode_record, split
from streaming.playback import live_reranker, scorer_of

JOB: Final = "swarmlight"

BUNDLE_MS: Final = 100
"""Longest time that Flink holds parts together before it hands them on. Each of them is worth seconds."""

BUNDLE: Final = 1
"""Most slices or parts that are handed on together: a checkpoint waits for them, and each is worth the way."""

MOST_FAILURES: Final = 8
"""Times in a row that a job is begun again, within a quarter of an hour: as long as a machine may take to come back. A
failure that comes back each time is no accident."""

_BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())


@dataclass(frozen=True)
class JobSettings:
    """What all operators of a job are told.

    Args:
        assess: of the run.
        models_dir: of the models; the shipped ones where empty.
        second_stage: name of an installed text model in place of the directory's own.
        shards: of accounts.
        partitions: of `posts`.
        ahead: whether texts are read ahead.
        least_kept: bytes of inputs from which the state takes their place; for tests.
    """

    assess: AssessSettings
    models_dir: str
    second_stage: str
    shards: int
    partitions: int = 1
    ahead: bool = True
    least_kept: int = LEAST_KEPT


@dataclass(frozen=True)
class JobPlace:
    """Where and how a job runs.

    Args:
        jobmanager: HOST:PORT of its REST interface; None for a small cluster in this process.
        parallelism: cores that read.
        checkpoint_ms: between two checkpoints; 0 for none.
        folder: that all machines of the cluster see: slices, checkpoints and what was said.
        savepoint: to begin from, None for the beginning.
    """

    jobmanager: str | None
    parallelism: int
    checkpoint_ms: int
    folder: Path
    savepoint: str | None = None

    @property
    def slices(self) -> Path:
        """The file of slices."""
        return self.folder / "slices.jsonl"

    @property
    def said(self) -> Path:
        """The folder of outputs."""
        return self.folder / "said"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.folder / "checkpoints"


@cache
def _models(directory: str, second_stage: str) -> Models:
    """The models, once in a process."""
    return load_models(Path(directory) if directory else None, second_stage)


class SplitSlices(FlatMapFunction):  # type: ignore[misc]
    """Lines of the file of slices to parts by shard."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings

    def flat_map(self, value: str) -> Iterator[tuple[int, bytes]]:
        """The parts of one slice, each with its shard."""
        for part in split(decode_line(value), self._settings.shards):
            yield part.shard, encode_record(part)


class ReadParts(ProcessFunction):  # type: ignore[misc]
    """Parts to what was read in them."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._readers: dict[int, PartReader] = {}

    def process_element(self, value: tuple[int, bytes], ctx: Any) -> Iterator[bytes]:
        """One part."""
        shard, body = value
        reader = self._readers.get(shard)
        if reader is None:
            settings = self._settings
            models = _models(settings.models_dir, settings.second_stage)
            ahead = ReadAhead(settings.assess, models, settings.shards, live_reranker(models))
            reader = PartReader(scorer_of(models, settings.assess), ahead if settings.ahead else None)
            self._readers[shard] = reader
        yield encode_record(reader.read(decode_part(bytes(body))))


class GatherParts(KeyedProcessFunction):  # type: ignore[misc]
    """What was read to what `assess` says: the one operator with a state that matters."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._gathering: Gathering | None = None
        self._kept_bytes = 0
        self._saved_bytes = 0
        self._saved: Any = None
        self._inputs: Any = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Flink's state: the operator's, and the inputs since."""
        self._saved = runtime_context.get_state(ValueStateDescriptor("saved", _BYTES))
        self._inputs = runtime_context.get_list_state(ListStateDescriptor("inputs", _BYTES))

    def process_element(self, value: bytes, ctx: Any) -> Iterator[str]:
        """One part that was read."""
        gathering = self._gathering or self._begin()
        said, kept = gathering.take(bytes(value))
        body = encode_kept(kept)
        self._inputs.add(body)
        self._kept_bytes += len(body)
        if self._kept_bytes >= max(self._settings.least_kept, self._saved_bytes):
            saved = gathering.save()
            self._saved.update(saved)
            self._inputs.clear()
            self._saved_bytes, self._kept_bytes = len(saved), 0
        for record in said:
            yield encode_said(record)

    def _begin(self) -> Gathering:
        settings = self._settings
        models = _models(settings.models_dir, settings.second_stage)
        gathering = Gathering(settings.assess, models, settings.partitions, live_reranker(models))
        saved = self._saved.value()
        if saved is not None:
            gathering.restore(bytes(saved))
            self._saved_bytes = len(saved)
        for each in self._inputs.get() or ():
            body = bytes(each)
            gathering.again(decode_kept(body))
            self._kept_bytes += len(body)
        self._gathering = gathering
        return gathering


def environment(place: JobPlace) -> StreamExecutionEnvironment:
    """Flink's environment for a place."""
    config = Configuration()
    library = Path(pyflink.__file__).parent / "opt"
    jar = next(library.glob("flink-python-*.jar"))
    options = {
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "2 s",
        "restart-strategy.exponential-delay.backoff-multiplier": "2",
        "restart-strategy.exponential-delay.max-backoff": "2 min",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "30 min",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(MOST_FAILURES),
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        "python.fn-execution.bundle.size": str(BUNDLE),
        "python.fn-execution.bundle.time": str(BUNDLE_MS),
        "execution.checkpointing.dir": place.checkpoints.as_uri(),
        "execution.checkpointing.savepoint-dir": (place.folder / "savepoints").as_uri(),
    }
    if place.jobmanager is not None:
        host, _, port = place.jobmanager.rpartition(":")
        options |= {
            "execution.target": "remote",
            "execution.attached": "true",
            "rest.address": host,
            "rest.port": port,
            "jobmanager.rpc.address": host,
            "pipeline.jars": jar.as_uri(),
        }
    if not place.checkpoint_ms:
        options["restart-strategy.type"] = "none"
    else:
        options["execution.checkpointing.interval"] = f"{place.checkpoint_ms} ms"
    if place.savepoint is not None:
        options["execution.state-recovery.path"] = place.savepoint
    for name, value in options.items():
        config.set_string(name, value)
    if place.jobmanager is None:
        made = StreamExecutionEnvironment.get_execution_environment(config)
    else:  # `get_execution_environment` means a cluster in this process, whatever the configuration says
        java = get_gateway().jvm.org.apache.flink.streaming.api.environment.StreamExecutionEnvironment
        made = StreamExecutionEnvironment(java(config._j_configuration))
    made.set_parallelism(1)
    return made


def build(env: StreamExecutionEnvironment, settings: JobSettings, place: JobPlace) -> None:
    """Lay out the job.

    Args:
        env: of Flink.
        settings: for all operators.
        place: files and parallelism.
    """
    source = FileSource.for_record_stream_format(StreamFormat.text_line_format(), place.slices.as_uri()).build()
    lines = env.from_source(source, WatermarkStrategy.no_watermarks(), "slices").uid("slices")
    parts = lines.flat_map(SplitSlices(settings), Types.TUPLE([Types.INT(), _BYTES])).name("split").uid("split")
    spread = parts.partition_custom(_place_of, _shard)
    read = spread.process(ReadParts(settings), _BYTES).name("read").uid("read").set_parallelism(place.parallelism)
    said = read.key_by(_one, Types.INT()).process(GatherParts(settings), Types.STRING()).name("assess").uid("assess")
    sink = (
        FileSink.for_row_format(str(place.said), Encoder.simple_string_encoder())
        .with_rolling_policy(RollingPolicy.on_checkpoint_rolling_policy())
        .build()
    )
    said.sink_to(sink).name("said").uid("said")


def _shard(value: tuple[int, bytes]) -> int:
    return value[0]


def _place_of(shard: int, places: int) -> int:
    return shard % places


def _one(value: bytes) -> int:
    return 0
