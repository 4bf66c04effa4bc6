"""The language that an alert's posts are written in, as `score` tells languages. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from detector.text.tokenize import detect_language

MOST_TEXTS: Final = 6
"""Texts looked at: each takes up to a millisecond, and members of a campaign rarely write in several languages."""


def main_language(texts: Iterable[str]) -> str:
    """Primary tag of the language that most of the first texts are in, such as `pt`; "" where that is not clear."""
    chosen = [text for text in texts if text.strip()][:MOST_TEXTS]
    counts = Counter(language for language in map(detect_language, chosen) if language)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if not ranked or 2 * ranked[0][1] <= sum(counts.values()):
        return ""
    return ranked[0][0]
