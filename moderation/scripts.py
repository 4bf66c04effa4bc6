"""The scripts that texts are written in, by the names that Unicode gives their letters. Pure."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

LETTERS_OF_A_SCRIPT: Final = 0.1
"""Share of letters from which a script is named."""

MOST: Final = 3
"""Scripts named of some texts."""


def scripts(texts: Iterable[str]) -> list[str]:
    """Scripts of the letters, the commonest first, by their names in Unicode."""
    counts: dict[str, int] = defaultdict(int)
    for text in texts:
        for letter in text:
            if letter.isalpha():
                name = "Latin" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0].title()
                counts["Han" if name == "Cjk" else name] += 1
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [name for name, count in ranked if name and count >= LETTERS_OF_A_SCRIPT * total][:MOST]
