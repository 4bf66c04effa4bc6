"""The second-stage text model: a costlier score for texts of accounts that are reranking candidates.

Every second-stage model follows the protocol `SecondStageModel`. The shipped one is the packaged MiniLM encoder
(`detector/text/encoder.py`) whose layers were fine-tuned, a linear output over the mean of its last hidden states, and
the first-stage evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.calibration import MIN_WORDS, UNCALIBRATED, Calibrator
from detector.text.encoder import DIM, TUNED_PREFIX, TUNED_TOKENS, Encoder, encoder_digest, encoder_folder
from detector.text.first_stage import FirstStageModel
from detector.text.tokenize import encode, normalise
from detector.weights_io import load_weights, take


@runtime_checkable
class SecondStageModel(Protocol):
    """Scores texts given what the first stage said. Deterministic; no text's score depends on its neighbours."""

    name: str
    version: str

    def score(self, texts: Sequence[str], langs: Sequence[str], first_stage: NDArray[np.int16]) -> NDArray[np.int16]:
        """LLR of each text in millinats given the text *and* its first-stage LLR, which it replaces; all (n,).

        Args:
            texts: as posted, cut at 500 characters or not.
            langs: BCP 47 tags, "" where not known.
            first_stage: LLR of the first-stage model in millinats.

        Returns:
            Where the model abstains (language not calibrated, too few words) the first-stage LLR unchanged.
        """
        ...


FILE: Final = "expert"
"""Stem of the model's files in a models directory."""

Floats = NDArray[np.float64]


class MiniLMSecondStage:
    """The fine-tuned encoder beside the first-stage evidence: a `SecondStageModel`. A text's neighbours say nothing."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        layers: Mapping[str, NDArray[Any]],
        weights: Floats,
        bias: float,
        mix: Floats,
        calibrator: Calibrator,
    ) -> None:
        """Args:
        name, version: as they appear in alerts.
        layers: the fine-tuned layers, by name.
        weights, bias: (DIM,) of the linear output.
        mix: (2,) weights of the encoder's logit and of the first-stage LLR in nats.
        calibrator: their sum to LLR.
        """
        self.name = name
        self.version = version
        self._tuned = layers
        self._weights = weights
        self._bias = bias
        self._mix = mix
        self._calibrator = calibrator

    @classmethod
    def load(cls, directory: Path) -> MiniLMSecondStage:
        """From `expert.safetensors` and `expert.json` in `directory`; the encoder itself is loaded at the first score.

        Raises:
            ModelError: missing, damaged, of another release, or made for another encoder than the one installed.
        """
        path = directory / FILE
        arrays, meta = load_weights(path)
        layers = {
            name.removeprefix(TUNED_PREFIX): value for name, value in arrays.items() if name.startswith(TUNED_PREFIX)
        }
        if not layers:
            raise ModelError(f"{path} holds no fine-tuned layers: of another release; train it again")
        if meta.get("encoder_sha256") != encoder_digest(encoder_folder()):
            raise ModelError(f"the layers in {path} were tuned on another encoder than is installed; train it again")
        return cls(
            name=meta["name"],
            version=meta["version"],
            layers=layers,
            weights=take(arrays, "head.weight", (DIM,), path).astype(np.float64),
            bias=float(take(arrays, "head.bias", (1,), path)[0]),
            mix=take(arrays, "mix", (2,), path).astype(np.float64),
            calibrator=Calibrator.from_arrays(arrays, meta, path),
        )

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(encoder_folder(), tuned=self._tuned, tokens=TUNED_TOKENS)

    @property
    def languages(self) -> frozenset[str]:
        """Primary tags of the languages in which this model gives evidence."""
        return self._calibrator.languages

    def logits(self, clean: Sequence[str]) -> Floats:
        """What the encoder alone says of normalised texts, (n,): for training and comparison."""
        if not clean:
            return np.zeros(0)
        said: Floats = (self._encoder.embed(clean).astype(np.float64) * self._weights).sum(axis=1) + self._bias
        return said

    def score(self, texts: Sequence[str], langs: Sequence[str], first_stage: NDArray[np.int16]) -> NDArray[np.int16]:
        """LLR of each text in millinats given the text and its first-stage LLR.

        Args:
            texts: n texts.
            langs: n BCP 47 tags, "" for none.
            first_stage: (n,) first-stage LLRs in millinats.

        Returns:
            (n,); the first-stage LLR where this model abstains.
        """
        clean = [normalise(text) for text in texts]
        words = encode(clean).word_counts
        group = self._calibrator.group_of(langs)
        out = np.array(first_stage, dtype=np.int16)
        spoken = np.flatnonzero((group != UNCALIBRATED) & (words >= MIN_WORDS))
        if not len(spoken):
            return out
        said = self.logits([clean[row] for row in spoken.tolist()])
        raw = self._mix[0] * said + self._mix[1] * first_stage[spoken].astype(np.float64) / MILLINAT
        out[spoken] = self._calibrator.millinats(raw, words[spoken], group[spoken])
        return out


class WithFamilies:
    """A second stage whose answers take in what the first stage's added families say: a `SecondStageModel`.

    Args:
        model: of the second stage, which has met none of the families.
        first_stage: the model that holds them.
    """

    def __init__(self, model: SecondStageModel, first_stage: FirstStageModel) -> None:
        self.name = model.name
        self.version = "+".join([model.version, *(family.version for family in first_stage.families)])
        self._model = model
        self._first_stage = first_stage

    def score(self, texts: Sequence[str], langs: Sequence[str], first_stage: NDArray[np.int16]) -> NDArray[np.int16]:
        """LLR of each text in millinats given the text and its first-stage LLR.

        Args:
            texts: n texts.
            langs: n BCP 47 tags, "" for none.
            first_stage: (n,) first-stage LLRs in millinats.
        """
        return self._first_stage.with_families(texts, langs, self._model.score(texts, langs, first_stage))
