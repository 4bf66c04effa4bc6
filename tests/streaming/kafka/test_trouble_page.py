"""The page that says what a worker does in trouble names tests, metrics and words of the log that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from streaming.worker_metrics import Metrics

ROOT: Final = Path(__file__).resolve().parents[3]
HEADING: Final = "\n## When the broker or a snapshot is in trouble\n"


def rows() -> list[list[str]]:
    """The cells of each row of the table."""
    page = (ROOT / "docs" / "how-to" / "operate.md").read_text(encoding="utf-8")
    lines = page.split(HEADING)[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line.startswith("| ")][2:]


def code(*folders: str) -> str:
    """All code below some folders, each text in one piece."""
    text = "\n".join(path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_names_what_is_there(row: list[str]) -> None:
    _, does, metric, said, ends, tests = row
    assert does
    assert ends
    (words,) = re.findall(r"`(.+)`", said)
    assert words in code("streaming")
    known = {family.name for family in Metrics().registry.collect()} | {"up"}
    assert {name.removesuffix("_total") for name in re.findall(r"`(\w+)`", metric)} <= known
    named = re.findall(r"`(test_\w+)`", tests)
    assert named
    defined = code("tests/streaming")
    assert [name for name in named if f"def {name}(" not in defined] == []
