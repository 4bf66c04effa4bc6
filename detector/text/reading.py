"""The fixed-size record of what was seen in one text. It travels in the observation log."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

STYLE_DIM: Final = 24
"""Style features of one text: enough for case, length, punctuation, and function-word habits."""

SKETCH_DIM: Final = 32
"""Signed random projection of the text's word and character n-grams, unit length times 127. The squared norm of
an account's mean sketch is the mean cosine between its posts: self-similarity in constant memory."""

MINHASH_DIM: Final = 12
"""MinHash values of word 3-shingles: 6 bands of 2 find 80% of pairs with Jaccard similarity 0.5 and 97% at 0.7."""


class TextAbstain(IntEnum):
    """Why a text gives no evidence; 0 when it does."""

    NONE = 0
    NO_TEXT = 1
    TOO_SHORT = 2
    LANGUAGE = 3
    SWITCHED_OFF = 4


READING: Final = np.dtype(
    [
        ("llr", "<i2"),  # millinats, clipped to +-32.767 nats
        ("abstain", "u1"),  # a TextAbstain
        ("words", "<u2"),  # words of the normalised text, clipped to 65,535
        ("style", "<f2", (STYLE_DIM,)),
        ("sketch", "i1", (SKETCH_DIM,)),
        ("minhash", "<u4", (MINHASH_DIM,)),
    ]
)
"""One text's reading, 153 bytes packed."""

Readings = NDArray[np.void]
"""An array of dtype READING."""


def pack(readings: Readings) -> list[bytes]:
    """One bytes object per reading, for the observation log."""
    raw = readings.tobytes()
    size = READING.itemsize
    return [raw[i : i + size] for i in range(0, len(raw), size)]


def unpack(rows: list[bytes]) -> Readings:
    """Readings from their packed rows, in order; every row must be `READING.itemsize` bytes."""
    return np.frombuffer(b"".join(rows), dtype=READING)
