"""Vectors of meaning: what they hold, that texts do not feel their neighbours, and that the model is there once."""

from __future__ import annotations

import numpy as np
import pytest

from detector.text.encoder import Encoder
from detector.text.meaning import LARGEST, MEANING_DIM, MEANING_LAYERS, MeaningEncoder, quantised
from tests.detector.text.test_second_stage import TEXTS


@pytest.fixture(scope="module")
def encoder() -> MeaningEncoder:
    return MeaningEncoder()


def test_a_vector_is_384_bytes_and_texts_that_say_the_same_are_nearest(encoder: MeaningEncoder) -> None:
    vectors = encoder.vectors(
        [
            "The new port will bring thousands of jobs to our town.",
            "Our town gets so much work once that harbour is built!",
            "My cat knocked the flowers off the shelf again last night.",
        ]
    )
    assert vectors.dtype == np.int8
    assert vectors.shape == (3, MEANING_DIM)
    assert (np.abs(vectors.astype(int)).max(axis=1) == LARGEST).all()
    wide = vectors.astype(np.float64)
    cosines = wide @ wide.T / np.outer(np.linalg.norm(wide, axis=1), np.linalg.norm(wide, axis=1))
    assert cosines[0, 1] > max(cosines[0, 2], cosines[1, 2]) + 0.3


def test_a_vector_does_not_depend_on_neighbours_or_order(encoder: MeaningEncoder) -> None:
    texts = [*TEXTS, " ".join(TEXTS), "word " * 200, "", *TEXTS[::-1]]
    alone = np.concatenate([encoder.vectors([text]) for text in texts])
    assert (encoder.vectors(texts) == alone).all()
    assert (encoder.vectors(texts[::-1]) == alone[::-1]).all()
    assert (encoder.vectors(texts * 8) == np.concatenate([alone] * 8)).all()  # enough for several threads


def test_encoders_of_other_layers_share_the_word_vectors(encoder: MeaningEncoder) -> None:
    lower, inner = Encoder(layers=(1, 3)), encoder._encoder
    assert inner._weights is lower._weights
    assert [len(each._layers._blocks) for each in (lower, inner)] == [3, max(MEANING_LAYERS)]
    assert inner._layers._words.data_ptr() == lower._layers._words.data_ptr()


def test_no_text_gives_no_vector_and_zeros_stay_zeros(encoder: MeaningEncoder) -> None:
    assert encoder.vectors([]).shape == (0, MEANING_DIM)
    assert not quantised(np.zeros((1, 4), np.float32)).any()
    assert quantised(np.array([[-0.5, 0.25, 0.001]], np.float32)).tolist() == [[-127, 64, 0]]
