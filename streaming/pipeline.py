"""The stages of the worker in one process, over a log that is handed on at once: what `swarmlight run` runs.

Records go in, ticks come out. A recording is one partition of `posts`; when it is over, its end mark closes `assess`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.models import Models
from streaming.assess import NOT_READ, Assess, AssessSettings, Reranker, RerankRequest, TickOutput
from streaming.schema.dead_letter import DeadLetter
from streaming.schema.observation import End
from streaming.score import Scorer, Watermark, cut
from streaming.sources.base import SourceRecord

CHUNK: Final = 2_000
"""Records scored at once: enough for the text model's arrays, little enough for progress and memory."""


class Step(NamedTuple):
    """What a chunk of records led to."""

    letters: list[DeadLetter]
    outputs: list[TickOutput]


def live_reranker(models: Models) -> Reranker:
    """Has texts read by the bundle's expert."""

    def read(request: RerankRequest) -> NDArray[np.int16]:
        if models.expert is None:
            return np.full(len(request.texts), NOT_READ, np.int16)
        return models.expert.score(request.texts, request.langs, request.cheap)

    return read


def play(
    records: Iterable[SourceRecord],
    assess: Assess,
    scorer: Scorer,
    experts: Reranker,
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
            outputs += _due(assess, experts)
        position = end
        yield Step(letters, outputs)
    assess.feed(End(0, 1, position))
    while not assess.ended():
        output = assess.advance(experts)
        if output is None:
            break
        yield Step([], [output])


def _due(assess: Assess, experts: Reranker) -> Iterator[TickOutput]:
    while (output := assess.advance(experts)) is not None:
        yield output


def scorer_of(models: Models, settings: AssessSettings) -> Scorer:
    """The stage `score` for these settings: without text evidence it reads no text at all."""
    return Scorer(None if "text" in settings.without else models.text)
