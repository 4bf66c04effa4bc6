"""What the budget of the second stage costs: a stream read whole and within the budget, side by side.

`reading_costs` runs the same stream twice with the same models. The second stage answers from memory what it has
answered before, so that the encoder reads every text once at most; no answer depends on others, so none changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.models import Models
from detector.text.second_stage import SecondStageModel
from streaming.config import load_config
from streaming.pipeline import run_recording
from training.evaluate import evaluation_table, ranking
from training.system import read_lines

UNLIMITED: Final = {
    "SWARMLIGHT_SECOND_STAGE_SHARE": "1.0",
    "SWARMLIGHT_SECOND_STAGE_TEXTS_PER_S": "1000000",
    "SWARMLIGHT_SECOND_STAGE_TEXTS_PER_ACCOUNT_H": "1000",
}
"""Settings with which every text of every account is read that can be flagged at all."""


class RememberingSecondStage:
    """A second stage that answers from memory what it was asked before.

    Args:
        model: answers the first time.
    """

    def __init__(self, model: SecondStageModel) -> None:
        self.name, self.version = model.name, model.version
        self._model = model
        self._known: dict[tuple[str, str, int], int] = {}
        self.asked = 0
        """Texts asked about, repeated ones included."""

    def score(self, texts: Sequence[str], langs: Sequence[str], first_stage: NDArray[np.int16]) -> NDArray[np.int16]:
        """As the model's.

        Args:
            texts: n texts.
            langs: their languages.
            first_stage: (n,) their LLR of the first stage, millinats.
        """
        keys = list(zip(texts, langs, first_stage.tolist(), strict=True))
        self.asked += len(keys)
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if new:
            said = self._model.score(
                [text for text, _, _ in new],
                [lang for _, lang, _ in new],
                np.array([nats for *_, nats in new], np.int16),
            )
            self._known.update(zip(new, said.tolist(), strict=True))
        return np.array([self._known[key] for key in keys], np.int16)


def reading_costs(
    stream: Path, truth: Mapping[str, Mapping[str, Any]], models: Models, scratch: Path, without: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """One record for reading without limit and one for the budget of the default configuration.

    Each has `reads` (texts that the second stage read), `texts` (of all posts), `share`, ranking figures, `flagged`
    machines and people.

    Args:
        stream: recording.
        truth: account -> its truth record.
        models: loaded.
        scratch: folder for scores.
        without: components to leave out.

    Raises:
        UsageError: the models have no second stage.
    """
    if models.second_stage is None:
        raise UsageError("these models have no second stage: there is no budget to measure")
    reader = RememberingSecondStage(models.second_stage)
    bundle = replace(models, second_stage=reader)
    found = []
    for name, settings in (("without limit", UNLIMITED), ("within the budget", {})):
        before = reader.asked
        scores = scratch / f"{name}.scores"
        run_recording(
            [stream], config=load_config(None, settings), models=bundle, without=without, scores=scores, keep=False
        )
        rows = read_lines(scores)
        table = evaluation_table(truth, rows)
        texts = sum(row["posts"] for row in rows)
        reads = reader.asked - before
        found.append(
            {
                "reading": name,
                "reads": reads,
                "texts": texts,
                "share": reads / max(texts, 1),
                **ranking(table),
                "machines_flagged": int(table.flagged[table.label == 1].sum()),
                "people_flagged": int(table.flagged[table.label == 0].sum()),
            }
        )
    return found
