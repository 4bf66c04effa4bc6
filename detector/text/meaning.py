"""What a text says, as a vector: texts that say the same in other words lie near each other.

The vector is the mean over the text's pieces of the packaged MiniLM encoder's last layer, where topic sits (style,
which the second-stage model reads, sits in the lower layers), in one byte a number: what is kept of an account's posts
stays small, and products of such vectors are whole numbers, so exact in any order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.text.encoder import DIM, Encoder, encoder_digest, encoder_folder
from detector.text.tokenize import normalise

MEANING_DIM: Final = DIM
"""Numbers of a vector."""

MEANING_LAYERS: Final = (6,)
"""The last layer alone: the one that the encoder was trained to give for what a sentence says."""

LARGEST: Final = 127
"""The largest number of a vector by magnitude; its length is of no account, cosines are taken."""


class MeaningEncoder:
    """Vectors of meaning. A text's neighbours do not matter. The encoder itself is loaded at the first text."""

    name: Final = "minilm-meaning"

    @cached_property
    def version(self) -> str:
        """The beginning of the digest of the weights: vectors of other weights are not to be compared.

        Raises:
            ModelError: the encoder is not installed.
        """
        return encoder_digest(encoder_folder())[:8]

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(encoder_folder(), MEANING_LAYERS)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """The vector of each text, (n, `MEANING_DIM`), its largest number by magnitude `LARGEST`.

        Raises:
            ModelError: the encoder is not installed or cannot be loaded.
        """
        if not texts:
            return np.zeros((0, MEANING_DIM), np.int8)
        return quantised(self._encoder.embed([normalise(text) for text in texts]))


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors in one byte a number, (n, d) to (n, d); a row of zeros stays one."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled: NDArray[np.int8] = np.rint(LARGEST * (vectors / np.where(largest == 0, 1, largest))).astype(np.int8)
    return scaled
