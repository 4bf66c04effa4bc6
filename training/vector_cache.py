"""Vectors of what texts say, each text read once: reading them is nearly all of the time that training takes.

The file has one record a text, a digest and the vector, and only grows; a record that a broken run left half written is
cut off. Its name has the version of the encoder, so that vectors of another are not mixed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from detector.text.meaning import MEANING_DIM

DIGEST: Final = 12
"""Bytes of a text's digest: two of a billion texts have the same by a chance of 1 in 10^11."""

SAVED_EACH: Final = 2048
"""Texts after which what was read is saved: some seconds of reading are lost by an interruption."""

Vectors = NDArray[np.int8]


class Meanings(Protocol):
    """Whatever gives vectors of meaning."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """The vector of each text, shape (n, width)."""
        ...


class VersionedMeanings(Meanings, Protocol):
    """Such whose vectors may be kept (`detector.text.meaning.MeaningEncoder`)."""

    @property
    def version(self) -> str:
        """Of its weights."""
        ...


class VectorCache:
    """Vectors of meaning, kept by text.

    Args:
        encoder: reads what is not there yet.
        folder: for the file, which is made; None keeps nothing beyond this object.
    """

    def __init__(self, encoder: VersionedMeanings, folder: Path | None = None) -> None:
        self._encoder = encoder
        self._folder = folder
        self._known: dict[bytes, Vectors] | None = None
        self.read = 0
        """Texts that the encoder has read."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """The vector of each text, shape (n, width)."""
        known = self._load()
        keys = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST).digest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        # Texts of a length are read together, however many are saved at once.
        ordered = sorted(new, key=lambda key: (len(new[key]), key))
        for start in range(0, len(ordered), SAVED_EACH):
            part = ordered[start : start + SAVED_EACH]
            found = self._encoder.vectors([new[key] for key in part])
            known |= dict(zip(part, found, strict=True))
            self.read += len(part)
            if (path := self._path) is not None:
                with path.open("ab") as file:
                    file.write(b"".join(key + vector.tobytes() for key, vector in zip(part, found, strict=True)))
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, MEANING_DIM), np.int8)

    @property
    def _path(self) -> Path | None:
        return None if self._folder is None else self._folder / f"vectors-{self._encoder.version}.bin"

    def _load(self) -> dict[bytes, Vectors]:
        if self._known is not None:
            return self._known
        self._known = {}
        if (path := self._path) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                size = DIGEST + MEANING_DIM
                whole = path.stat().st_size // size * size
                with path.open("r+b") as file:
                    file.truncate(whole)
                rows = np.fromfile(path, np.int8).reshape(-1, size)
                keys = rows[:, :DIGEST].tobytes()
                self._known = {
                    keys[n * DIGEST : (n + 1) * DIGEST]: row for n, row in enumerate(rows[:, DIGEST:])
                }  # fmt: skip
        return self._known
