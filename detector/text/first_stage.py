"""The first-stage text model: hashed n-grams and style through one linear layer, fast enough to score every post."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.calibration import MIN_WORDS, UNCALIBRATED, Calibrator
from detector.text.features import (
    BUCKETS,
    RARITIES,
    STYLE_DIM,
    TEXT_FEATURES,
    TextAbstain,
    TextFeatures,
    minhashes,
    sketches,
    styles,
    sums,
)
from detector.text.tokenize import Encoded, encode, normalise
from detector.weights_io import load_weights, take

FILE: Final = "text"
"""Stem of the model's files in a models directory."""

CHUNK: Final = 256
"""Texts worked on at once: their arrays stay in the processor's cache. No result depends on it."""

FIXED_POINT: Final = 1 << 20
"""N-gram weights become whole multiples of 1/FIXED_POINT, so that sums over a text are exact in any order."""

STYLE_LIMIT: Final = 3.0
"""Standard deviations at which a style feature is clipped: no single oddity decides."""

WORDS_MAX: Final = 65_535

FAMILIES: Final = "families"
"""Stem of the file of generators that were added later; a models directory may lack it."""

FAMILY_SHARE: Final = 0.2
"""What a machine is taken to be of an added family, for each that it is taken to be of one known before. Larger finds
more of the family and costs more of the others; 0.1, 0.3 and 1 were tried on six generators left out."""

_SHARE_MILLINATS: Final = round(MILLINAT * math.log(FAMILY_SHARE))
_ABOVE: Final = np.rint(MILLINAT * np.log1p(np.exp(-np.arange(10 * MILLINAT) / MILLINAT))).astype(np.int64)
"""log(1 + exp(-d)) in millinats for every whole d: a sum of likelihoods that is the same whatever stands beside it."""


