"""The two stages of the worker as one process runs them: records in, what every chunk of them led to out.

`play` is the loop, for callers that bring records, models and a state of their own. A recording is one partition of
`posts`; after its last record an end mark closes the stage `assess`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from detector.models import Models, load_models
from streaming.assess import Answer, Assess, AssessSettings, Reranker, RerankRequest, TickOutput
from streaming.config import Config
from streaming.schema.observation import End
from streaming.score import Scorer, cut
from streaming.sinks.base import Step
from streaming.sources.base import SourceRecord
from streaming.watermark import Watermark

TIMING: Final = ("behaviour", "coordination", "graph")
"""Evidence components that rest on when things happened."""

CHUNK: Final = 2_000
"""Records scored at once: enough for the text model's arrays, little enough for progress and memory."""


def configured_models(config: Config, directory: Path | None = None) -> Models:
    """The models that a configuration names.

    Args:
        config: `[models]` names a directory and a second-stage text model.
        directory: in place of the configuration's.

    Raises:
        UsageError: no such text model is installed.
        ModelError: weights that cannot be used.
    """
    return load_models(models_folder(config, directory), config.models.second_stage)


def models_folder(config: Config, directory: Path | None = None) -> Path | None:
    """Where the models of a run are, None for the shipped ones.

    Args:
        config: `[models]` names a directory, or none.
        directory: in place of the configuration's.
    """
    return directory or (Path(config.models.dir) if config.models.dir else None)


def live_reranker(models: Models) -> Reranker:
    """Has texts read by the second-stage model and the encoder of meaning of the bundle, as far as it has them."""

    def read(request: RerankRequest) -> Answer:
        llrs, vectors = Answer.unread(len(request.texts), len(request.meanings))
        if models.second_stage is not None and request.texts:
            llrs = models.second_stage.score(request.texts, request.langs, request.first_stage)
        if models.meaning is not None:
            vectors = models.meaning.vectors(request.meanings)
        return Answer(llrs, vectors)

    return read


def play(
    records: Iterable[SourceRecord],
    assess: Assess,
    scorer: Scorer,
    reranker: Reranker,
    now_ms: Callable[[], int],
    *,
    chunk: int = CHUNK,
) -> Iterator[Step]:
    """Run a recording through both stages to its end.

    Args:
        records: in order of ascending offsets.
        assess: a fresh one, of one partition.
        now_ms: the present, ms since 1970: when a record is read is when it was written.
        chunk: records scored at once; changes no output.
    """
    source = iter(records)
    clock = Watermark(assess.settings.allowed_lateness_s * 1000)
    position = 0
    while part := list(islice(source, chunk)):
        observations, letters = scorer.score(part, now_ms())
        end = part[-1].offset + 1
        outputs: list[TickOutput] = []
        for batch in cut(
            observations, partition=0, partitions=1, start=position, end=end, watermark=clock, models=scorer.models
        ):
            assess.feed(batch)
            outputs += due(assess, reranker)
        position = end
        yield Step(letters, outputs)
    assess.feed(End(0, 1, position))
    while not assess.ended():
        output = assess.advance(reranker)
        if output is None:
            break
        yield Step([], [output])


def due(assess: Assess, reranker: Reranker) -> Iterator[TickOutput]:
    """Run the ticks that are due, one after the other."""
    while (output := assess.advance(reranker)) is not None:
        yield output


def scorer_of(models: Models, settings: AssessSettings) -> Scorer:
    """The stage `score` for these settings: without text evidence it reads no text at all."""
    timing = not set(TIMING) <= set(settings.without)
    return Scorer(None if "text" in settings.without else models.text, timing=timing)
