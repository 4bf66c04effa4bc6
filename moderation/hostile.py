"""A stranger's text on its way to a page. The template escapes markup; this makes the invisible visible.

Direction overrides, zero-width characters and control characters can make a text read as another one. They are shown as
their code point in brackets. Joiners inside words of scripts that need them, and marks of emoji, stay.
"""

from __future__ import annotations

import re
from typing import Final

_SUSPECT: Final = re.compile(
    "["
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f"  # controls but tab and line end
    "\u061c\u200b\u200e\u200f"  # zero width space, direction marks
    "\u202a-\u202e\u2066-\u2069"  # direction overrides and isolates
    "\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"  # tags: a hidden alphabet
    "\ud800-\udfff"
    "]"
)

LONGEST_STACK: Final = 4
"""Combining marks on one letter: Vietnamese needs two, Hebrew four; a hundred climb over the lines around."""

_STACK: Final = re.compile(f"([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{{{LONGEST_STACK}}})"
                           "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")  # fmt: skip


def visible(text: str) -> str:
    """The text with what cannot be seen shown as `⟨U+202E⟩`."""
    shown = _SUSPECT.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)
    return _STACK.sub(r"\1", shown)


def short(text: str, limit: int) -> str:
    """The text on one line, cut at `limit` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
