"""What cannot be seen in a stranger's text is shown; what honest scripts need stays."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.web.untrusted_text import short, visible


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_what_is_shown_has_nothing_that_turns_or_hides(text: str) -> None:
    shown = visible(text)
    assert visible(shown) == shown
    shown.encode()
    assert not set(shown) & {chr(code) for code in (0, 0x1B, 0x85, 0x200B, 0x202E, 0x2066, 0xFEFF)}


def test_honest_scripts_and_emoji_stay_as_they_are() -> None:
    for text in ("שלום עולם", "مرحبا", "नमस्ते क्ष", "Việt Nam ế", "👩‍👩‍👧 ❤️", "tab\tand\nline"):
        assert visible(text) == text
    assert visible("Z" + "\u0301" * 50) == "Z" + "\u0301" * 4
    assert short("  a\n b " + "c" * 50, 10) == "a b ccccc…"
