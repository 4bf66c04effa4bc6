"""From a raw score to a bounded, monotone log-likelihood ratio, by length band and language group.

Within a language group and a band of lengths the LLR is a line in the raw score (Platt 1999) clipped to what held-out
sources support. It is fitted on scores of sources that the scoring model had not seen, because that is the normal
case: a calibrator fitted on more of the same would promise far more than an unseen generator keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.tokenize import normalise_language
from detector.weights_io import take

MIN_WORDS: Final = 4
"""Texts with fewer words abstain: nothing that was measured there beats chance."""

BAND_EDGES: Final = (8, 12, 18, 27, 40)
"""Words at which the next band of lengths begins; the first band begins at `MIN_WORDS`."""

BANDS: Final = len(BAND_EDGES) + 1

UNCALIBRATED: Final = -1

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrator:
    """LLR = clip(slope * score + offset, low, high), each array (groups, BANDS); `slope` >= 0, `low` <= 0 <= `high`.

    `groups` names the language group of every calibrated primary language tag.
    """

    slope: Floats
    offset: Floats
    low: Floats
    high: Floats
    groups: Mapping[str, int]

    @property
    def languages(self) -> frozenset[str]:
        """The calibrated primary language tags."""
        return frozenset(self.groups)

    def group_of(self, langs: Sequence[str]) -> NDArray[np.int64]:
        """Group of each BCP 47 tag, `UNCALIBRATED` where there is none, (n,)."""
        groups = (self.groups.get(normalise_language(lang), UNCALIBRATED) for lang in langs)
        return np.fromiter(groups, dtype=np.int64, count=len(langs))

    def millinats(self, score: Floats, words: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int16]:
        """LLR of each raw score.

        Args:
            score: (n,) raw scores.
            words: (n,) words of the texts.
            group: (n,) from `group_of`.

        Returns:
            (n,) millinats; 0 where the group is `UNCALIBRATED` or words are too few.
        """
        band = bands(words)
        row = np.maximum(group, 0)
        line = self.slope[row, band] * score + self.offset[row, band]
        nats = np.minimum(np.maximum(line, self.low[row, band]), self.high[row, band])
        silent = (group == UNCALIBRATED) | (words < MIN_WORDS)
        out: NDArray[np.int16] = np.where(silent, 0, np.rint(nats * MILLINAT)).astype(np.int16)
        return out

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """The arrays of a model file."""
        parts = {"slope": self.slope, "offset": self.offset, "low": self.low, "high": self.high}
        return {f"calibration.{name}": value.astype(np.float32) for name, value in parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], path: Path) -> Calibrator:
        """The calibrator stored in a model file.

        Args:
            arrays: of the file.
            meta: its JSON, with `languages` (tag -> group).
            path: of the file, for messages.

        Raises:
            ModelError: something is missing, of another shape, or out of order.
        """
        slope, offset, low, high = (
            take(arrays, f"calibration.{name}", (None, BANDS), path).astype(np.float64)
            for name in ("slope", "offset", "low", "high")
        )
        groups = meta.get("languages")
        rows = len(slope)
        known = isinstance(groups, dict) and all(isinstance(g, int) and 0 <= g < rows for g in groups.values())
        shapes = {value.shape for value in (slope, offset, low, high)}
        if not known or len(shapes) != 1 or (slope < 0).any() or (low > 0).any() or (high < 0).any():
            raise ModelError(
                f"the calibration in {path} contradicts itself: damaged or another release; train it again"
            )
        if max(float(-low.min()), float(high.max())) > np.iinfo(np.int16).max / MILLINAT:
            raise ModelError(f"the calibration in {path} has bounds beyond 16 bits of millinats; train it again")
        return cls(slope, offset, low, high, dict(groups or {}))


def bands(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Band of lengths of each number of words, 0 to BANDS - 1."""
    return np.searchsorted(BAND_EDGES, words, side="right")
