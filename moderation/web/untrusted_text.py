"""Untrusted text on its way to a page: what cannot be seen in it is made visible.

Texts, names and links of posts are written by strangers. The templates escape markup; this module handles characters
that make a text read as another one: direction overrides, zero-width and control characters are shown as their code
point in brackets. Joiners that scripts such as Arabic or Devanagari need, and the parts of emoji, stay as they are.
"""

from __future__ import annotations

import re
from typing import Final

_INVISIBLE: Final = re.compile(
    "["
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f"  # controls but tab and line end
    "\u061c\u200b\u200e\u200f"  # zero width space, direction marks
    "\u202a-\u202e\u2066-\u2069"  # direction overrides and isolates
    "\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"  # tags: a hidden alphabet
    "\ud800-\udfff"
    "]"
)

MAX_COMBINING: Final = 4
"""Combining marks kept on one letter: Vietnamese needs two, Hebrew four; a hundred would cover the lines around."""

_COMBINING: Final = re.compile(f"([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{{{MAX_COMBINING}}})"
                           "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")  # fmt: skip


def visible(text: str) -> str:
    """The text with each invisible character shown as `⟨U+202E⟩`, and long stacks of combining marks cut."""
    shown = _INVISIBLE.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)
    return _COMBINING.sub(r"\1", shown)


def short(text: str, limit: int) -> str:
    """The visible text on one line, cut at `limit` characters with an ellipsis."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
