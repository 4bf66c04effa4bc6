"""One calibrated logit from a row of features: shrunk linear terms and oblivious trees, both plain arrays.

A head holds what logistic regression and gradient boosting learned, so that scoring needs neither library, and its
answer for a row does not depend, to the bit, on the other rows of the call (matrix products would; sums along
a row do not).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.weights_io import take

CLIP: Final = 4.0
"""Standard deviations at which a standardised feature is cut: a single odd habit decides nothing."""

_CHUNK: Final = 256
"""Rows scored at once: keeps the scratch arrays in the processor's cache."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """logit = mix[0] + mix[1] * linear + mix[2] * trees.

    Term j reads feature `column[j]`, standardised and clipped, times n / (n + `shrink[j]`), where n is the count the
    feature rests on: few posts say little, and a term without any says nothing. The linear part weighs the terms. A
    tree asks `depth` questions, is term `question` above `cut`, whose answers, first the highest bit, number its leaf.

    Args:
        column: (J,) feature of each term.
        centre, scale: (J,) standardisation.
        shrink: (J,) posts at which a term has half of its size.
        weight: (J,).
        question: (T, depth) terms.
        cut: (T, depth).
        leaf: (T, 2^depth) in logits.
        mix: (3,).
    """

    column: NDArray[np.int64]
    centre: Floats
    scale: Floats
    shrink: Floats
    weight: Floats
    question: NDArray[np.int64]
    cut: Floats
    leaf: Floats
    mix: Floats

    def logit(self, values: Floats, counts: Floats) -> Floats:
        """The logit of each row.

        Args:
            values: (n, D) features.
            counts: (n, D) how many observations each rests on.
        """
        out = np.empty(len(values))
        for start in range(0, len(values), _CHUNK):
            part = slice(start, start + _CHUNK)
            terms = self.terms(values[part], counts[part])
            linear = self.mix[1] * (terms * self.weight).sum(axis=1) if self.mix[1] else 0.0
            trees = self.mix[2] * self.trees(terms) if self.mix[2] else 0.0
            out[part] = self.mix[0] + linear + trees
        return out

    def terms(self, values: Floats, counts: Floats) -> Floats:
        """(n, J) terms."""
        # `take` keeps each row contiguous; indexing would not, and a row's sum would then depend on how many there are.
        terms: Floats = np.take(values, self.column, axis=1)
        terms -= self.centre
        terms /= self.scale
        np.clip(terms, -CLIP, CLIP, out=terms)
        rests = np.take(counts, self.column, axis=1)
        terms *= rests / (rests + self.shrink)
        return terms

    def trees(self, terms: Floats) -> Floats:
        """(n,) sum of the trees' leaves for rows of terms."""
        count, depth = self.question.shape
        leaf = np.zeros((len(terms), count), np.int64)
        for level in range(depth):
            leaf <<= 1
            leaf |= np.take(terms, self.question[:, level], axis=1) > self.cut[:, level]
        leaf += np.arange(count) << depth
        total: Floats = np.take(self.leaf.reshape(-1), leaf).sum(axis=1)
        return total

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The head as named arrays in the types they are stored in."""
        stored = {name: np.asarray(getattr(self, name), dtype) for name, dtype in _STORED.items()}
        return {f"{prefix}.{name}": value for name, value in stored.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int, path: Path) -> Head:
        """The head stored under `prefix`, for `width` features.

        Raises:
            ModelError: an array is missing or of a shape that does not fit the others or the features.
        """
        terms = len(take(arrays, f"{prefix}.column", (None,), path))
        trees, depth = take(arrays, f"{prefix}.question", (None, None), path).shape
        shapes: dict[str, tuple[int | None, ...]] = {
            "question": (trees, depth),
            "cut": (trees, depth),
            "leaf": (trees, 1 << depth),
            "mix": (3,),
        }
        loaded: dict[str, NDArray[Any]] = {}
        for name, dtype in _STORED.items():
            value = take(arrays, f"{prefix}.{name}", shapes.get(name, (terms,)), path)
            loaded[name] = value.astype(np.int64 if np.issubdtype(dtype, np.integer) else np.float64)
        for name, limit in (("column", width), ("question", terms)):
            if loaded[name].size and not 0 <= int(loaded[name].min()) <= int(loaded[name].max()) < limit:
                raise ModelError(f"{prefix}.{name} in {path} asks for what this version does not have: train it again")
        if not bool((loaded["scale"] > 0).all() and (loaded["shrink"] > 0).all()):
            raise ModelError(f"{prefix} in {path} has a scale or shrink that is not positive: train it again")
        return cls(**loaded)


@dataclass(frozen=True)
class Mixture:
    """logit = line[0] + line[1] * log(mean of exp(logit) over heads): machines are of one kind or of another.

    Each head knows another kind of machine against the same people; the likelihood of a mixture of kinds is the mean of
    theirs.

    Args:
        heads: at least one.
        line: (2,) shift and slope of the calibration.
    """

    heads: tuple[Head, ...]
    line: Floats

    def logit(self, values: Floats, counts: Floats) -> Floats:
        """The logit of each row; arguments as of `Head.logit`."""
        said = np.stack([head.logit(values, counts) for head in self.heads])
        out: Floats = self.line[0] + self.line[1] * (np.logaddexp.reduce(said, axis=0) - np.log(len(self.heads)))
        return out

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The mixture as named arrays in the types they are stored in."""
        stored: dict[str, NDArray[Any]] = {f"{prefix}.line": np.asarray(self.line, np.float64)}
        for i, head in enumerate(self.heads):
            stored |= head.arrays(f"{prefix}.{i}")
        return stored

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int, path: Path) -> Mixture:
        """The mixture stored under `prefix`, for `width` features.

        Raises:
            ModelError: as `Head.from_arrays`, or there is no head.
        """
        line = take(arrays, f"{prefix}.line", (2,), path).astype(np.float64)
        heads = [Head.from_arrays(arrays, f"{prefix}.0", width, path)]
        while f"{prefix}.{len(heads)}.column" in arrays:
            heads.append(Head.from_arrays(arrays, f"{prefix}.{len(heads)}", width, path))
        return cls(tuple(heads), line)


_STORED: Final[dict[str, type[np.generic]]] = {
    "column": np.int32,
    "centre": np.float32,
    "scale": np.float32,
    "shrink": np.float32,
    "weight": np.float32,
    "question": np.int32,
    "cut": np.float32,
    "leaf": np.float32,
    "mix": np.float64,
}
