"""One typography for all: nothing of where a text came from is left."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.text.normalise import TEXT_CUT, normalise


@pytest.mark.parametrize(
    "text",
    [
        "so it goes",
        "so it goes https://t.co/AbC123",
        "so it goes http",
        "so it goes https",
        "@user so it goes",
        "@some_one: so it goes",
        "@user @user so  it\n\ngoes www.example.com/x?y=1",
        "so it goes <URL>",
        "so it goes [url]",
        "so it goes HTTPURL",
        "{@CNN@} so it goes",
        "{{USERNAME}} so it goes {{URL}}",
        "RT @user: so it goes",
        "so it goes pic.twitter.com/abc",
        "so it goes \U0001f389\U0001f389",
        "so it goes \u2764\ufe0f",
        "so it goes ?? ",
        "so it goes \ufffd",
        "so it\u200b goes",
        "so\u00a0it goes",
        r"so it goes\n\n",
        r"so it goes \ud83d\ude00",
        '"so it goes"',
        "so it goes truncat\u2026",
        "so it goes truncat\u2026 https://t.co/AbC123",
    ],
)
def test_marks_of_a_platform_or_a_data_set_leave_no_trace(text: str) -> None:
    assert normalise(text) == "so it goes"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("I\u2019m \u201chere\u201d \u2013 now", 'I\'m "here" - now'),
        ("Tom &amp;amp; Ann &lt;3", "Tom & Ann <3"),
        (r"don\u2019t", "don't"),
        ("quoi ? non !", "quoi? non!"),
        ("too . many . gaps , here .", "too. many. gaps, here."),
        ("nooooooo!!!!!!", "nooo!!!"),
        ("\uff28\uff45\uff4c\uff4c\uff4f", "Hello"),
        ("see [the page](https://x.org/a_(b)) there", "see the page) there"),
        ("Keep #Tags and CASE", "Keep #Tags and CASE"),
        ("mail me at a http server", "mail me at a server"),
        ("", ""),
        ("@user https://t.co/x \U0001f600", ""),
    ],
)
def test_words_case_and_punctuation_stay(text: str, clean: str) -> None:
    assert normalise(text) == clean


@pytest.mark.parametrize("length", [140, 280, 500, 900])
def test_a_word_cut_in_the_middle_goes(length: int) -> None:
    text = ("word " * 300)[: length - 3] + "wor"
    assert set(normalise(text).split()) == {"word"}


def test_only_the_part_the_log_keeps_is_read() -> None:
    text = "a word or two. " * 80
    assert normalise(text) == normalise(text[: TEXT_CUT + 1]) == normalise(text[:TEXT_CUT])


@given(st.text(max_size=700))
def test_any_text_becomes_one_line_of_bounded_length_without_controls(text: str) -> None:
    clean = normalise(text)
    assert len(clean) <= TEXT_CUT
    assert clean == clean.strip()
    assert "  " not in clean
    assert not re.search("[\u2018\u2019\u201c\u201d\u2013\u2014]", clean)
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "So"} for char in clean)


@given(st.text(alphabet="ab @#&;\\?.!-'\"/:htpuserRT\u2026\u200b\ufffd", max_size=80))
def test_what_is_normal_hardly_changes_again(text: str) -> None:
    once = normalise(text)
    assert len(normalise(once)) <= len(once)
