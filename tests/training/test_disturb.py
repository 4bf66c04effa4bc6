"""Texts are disturbed by a seed, of both kinds alike, and hidden letters leave no trace in what models read."""

from __future__ import annotations

import numpy as np
import pytest

from detector.text.tokenize import normalise
from streaming.score import cut_text
from training.disturb import TYPED, disturbed
from training.studies.text_attacks import homoglyphs

TEXT = "Honestly, I think we all need to talk about these things more often, people."


def test_a_share_of_the_texts_is_disturbed_and_the_same_seed_disturbs_alike() -> None:
    texts = [f"{TEXT} {number}" for number in range(400)]
    once = disturbed(texts, 0.25, 7)
    assert once == disturbed(texts, 0.25, 7)
    changed = sum(one != other for one, other in zip(texts, once, strict=True))
    assert 60 < changed <= 130
    assert disturbed(texts, 0.0, 7) == texts


@pytest.mark.parametrize("kind", TYPED)
def test_a_disturbed_text_is_another_and_nearly_as_long(kind: object) -> None:
    assert callable(kind)
    made = [kind(TEXT, np.random.default_rng(seed)) for seed in range(20)]
    assert any(text != TEXT for text in made)
    assert all(abs(len(text) - len(TEXT)) < 12 for text in made)


def test_lookalike_letters_and_zero_width_characters_are_undone() -> None:
    hidden = TEXT.translate(str.maketrans("aeop", "\u0430\u0435\u043e\u0440"))
    assert hidden != TEXT
    assert normalise(hidden) == normalise(TEXT)
    assert normalise("\u200b".join(TEXT)) == normalise(TEXT)
    russian = "\u044d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e \u0442\u0435\u043a\u0441\u0442"
    assert normalise(russian) == russian


def test_a_text_in_which_every_letter_that_can_be_is_a_lookalike_is_undone_and_russian_beside_latin_is_not() -> None:
    plain = "A cosy cat is as happy as a spy of peace, I hope."
    hidden = homoglyphs(plain, np.random.default_rng(0))
    assert sum(ord(char) > 0x400 for char in hidden) > sum(char.isascii() and char.isalpha() for char in hidden)
    assert normalise(hidden) == normalise(plain)
    both = "OK \u0445\u043e\u0440\u043e\u0448\u043e"
    assert normalise(both) == both


def test_characters_that_nobody_sees_push_no_words_out() -> None:
    long = " ".join(f"word{number}" for number in range(55))
    assert 250 < len(long) < 500
    assert normalise("\u200b".join(long)) == normalise(long)
    assert cut_text("\u200b".join(long)) == long
    assert cut_text("a\u200bb") == "a\u200bb", "a text that is short enough stays as it is"
