"""Boosted trees as plain arrays: what ships of a gradient boosting model, so that scoring needs no training library.

`training/boosting.py` fits the trees with scikit-learn and writes them in this form; a test holds the two to the same
predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.weights_io import take

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Trees:
    """T regression trees whose values are added up, their N nodes in one table.

    A row of features goes left at a node where feature `feature[node]` is at most `threshold[node]`, else right. A leaf
    leads to itself on both sides. The children of an inner node come after it in the table, so walks end.

    Args:
        root: (T,) first node of each tree.
        feature: (N,) which feature a node compares; 0 at leaves.
        threshold: (N,) with what; 0 at leaves.
        children: (N, 2) the nodes to the left and to the right.
        value: (N,) what a leaf adds; inner nodes have one too, which is not used.
    """

    root: Indices
    feature: Indices
    threshold: Floats
    children: Indices
    value: Floats

    @classmethod
    def none(cls) -> Trees:
        """No tree at all: predicts 0."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, np.zeros(0), np.zeros((0, 2), np.int64), np.zeros(0))

    @cached_property
    def depth(self) -> int:
        """Comparisons on the longest way from a root to a leaf."""
        nodes, depth = self.root, 0
        while len(nodes := nodes[self.children[nodes, 0] != nodes]):
            nodes = np.unique(self.children[nodes])
            depth += 1
        return depth

    def predict(self, rows: Floats) -> Floats:
        """Sum of the trees' values for each row.

        Args:
            rows: (n, d) features without NaN.

        Returns:
            (n,). A row's sum does not depend on the other rows.
        """
        n, width = rows.shape
        flat, children = rows.reshape(-1), self.children.reshape(-1)
        node = np.repeat(self.root[None, :], n, axis=0)
        first = np.arange(n)[:, None] * width
        for _ in range(self.depth):
            right = np.take(flat, np.take(self.feature, node) + first) > np.take(self.threshold, node)
            node = np.take(children, 2 * node + right)
        total: Floats = np.take(self.value, node).sum(axis=1)
        return total

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The trees as named arrays in the types they are stored in."""
        return {f"{prefix}.{name}": np.asarray(getattr(self, name), dtype) for name, dtype in _STORED.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int, path: Path) -> Trees:
        """The trees stored under a prefix.

        Args:
            arrays: of a weights file.
            prefix: of the names.
            width: number of features of the rows.
            path: of the file, for messages.

        Raises:
            ModelError: an array is missing, of another shape, or leads outside the table or in a circle.
        """
        nodes = len(take(arrays, f"{prefix}.feature", (None,), path))
        shapes: dict[str, tuple[int | None, ...]] = {"root": (None,), "children": (nodes, 2)}
        loaded: dict[str, NDArray[Any]] = {}
        for name, dtype in _STORED.items():
            value = take(arrays, f"{prefix}.{name}", shapes.get(name, (nodes,)), path)
            loaded[name] = value.astype(np.int64 if np.issubdtype(dtype, np.integer) else np.float64)
        itself = np.arange(nodes)[:, None]
        forward = (loaded["children"] > itself).all(axis=1) | (loaded["children"] == itself).all(axis=1)
        for name, limit in (("root", nodes), ("feature", width), ("children", nodes)):
            value = loaded[name]
            if value.size and not 0 <= int(value.min()) <= int(value.max()) < limit:
                raise ModelError(f"{prefix}.{name} in {path} asks for what this version does not have: train it again")
        if not forward.all():
            raise ModelError(f"{prefix}.children in {path} does not lead from a root to a leaf: train it again")
        return cls(**loaded)


_STORED: Final[dict[str, type[np.generic]]] = {
    "root": np.int32,
    "feature": np.int32,
    "threshold": np.float64,
    "children": np.int32,
    "value": np.float64,
}
"""Thresholds and values are stored as they were fitted, so that the shipped trees are those that were measured."""
