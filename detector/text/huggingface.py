"""A Hugging Face model as the second stage: a sequence classifier's log-odds, or a causal LM's token statistics.

The model's own number is no likelihood ratio. A calibrator file beside it (`NAME.safetensors`, `NAME.json`, written by
`swarmlight train text --second-stage`) says what the number and the first-stage LLR are worth together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.evidence import MILLINAT
from detector.text.calibration import MIN_WORDS, UNCALIBRATED, Calibrator
from detector.text.encoder import one_thread
from detector.text.tokenize import encode, normalise
from detector.weights_io import load_weights, take

KIND: Final = "huggingface"
"""`kind` in the calibrator's JSON, beside `model` (path or name), `machine_label` and `languages`."""

TOKENS: Final = 256
"""Tokens of a text that are read: 500 characters hardly have more."""

RAW_LIMIT: Final = 30.0
"""Bound of a model's own number, so that a saturated classifier stays finite."""


class HuggingFaceClassifier:
    """A `SecondStageModel` around `AutoModelForSequenceClassification` or `AutoModelForCausalLM`.

    A classifier's raw score is log p(machine) - log p(not machine). A causal LM's is the conditional probability
    curvature of Fast-DetectGPT (Bao et al. 2024, sampling and scoring model the same, analytic):
    sum_t (log p(x_t) - E_t) / sqrt(sum_t Var_t), mean and variance over the model's own next-token distribution.
    One text at a time, so neighbours cannot matter.
    """

    def __init__(self, path_or_name: str, calibrator: Path, *, offline: bool = True) -> None:
        """Args:
        path_or_name: a folder, or a hub name.
        calibrator: path of the calibrator file, with or without suffix.
        offline: do not ask the hub.

        Raises:
            ModelError: model or calibrator cannot be loaded, or the calibrator was made for another model.
        """
        arrays, meta = load_weights(calibrator)
        label = meta.get("machine_label")
        if meta.get("kind") != KIND or meta.get("model") != path_or_name or not isinstance(label, int):
            raise ModelError(f"the calibrator {calibrator} was made for another model than {path_or_name}")
        self.name = str(meta["name"])
        self.version = str(meta["version"])
        self._mix = take(arrays, "mix", (3,), calibrator).astype(np.float64)
        self._calibrator = Calibrator.from_arrays(arrays, meta, calibrator)
        self._raw = RawScorer(path_or_name, machine_label=label, offline=offline)

    @classmethod
    def load(cls, calibrator: Path) -> HuggingFaceClassifier:
        """The model that a calibrator file names.

        Raises:
            ModelError: as above.
        """
        return cls(str(load_weights(calibrator)[1].get("model")), calibrator)

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
        for row in spoken:
            one = slice(row, row + 1)
            raw, nats = self._raw.score(clean[row]), float(first_stage[row]) / MILLINAT
            mixed = np.array([self._mix[0] * raw + self._mix[1] * nats + self._mix[2]])
            out[one] = self._calibrator.millinats(mixed, words[one], group[one])
        return out


class RawScorer:
    """The model's own number for one text; larger is more machine-like for a classifier, and by intent for a LM."""

    def __init__(self, path_or_name: str, *, machine_label: int = -1, offline: bool = True) -> None:
        """Args:
        path_or_name: a folder, or a hub name.
        machine_label: which of a classifier's outputs means machine.
        offline: do not ask the hub.

        Raises:
            ModelError: the model cannot be loaded.
        """
        import torch
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForSequenceClassification,
            AutoTokenizer,
        )
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]

        self._torch = torch
        self._label = machine_label
        try:
            config: Any = AutoConfig.from_pretrained(path_or_name, local_files_only=offline)
            kinds = " ".join(config.architectures or [])
            self.causal = "ForCausalLM" in kinds or "LMHead" in kinds
            loader = AutoModelForCausalLM if self.causal else AutoModelForSequenceClassification
            self._tokenizer: Any = AutoTokenizer.from_pretrained(path_or_name, local_files_only=offline)
            model: Any = loader.from_pretrained(path_or_name, local_files_only=offline, use_safetensors=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"cannot load the model {path_or_name!r}: {type(error).__name__}; give a folder with config.json, a "
                "tokenizer and safetensors weights of a sequence classifier or a causal LM"
            ) from error
        self._model = model.eval()

    def score(self, text: str) -> float:
        """Raw score of one normalised text, within `RAW_LIMIT`; 0 where there are too few tokens."""
        torch = self._torch
        pieces = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=TOKENS)
        with one_thread(torch):
            logits = self._model(**pieces).logits[0].double()
            raw = _curvature(torch, logits, pieces["input_ids"][0]) if self.causal else _log_odds(logits, self._label)
        return float(np.clip(raw, -RAW_LIMIT, RAW_LIMIT)) if np.isfinite(raw) else 0.0


def _log_odds(logits: Any, label: int) -> float:
    if len(logits) == 1:
        return float(logits[0])
    others = [i for i in range(len(logits)) if i != label % len(logits)]
    return float(logits[label] - logits[others].logsumexp(0))


def _curvature(torch: Any, logits: Any, tokens: Any) -> float:
    if len(tokens) < 3:
        return 0.0
    log_p = torch.log_softmax(logits[:-1], dim=-1)
    p = log_p.exp()
    seen = log_p.gather(1, tokens[1:, None])[:, 0]
    mean = (p * log_p).sum(-1)
    variance = (p * log_p.square()).sum(-1) - mean.square()
    return float((seen - mean).sum() / variance.sum().clamp_min(1e-12).sqrt())
