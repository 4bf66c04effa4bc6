"""The picture of groups: everybody in it, nothing over another, the same every time."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from graph.exports import Network
from graph.picture import _packed, draw

pytest.importorskip("matplotlib")


def groups(sizes: list[int], label: str = "account") -> Network:
    """Groups in which everybody is tied to the next."""
    number = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    n = len(number)
    source = np.flatnonzero(number[:-1] == number[1:])
    names = [f"{label} {place}" for place in range(n)]
    weight = np.ones(len(source))
    return Network(names, names, number, np.ones(n), source, source + 1, np.ones(len(source), np.int64), weight)


def test_a_small_picture_names_everybody_and_equal_networks_are_equal_pictures(tmp_path: Path) -> None:
    for name in ("1.svg", "2.svg"):
        draw(tmp_path / name, groups([5, 3], "$x$ <b>"), "a title")
    text = (tmp_path / "1.svg").read_text(encoding="utf-8")
    assert all(f"$x$ &lt;b&gt; {place}" in text for place in range(8))
    assert "5 accounts" in text
    assert text == (tmp_path / "2.svg").read_text(encoding="utf-8")


def test_a_large_picture_lists_its_groups(tmp_path: Path) -> None:
    draw(tmp_path / "large.svg", groups([60, *[4] * 60], "u"), "many")
    text = (tmp_path / "large.svg").read_text(encoding="utf-8")
    assert "60 accounts: u 0, u 1 and 58 more" in text
    assert "and 16 more groups" in text


@pytest.mark.parametrize("name", ["none.png", "none.pdf"])
def test_no_groups_are_a_picture_that_says_so(tmp_path: Path, name: str) -> None:
    draw(tmp_path / name, groups([]), "nobody")
    assert (tmp_path / name).stat().st_size > 1000


def test_discs_do_not_overlap() -> None:
    radius = [9.0, 5.0, *[1.0 + n / 10 for n in range(25)]]
    placed = list(zip(_packed(radius), radius, strict=True))
    gaps = [math.dist(one, two) - r - s for (one, r), (two, s) in combinations(placed, 2)]
    assert min(gaps) >= 0
