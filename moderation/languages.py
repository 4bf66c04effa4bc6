"""The language of an alert's posts, as `score` tells languages, and the scripts of their letters. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from detector.text.tokenize import detect_language

MOST_TEXTS: Final = 6
"""Texts looked at: each takes up to a millisecond, and members of a campaign rarely write in several languages."""

LETTERS_OF_A_SCRIPT: Final = 0.1
"""Share of letters from which a script is named."""

MOST_SCRIPTS: Final = 3
"""Scripts named of some texts."""


def main_language(texts: Iterable[str]) -> str:
    """Primary tag of the language that most of the first texts are in, such as `pt`; "" where that is not clear."""
    chosen = [text for text in texts if text.strip()][:MOST_TEXTS]
    counts = Counter(language for language in map(detect_language, chosen) if language)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ranked or 2 * ranked[0][1] <= sum(counts.values()):
        return ""
    return ranked[0][0]


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
    return [name for name, count in ranked if name and count >= LETTERS_OF_A_SCRIPT * total][:MOST_SCRIPTS]
