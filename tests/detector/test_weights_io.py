"""Model files load whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ModelError
from detector.weights_io import load_weights, save_weights, take

META = {"name": "toy", "version": "1"}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_weights(tmp_path / "toy", {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}, META)
    return tmp_path / "toy"


def test_what_was_saved_comes_back(saved: Path) -> None:
    arrays, meta = load_weights(saved)
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (meta["name"], meta["version"]) == ("toy", "1")


def test_a_suffix_in_the_path_is_the_same_model(saved: Path) -> None:
    assert load_weights(saved.parent / "toy.json")[1] == load_weights(saved)[1]


def test_saving_leaves_nothing_but_the_pair(saved: Path) -> None:
    assert sorted(path.name for path in saved.parent.iterdir()) == ["toy.json", "toy.safetensors"]


def test_every_flipped_byte_is_noticed(saved: Path) -> None:
    path = saved.parent / "toy.safetensors"
    body = bytearray(path.read_bytes())
    for place in range(0, len(body), 7):
        body[place] ^= 1
        path.write_bytes(body)
        with pytest.raises(ModelError, match="checksum"):
            load_weights(saved)
        body[place] ^= 1


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_file_cut_short_is_refused(saved: Path, suffix: str) -> None:
    path = saved.parent / f"toy{suffix}"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelError, match="toy"):
        load_weights(saved)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file_is_named(saved: Path, suffix: str) -> None:
    (saved.parent / f"toy{suffix}").unlink()
    with pytest.raises(ModelError, match="cannot read the model 'toy'"):
        load_weights(saved)


@pytest.mark.parametrize("change", [{"format": 2}, {"sha256": 5}, {"name": None}])
def test_json_of_another_make_is_refused(saved: Path, change: dict[str, object]) -> None:
    path = saved.parent / "toy.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError):
        load_weights(saved)


def test_json_that_is_no_object_is_refused(saved: Path) -> None:
    (saved.parent / "toy.json").write_text("[1]")
    with pytest.raises(ModelError, match="format"):
        load_weights(saved)


def test_a_value_that_is_no_number_is_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "toy", {"a": np.array([1.0, np.nan])}, META)
    with pytest.raises(ModelError, match="no number in 'a'"):
        load_weights(tmp_path / "toy")


def test_a_model_needs_a_name_and_a_version(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="version"):
        save_weights(tmp_path / "toy", {}, {"name": "toy"})


def test_take_checks_presence_and_shape() -> None:
    arrays = {"a": np.zeros((2, 3))}
    assert take(arrays, "a", (None, 3), Path("m")) is arrays["a"]
    for name, shape in (("b", (1,)), ("a", (2, 2)), ("a", (6,))):
        with pytest.raises(ModelError, match="m"):
            take(arrays, name, shape, Path("m"))
