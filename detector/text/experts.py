"""Loads whatever expert a models directory holds: the shipped head, or a Hugging Face model named by its user."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from detector.errors import ModelError
from detector.text.huggingface import KIND as HUGGINGFACE
from detector.text.huggingface import HuggingFaceClassifier
from detector.text.minilm import FILE, MiniLMExpert
from detector.text.protocol import Expert
from detector.weights_io import load_weights

MINILM: Final = "minilm"
"""`kind` in `expert.json` of a head over MiniLM embeddings; taken where none is given."""


def load_expert(directory: Path) -> Expert | None:
    """The expert in `directory`; `None` where there is none.

    Raises:
        ModelError: it is damaged, of an unknown kind, or what it needs is not installed.
    """
    if not (directory / f"{FILE}.json").exists():
        return None
    _, meta = load_weights(directory / FILE)
    kind = meta.get("kind", MINILM)
    if kind == MINILM:
        return MiniLMExpert.load(directory)
    if kind == HUGGINGFACE:
        return HuggingFaceClassifier.load(directory / FILE)
    raise ModelError(f"{directory / FILE}.json is of kind {kind!r}, which this release does not know; train it again")
