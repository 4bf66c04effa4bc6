"""Every peer learns from the same texts and judges clusters it has not seen; what is missing is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ModelError
from streaming.cli import main
from tests.detector.text.test_huggingface import tiny_causal
from tests.training.studies.test_few_examples import crossed
from training.studies import cli, peers
from training.studies.peers import Binoculars, speed, statistics_of
from training.vector_cache import Vectors


class Counts:
    """An encoder that counts letters."""

    version = "counts"

    def vectors(self, texts: Sequence[str]) -> Vectors:
        return np.array([[min(text.count(chr(97 + n % 26)), 127) for n in range(384)] for text in texts], np.int8)


def test_each_peer_has_a_row_and_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "crossfit", lambda data, cache: crossed(20))
    monkeypatch.setattr(peers, "MeaningEncoder", Counts)
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    given = ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--texts", "20"]
    assert main(["study", "peers", *given]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    found = {row[0]: row[1:] for row in rows}
    assert float(found["n-grams, logistic regression"][0]) > 0.5
    assert found["style, boosting"][4] == "3"
    assert found["wordllama, logistic regression"][0].startswith("wordllama is not installed")
    assert all("--language-model" in found[name][0] for name in ("Fast-DetectGPT", "Binoculars"))


def test_binoculars_of_one_model_twice_is_its_entropy_beside_its_surprise(tmp_path: Path) -> None:
    model = tiny_causal(tmp_path)
    assert set(statistics_of([model, model])) == {"Fast-DetectGPT", "Binoculars"}
    found = Binoculars(model, model)
    assert found.score("") == 0.0
    assert found.score("we went home") < 0
    with pytest.raises(ModelError, match="causal language model"):
        Binoculars(str(tmp_path / "none"), model)


def test_statistics_alone_need_no_fits_and_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_texts", lambda data: crossed(20))
    given = ["study", "peers", "--data", str(tmp_path), "--statistics", "--texts", "5"]
    assert main([*given, "--language-model", str(tiny_causal(tmp_path))]) == 0
    (row,) = capsys.readouterr().out.splitlines()[2:]
    name, area, _, _, _, sources, rate = (cell.strip() for cell in row.split("|")[1:-1])
    assert name == "Fast-DetectGPT, 5 texts of each"
    assert 0.0 <= float(area) <= 1.0
    assert int(sources) == 3
    assert float(rate.replace(",", "")) > 0
    assert main(given) == 2
    assert "--language-model" in capsys.readouterr().err


def test_speed_is_texts_per_second_of_processor_time() -> None:
    assert speed(lambda texts: sum(range(200_000)), ["a"] * 10) > 0
