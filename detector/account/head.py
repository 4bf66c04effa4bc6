"""One calibrated logit from a row of features: shrunk linear terms and small trees, both plain arrays.

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

from detector.weights_io import take

CLIP: Final = 4.0
"""Standard deviations at which a standardised feature is cut: a single odd habit decides nothing."""

_CHUNK: Final = 4096
"""Rows scored at once: bounds the scratch memory of the linear terms to a few MB."""


@dataclass(frozen=True)
class Head:
    """logit = mix[0] + mix[1] * linear + mix[2] * trees.

    Linear term j reads feature `column[j]`, standardised and clipped, times n / (n + `shrink[j]`), where n is the
    count the feature rests on: few posts say little, and how fast they come to say more is learned per term.
    Trees are complete binary trees of one depth: node i goes to 2 i + 1 where its feature is at most its cut, else
    to 2 i + 2.

    Args:
        column: (J,) feature of each linear term.
        centre, scale: (J,) standardisation.
        shrink: (J,) posts at which the term has half of its weight.
        weight: (J,).
        node_feature: (T, 2^depth - 1).
        node_cut: (T, 2^depth - 1).
        leaf: (T, 2^depth) in logits.
        mix: (3,).
    """

    column: NDArray[np.int64]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    shrink: NDArray[np.float64]
    weight: NDArray[np.float64]
    node_feature: NDArray[np.int64]
    node_cut: NDArray[np.float64]
    leaf: NDArray[np.float64]
    mix: NDArray[np.float64]

    def logit(self, values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logit of each row.

        Args:
            values: (n, D) features.
            counts: (n, D) how many observations each rests on.
        """
        out = np.empty(len(values))
        for start in range(0, len(values), _CHUNK):
            part = slice(start, start + _CHUNK)
            out[part] = self._logit(values[part], counts[part])
        return out

    def _logit(self, values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.full(len(values), self.mix[0])
        if self.mix[1] != 0:
            terms = self.terms(values, counts)
            total += self.mix[1] * (terms * self.weight).sum(axis=1)
        if self.mix[2] != 0:
            total += self.mix[2] * self._trees(values)
        return total

    def terms(self, values: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, J) the linear terms before their weights."""
        # `take` keeps each row contiguous; indexing would not, and a row's sum would then depend on how many there are.
        terms: NDArray[np.float64] = np.take(values, self.column, axis=1)
        terms -= self.centre
        terms /= self.scale
        np.clip(terms, -CLIP, CLIP, out=terms)
        rests = np.take(counts, self.column, axis=1)
        terms *= rests / (rests + self.shrink)
        return terms

    def _trees(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        trees, nodes = self.node_feature.shape
        rows = np.arange(len(values))[:, None]
        tree = np.arange(trees)[None, :]
        node = np.zeros((len(values), trees), np.int64)
        while nodes:
            right = values[rows, self.node_feature[tree, node]] > self.node_cut[tree, node]
            node = 2 * node + 1 + right
            nodes = (nodes - 1) // 2
        leaves = np.ascontiguousarray(self.leaf[tree, node - self.node_feature.shape[1]])
        total: NDArray[np.float64] = leaves.sum(axis=1)
        return total

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The head as named arrays in the types they are stored in."""
        stored = {name: np.asarray(getattr(self, name), dtype) for name, dtype in _STORED.items()}
        return {f"{prefix}.{name}": value for name, value in stored.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, path: Path) -> Head:
        """The head stored under `prefix`.

        Raises:
            ModelError: an array is missing or of a shape that does not fit the others.
        """
        terms = len(take(arrays, f"{prefix}.column", (None,), path))
        trees, nodes = take(arrays, f"{prefix}.node_feature", (None, None), path).shape
        shapes: dict[str, tuple[int | None, ...]] = {
            "node_feature": (trees, nodes),
            "node_cut": (trees, nodes),
            "leaf": (trees, nodes + 1),
            "mix": (3,),
        }
        loaded: dict[str, NDArray[Any]] = {}
        for name, dtype in _STORED.items():
            value = take(arrays, f"{prefix}.{name}", shapes.get(name, (terms,)), path)
            loaded[name] = value.astype(np.int64 if np.issubdtype(dtype, np.integer) else np.float64)
        return cls(**loaded)


_STORED: Final[dict[str, type[np.generic]]] = {
    "column": np.int32,
    "centre": np.float32,
    "scale": np.float32,
    "shrink": np.float32,
    "weight": np.float32,
    "node_feature": np.int32,
    "node_cut": np.float32,
    "leaf": np.float32,
    "mix": np.float64,
}
