"""Words that a space was put into are joined; what people write as two words stays two."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.text.broken_words import mended
from detector.text.tokenize import normalise


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("peop le say th ings", "people say things"),
        ("Rea lly, it is abo ut time!", "Really, it is about time!"),
        ("for no reas on.", "for no reason."),
        ("the gover nment's plan", "the gover nment's plan"),
    ],
)
def test_a_broken_word_is_joined_with_its_punctuation(broken: str, whole: str) -> None:
    assert mended(broken) == whole
    assert normalise(broken) == whole


@pytest.mark.parametrize(
    "text",
    [
        "a way out for every one of us, can not in to some where",
        "u r so nice, i m on my way",
        "no one is in side to day",
        "no se como te va, que en un dia",
        "je ne sais pas ce que tu as fait de la vie",
        "ich habe das nicht so gesehen wie du",
        "",
        "word",
    ],
)
def test_what_people_write_as_two_words_stays(text: str) -> None:
    assert mended(text) == text


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_nothing_but_spaces_goes(text: str) -> None:
    after = mended(text)
    assert after.replace(" ", "") == text.replace(" ", "")