def with_family(llr: NDArray[np.int16], family: NDArray[np.int16], speaks: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Evidence for a machine of the kinds known before or, with `FAMILY_SHARE`, of an added family.

    log(exp(llr) + FAMILY_SHARE x exp(family)): never less than before, and hardly more where the family says no.

    Args:
        llr: (n,) millinats.
        family: (n,) of the family alone.
        speaks: (n,) where the family's model does not abstain.
    """
    other = family.astype(np.int64) + _SHARE_MILLINATS
    here = llr.astype(np.int64)
    apart = np.minimum(np.abs(here - other), len(_ABOVE) - 1)
    both = np.minimum(np.maximum(here, other) + _ABOVE[apart], np.iinfo(np.int16).max)
    return np.where(speaks, both, llr).astype(np.int16)


class FirstStageModel:
    """Turns texts into fixed-size text features: calibrated LLR, why there is none, style, sketch, MinHash.

    Row i of `read` depends on text i and its language alone, bit for bit: all sums over a text are exact integers, and
    what follows is done element by element.
    """

    def __init__(
        self,
        *,
        name: str,
        version: str,
        weights: NDArray[np.float16],
        style_weights: NDArray[np.float32],
        style_mean: NDArray[np.float32],
        style_spread: NDArray[np.float32],
        bias: float,
        rarity: NDArray[np.uint8],
        calibrator: Calibrator,
    ) -> None:
        """Args:
        name, version: as they appear in alerts.
        weights: (BUCKETS,) of hashed n-grams.
        style_weights, style_mean, style_spread: (STYLE_DIM,); spread > 0.
        bias: of the raw score.
        rarity: (RARITIES,) weight of trigrams and words in the sketch.
        calibrator: raw score to LLR.
        """
        self.name = name
        self.version = version
        self.calibrator = calibrator
        self._weights = np.rint(weights.astype(np.float64) * FIXED_POINT).astype(np.int32)
        self._style_weights = style_weights.astype(np.float64)
        self._style_mean = style_mean.astype(np.float64)
        self._style_spread = style_spread.astype(np.float64)
        self._bias = bias
        self._rarity = rarity
        self.families: tuple[FirstStageModel, ...] = ()
        """Models of generators that were added later, each of one family beside people."""

    @property
    def languages(self) -> frozenset[str]:
        """Primary tags of the languages this model gives evidence in."""
        return self.calibrator.languages

    @classmethod
    def load(cls, directory: Path) -> FirstStageModel:
        """From `text.safetensors` and `text.json` in `directory`.

        Raises:
            ModelError: missing, damaged, or of another release.
        """
        path = directory / FILE
        arrays, meta = load_weights(path)
        model = cls._of(arrays, meta, path)
        path = directory / FAMILIES
        if path.with_suffix(".json").exists():
            added, meta = load_weights(path)
            for number, described in enumerate(meta["families"]):
                prefix = f"{number}."
                own = {name.removeprefix(prefix): value for name, value in added.items() if name.startswith(prefix)}
                model.families += (cls._of({**own, "rarity": arrays["rarity"]}, described, path),)
        return model

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any], path: Path) -> FirstStageModel:
        def vector(name: str, length: int, kind: str) -> NDArray[Any]:
            value = take(arrays, name, (length,), path)
            if value.dtype.kind != kind:
                raise ModelError(f"{name!r} in {path} is of type {value.dtype}: another release; train it again")
            return value

        spread = vector("style_spread", STYLE_DIM, "f")
        if (spread <= 0).any():
            raise ModelError(f"'style_spread' in {path} is not positive: damaged; train it again")
        return cls(
            name=meta["name"],
            version=meta["version"],
            weights=vector("weights", BUCKETS, "f"),
            style_weights=vector("style_weights", STYLE_DIM, "f"),
            style_mean=vector("style_mean", STYLE_DIM, "f"),
            style_spread=spread,
            bias=float(vector("bias", 1, "f")[0]),
            rarity=vector("rarity", RARITIES, "u").astype(np.uint8),
            calibrator=Calibrator.from_arrays(arrays, meta, path),
        )

    def read(self, texts: Sequence[str], langs: Sequence[str]) -> TextFeatures:
        """What is seen in each text.

        Args:
            texts: n texts as posted; the first 500 characters are read.
            langs: n BCP 47 tags ("" where not known).

        Returns:
            (n,) of dtype TEXT_FEATURES. `llr` is 0 and `abstain` says why where there is no text, fewer than four
            words, or a language without calibration; style, sketch and minhash are filled wherever there is a word.
        """
        if len(texts) != len(langs):
            raise ValueError(f"{len(texts)} texts and {len(langs)} languages: give one language for each text")
        out = np.zeros(len(texts), dtype=TEXT_FEATURES)
        for begin in range(0, len(texts), CHUNK):
            end = min(begin + CHUNK, len(texts))
            self._read(texts[begin:end], langs[begin:end], out[begin:end])
        return out

    def _read(self, texts: Sequence[str], langs: Sequence[str], out: TextFeatures) -> None:
        encoded = encode([normalise(text) for text in texts])
        words = encoded.word_counts
        style = styles(encoded)
        group = self.calibrator.group_of(langs)
        llr = self.calibrator.millinats(self._raw(encoded, style), words, group)
        out["llr"] = np.where(group == UNCALIBRATED, llr, self._with_families(encoded, style, langs, llr))
        out["abstain"] = np.where(group == UNCALIBRATED, TextAbstain.LANGUAGE, TextAbstain.NONE)
        out["abstain"][words < MIN_WORDS] = TextAbstain.TOO_SHORT
        blank = np.fromiter((not text.strip() for text in texts), dtype=bool, count=len(texts))
        out["abstain"][blank] = TextAbstain.NO_TEXT
        out["words"] = np.minimum(words, WORDS_MAX)
        out["style"] = style
        out["sketch"] = sketches(encoded, self._rarity)
        out["minhash"] = minhashes(encoded)

    def with_families(self, texts: Sequence[str], langs: Sequence[str], llr: NDArray[np.int16]) -> NDArray[np.int16]:
        """Evidence of texts with what the added families say of them.

        Args:
            texts: n texts.
            langs: n BCP 47 tags, "" for none.
            llr: (n,) evidence without the families, millinats.
        """
        if not self.families or not len(texts):
            return llr
        encoded = encode([normalise(text) for text in texts])
        return self._with_families(encoded, styles(encoded), langs, llr)

    def _with_families(
        self, encoded: Encoded, style: NDArray[np.float16], langs: Sequence[str], llr: NDArray[np.int16]
    ) -> NDArray[np.int16]:
        words = encoded.word_counts
        for family in self.families:
            group = family.calibrator.group_of(langs)
            said = family.calibrator.millinats(family._raw(encoded, style), words, group)
            llr = with_family(llr, said, (group != UNCALIBRATED) & (words >= MIN_WORDS))
        return llr

    def raw(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Raw score (log-odds before calibration) of each text, (n,): for training and comparison."""
        encoded = encode([normalise(text) for text in texts])
        return self._raw(encoded, styles(encoded))

    def _raw(self, encoded: Encoded, style: NDArray[np.float16]) -> NDArray[np.float64]:
        chars, words = sums(encoded, self._weights)
        score = (chars + words) / FIXED_POINT + self._bias
        for index in np.flatnonzero(self._style_weights):
            z = (style[:, index].astype(np.float64) - self._style_mean[index]) / self._style_spread[index]
            score += np.minimum(np.maximum(z, -STYLE_LIMIT), STYLE_LIMIT) * self._style_weights[index]
        return score
