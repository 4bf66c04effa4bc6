"""Trees as plain arrays: a walk by hand, and files that cannot be walked are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.account.trees import Trees
from detector.errors import ModelError

STUMP_AND_TREE = Trees(
    root=np.array([0, 3]),
    feature=np.array([0, 0, 0, 1, 0, 0, 0, 0]),
    threshold=np.array([0.5, 0.0, 0.0, 1.0, 0.0, 0.5, 0.0, 0.0]),
    children=np.array([[1, 2], [1, 1], [2, 2], [4, 5], [4, 4], [6, 7], [6, 6], [7, 7]]),
    value=np.array([9.0, 1.0, 2.0, 9.0, 10.0, 9.0, 20.0, 30.0]),
)
"""x0 <= 0.5: 1, else 2; and x1 <= 1: 10, else x0 <= 0.5: 20, else 30."""


def test_values_of_the_leaves_reached_are_added() -> None:
    rows = np.array([[0.5, 1.0], [0.6, 1.0], [0.5, 1.1], [0.6, 1.1]])
    assert STUMP_AND_TREE.predict(rows).tolist() == [11.0, 12.0, 21.0, 32.0]
    assert STUMP_AND_TREE.depth == 2


def test_no_trees_predict_nothing() -> None:
    assert Trees.none().predict(np.ones((3, 2))).tolist() == [0.0, 0.0, 0.0]
    assert Trees.none().depth == 0


def test_trees_come_back_from_their_arrays() -> None:
    again = Trees.from_arrays(STUMP_AND_TREE.arrays("t"), "t", 2, Path("m"))
    rows = np.random.default_rng(0).normal(size=(50, 2))
    assert np.array_equal(again.predict(rows), STUMP_AND_TREE.predict(rows))


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("root", 0, 8, "root"),
        ("root", 0, -1, "root"),
        ("feature", 0, 2, "feature"),
        ("children", (3, 1), 8, "children"),
        ("children", (5, 0), 3, "from a root to a leaf"),
        ("children", (0, 0), 0, "from a root to a leaf"),
    ],
)
def test_a_table_that_leads_nowhere_is_refused(
    name: str, place: int | tuple[int, int], value: int, message: str
) -> None:
    arrays = STUMP_AND_TREE.arrays("t")
    arrays[f"t.{name}"] = arrays[f"t.{name}"].copy()
    arrays[f"t.{name}"][place] = value
    with pytest.raises(ModelError, match=message):
        Trees.from_arrays(arrays, "t", 2, Path("m"))
