"""The detector beside a society that is being acted out: it reads each step's events and says whom it names, and when.

The same stages and models as `swarmlight run`, fed step by step in place of from a recording, so that what a platform
does about somebody changes what is read afterwards. What the models say of a text depends on that text alone; it is
remembered for as long as the process lives (`RememberedModels`), since societies under different policies say much the
same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from detector.models import Models
from detector.text.features import TEXT_FEATURES, TextFeatures
from detector.times import parse_time
from simulation.content.base import Text
from simulation.output import Renderer
from simulation.world import Chunk
from streaming.assess import AlertRevision, Answer, Assess, AssessSettings, RerankRequest, TickOutput
from streaming.config import load_config
from streaming.playback import configured_models, due, live_reranker
from streaming.schema.alert import read_alert
from streaming.schema.observation import End
from streaming.score import FirstStageReader, Scorer, cut
from streaming.sources.base import SourceRecord
from streaming.watermark import Watermark


class Finding(msgspec.Struct, frozen=True):
    """Accounts that an alert names, newly, at a time (ms since 1970); `alert` is the alert's id."""

    at: int
    kind: str
    alert: str
    accounts: tuple[int, ...]


class NewlyNamed:
    """Makes findings of alerts: each account once an alert.

    Groups that are not shown to be machine-driven (`coordination`) are information and name nobody here; an alert that
    is withdrawn later stays a finding, since something was done about it by then.

    Args:
        index: account's name -> its number.
    """

    def __init__(self, index: dict[str, int]) -> None:
        self._index = index
        self._named: dict[str, set[int]] = {}

    def take(self, revisions: Iterable[AlertRevision]) -> list[Finding]:
        """The findings of further revisions, in order of time."""
        found = []
        for revision in revisions:
            if revision.kind == "coordination" or revision.status != "open":
                continue
            record = read_alert(revision.body)
            known = self._named.setdefault(record.id, set())
            fresh = {self._index[each.account] for each in record.members} - known
            known |= fresh
            if fresh:
                at = parse_time(record.at)
                assert at is not None  # written by this program
                found.append(Finding(at, record.kind, record.id, tuple(sorted(fresh))))
        return sorted(found, key=lambda each: (each.at, each.alert))


MOST_REMEMBERED: Final = 200_000
"""Texts of each kind of reading: some tens of societies; 100 MB at the most."""


class RememberedModels:
    """Models whose answers about texts are remembered, so that no text is read twice.

    Args:
        models: the bundle.
    """

    def __init__(self, models: Models) -> None:
        self.models = models
        self.text: FirstStageReader = _RememberedFirstStage(models)
        self._read = live_reranker(models)
        self._second: dict[tuple[str, str, int], int] = {}
        self._meaning: dict[str, np.ndarray[tuple[int], np.dtype[np.int8]]] = {}

    def rerank(self, request: RerankRequest) -> Answer:
        """As `streaming.pipeline.live_reranker`."""
        if len(self._second) > MOST_REMEMBERED or len(self._meaning) > MOST_REMEMBERED:
            self._second.clear()
            self._meaning.clear()
        keys = list(zip(request.texts, request.langs, request.first_stage.tolist(), strict=True))
        texts = [key for key in dict.fromkeys(keys) if key not in self._second]
        meanings = [text for text in dict.fromkeys(request.meanings) if text not in self._meaning]
        answer = self._read(
            RerankRequest(
                request.tick_ms,
                [text for text, _, _ in texts],
                [lang for _, lang, _ in texts],
                np.array([first for _, _, first in texts], np.int16),
                meanings,
            )
        )
        self._second.update(zip(texts, answer.llrs.tolist(), strict=True))
        self._meaning.update(zip(meanings, answer.vectors, strict=True))
        found = Answer.unread(len(keys), len(request.meanings))
        if keys:
            found.llrs[:] = [self._second[key] for key in keys]
        for row, text in enumerate(request.meanings):
            found.vectors[row] = self._meaning[text]
        return found


class _RememberedFirstStage:
    """The first stage, with its rows remembered."""

    def __init__(self, models: Models) -> None:
        self._model = models.text
        self.name, self.version = models.text.name, models.text.version
        self._rows: dict[tuple[str, str], np.void] = {}

    @property
    def languages(self) -> Collection[str]:
        return self._model.languages

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        if len(self._rows) > MOST_REMEMBERED:
            self._rows.clear()
        keys = list(zip(texts, langs, strict=True))
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if new:
            self._rows.update(
                zip(new, self._model.read([text for text, _ in new], [lang for _, lang in new]), strict=True)
            )
        found: TextFeatures = np.zeros(len(keys), TEXT_FEATURES)
        for i, key in enumerate(keys):
            found[i] = self._rows[key]
        return found


@lru_cache(maxsize=1)
def remembered(models: Path | None) -> RememberedModels:
    """The models of a directory, the shipped ones where None, loaded once a process."""
    return RememberedModels(configured_models(load_config(None, {}), models))


class LiveDetector:
    """Reads a society step by step.

    Args:
        renderer: writes events as records.
        models: that are asked.
        target_fpr: share of people that may be flagged.
    """

    def __init__(self, renderer: Renderer, models: RememberedModels, target_fpr: float) -> None:
        self.config = load_config(None, {"SWARMLIGHT_TARGET_FPR": f"{target_fpr:g}"})
        settings = AssessSettings.from_config(self.config, ())
        self._renderer, self._models = renderer, models
        self.assess = Assess(settings, models.models, partitions=1)
        self._scorer = Scorer(models.text)
        self._clock = Watermark(settings.allowed_lateness_s * 1000)
        self._position = 0
        self._named = NewlyNamed({name: number for number, name in enumerate(renderer.names)})

    def read(self, events: Chunk, texts: Sequence[Text | None] | None) -> list[Finding]:
        """What it says after further events, which are in order of time and follow those before.

        Args:
            events: of a step.
            texts: one for each event, None for none.
        """
        rows = self._renderer.rows(events, texts)
        start = self._position
        records = [SourceRecord(start + i, -1, row.encode()) for i, row in enumerate(rows)]
        self._position += len(records)
        now = int(events.at[-1]) if len(records) else 0
        observations, _ = self._scorer.score(records, now)
        outputs: list[TickOutput] = []
        for batch in cut(
            observations, partition=0, partitions=1, start=start, end=self._position, watermark=self._clock,
            models=self._scorer.models,
        ):  # fmt: skip
            self.assess.feed(batch)
            outputs += due(self.assess, self._models.rerank)
        return self._named.take(alert for output in outputs for alert in output.alerts)

    def end(self) -> list[Finding]:
        """What it says after the last event."""
        self.assess.feed(End(0, 1, self._position))
        alerts = []
        while not self.assess.ended():
            output = self.assess.advance(self._models.rerank)
            if output is None:
                break
            alerts += output.alerts
        return self._named.take(alerts)
