"""Vectors kept by text: each text is read once, also by another run, and half a record costs nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.society_data import WordEncoder
from training import vector_cache
from training.vector_cache import VectorCache

TEXTS = ["one", "two", "one", "three words here"]


def test_each_text_is_read_once_and_its_vector_is_the_encoders(tmp_path: Path) -> None:
    encoder = WordEncoder()
    cache = VectorCache(encoder, tmp_path)
    found = cache.vectors(TEXTS)
    assert sorted(encoder.read) == sorted({*TEXTS})
    assert np.array_equal(found, WordEncoder().vectors(TEXTS))
    assert np.array_equal(cache.vectors(["two"]), found[1:2])
    assert cache.read == 3
    assert VectorCache(WordEncoder()).vectors([]).shape == (0, found.shape[1])


def test_another_run_reads_what_is_new_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_cache, "SAVED_EACH", 2)
    found = VectorCache(WordEncoder(), tmp_path).vectors(TEXTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])  # as a run leaves it that was killed while it wrote
    encoder = WordEncoder()
    again = VectorCache(encoder, tmp_path)
    assert np.array_equal(again.vectors([*TEXTS, "four"]), np.r_[found, WordEncoder().vectors(["four"])])
    assert sorted(encoder.read) == ["four", "three words here"]  # the longest was written last
    third = WordEncoder()
    assert np.array_equal(VectorCache(third, tmp_path).vectors(TEXTS), found)
    assert third.read == []


def test_vectors_of_another_encoder_are_not_taken(tmp_path: Path) -> None:
    VectorCache(WordEncoder(), tmp_path).vectors(TEXTS)
    other = WordEncoder()
    other.version = "others"
    VectorCache(other, tmp_path).vectors(TEXTS)
    assert len(other.read) == 3
