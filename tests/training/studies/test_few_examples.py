"""Posts of a generator that was left out are added, and what is left of them is found; the rest stays as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from detector.text.tokenize import encode
from streaming.cli import main
from tests.training.textsets import sentence
from training.studies import cli, few_examples
from training.vector_cache import Vectors


def crossed(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """A cross-fitted table of three clusters, one of whose machines nobody tells from people."""
    rng = np.random.default_rng(seed)
    made: list[dict[str, Any]] = []
    for cluster in ("known", "new", "other"):
        for label in (0, 1):
            for number in range(rows):
                new = label == 1 and cluster == "new"
                text = sentence(rng, label == 1 and not new, 0.3) + (" , as the saying goes" if new else "")
                nats = rng.normal(1.0 if label and not new else -1.0, 0.5)
                record = {
                    "text": text, "label": label, "source": cluster, "cluster": cluster, "set": cluster, "lang": "en",
                    "author_id": f"{cluster}{label}{number // 4}", "parent_id": "", "llr": round(1000 * nats),
                    "raw": nats, "generator": "g",
                }  # fmt: skip
                made.append(record)
    table = pd.DataFrame(made)
    return table.assign(words=encode(table["text"].tolist()).word_counts)


class Lengths:
    """An encoder that sees nothing but lengths."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        return np.array([[min(len(text), 127), 1] for text in texts], np.int8)


ADDED = ("added, 28", "rival, 28")
"""Half of sixty is measured, and of the rest those whose author is not."""


def cells(table: str) -> dict[tuple[str, str], list[float]]:
    """(left out, posts) -> the figures of a row."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {(row[0], row[1]): [float(cell) for cell in row[2:]] for row in rows}


def test_what_is_left_of_it_is_found_and_others_keep_their_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(few_examples, "COUNTS", (30,))
    monkeypatch.setattr(few_examples, "PEOPLE", 40)
    monkeypatch.setattr(few_examples, "FEWEST", 20)
    monkeypatch.setattr("training.text_calibration.MIN_EACH", 20)
    monkeypatch.setattr(cli, "crossfit", lambda data, cache: crossed())
    monkeypatch.setattr(cli, "VectorCache", lambda encoder, folder: Lengths())
    monkeypatch.setattr(cli, "MeaningEncoder", object)
    given = ["study", "few-examples", "--data", str(tmp_path), "--cluster", "new", "--rival"]
    assert main(given) == 0
    found = cells(capsys.readouterr().out)
    before, after, rival = (found["new", name] for name in ("before", *ADDED))
    assert before[0] < 0.7 < 0.9 < after[0]
    assert after[0] > rival[0]
    assert after[3] > before[3] - 0.05
    assert found["mean", "added, 30"] == after
    assert main([*given[:-2], "none"]) != 0
    assert "fewer than 20 posts" in capsys.readouterr().err
