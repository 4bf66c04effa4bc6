"""Disturbs texts as people's haste and evasion tools do: typing errors, spaces within words, punctuation left out.

Texts of both classes are disturbed alike in training, so that a disturbed text is no evidence by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

_letters = re.compile(r"[^\W\d_]{4,}")
_marks = re.compile(r"[^\w\s]")

SHARE_OF_WORDS: Final = 0.15
"""Share of the longer words that a disturbance touches: a text of twenty words has one or two; not searched for."""


def _in_words(text: str, rng: np.random.Generator, change: Callable[[str, int], str]) -> str:
    """The text with some of its longer words changed at an inner letter."""

    def changed(found: re.Match[str]) -> str:
        word = found.group()
        if rng.random() >= SHARE_OF_WORDS:
            return word
        return change(word, int(rng.integers(1, len(word) - 1)))

    return _letters.sub(changed, text)


def swapped(text: str, rng: np.random.Generator) -> str:
    """Neighbouring letters of some words change places."""
    return _in_words(text, rng, lambda word, at: word[:at] + word[at + 1] + word[at] + word[at + 2 :])


def dropped(text: str, rng: np.random.Generator) -> str:
    """Some words lose a letter."""
    return _in_words(text, rng, lambda word, at: word[:at] + word[at + 1 :])


def split(text: str, rng: np.random.Generator) -> str:
    """Some words have a space within."""
    return _in_words(text, rng, lambda word, at: f"{word[:at]} {word[at:]}")


def bare(text: str, rng: np.random.Generator) -> str:
    """Lower case, without punctuation."""
    return " ".join(_marks.sub("", text.lower()).split())


TYPED: Final = (swapped, dropped, split, bare)
"""What training disturbs by. Lookalike letters and zero-width characters leave no trace in normalised texts."""


def disturbed(texts: Sequence[str], share: float, seed: int) -> list[str]:
    """The texts, a share of them disturbed by one of `TYPED` each.

    Args:
        texts: normalised.
        share: of them.
        seed: which, and how.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.random(len(texts)) < share
    kinds = rng.integers(0, len(TYPED), len(texts))
    return [TYPED[kind](text, rng) if hit else text for text, hit, kind in zip(texts, chosen, kinds, strict=True)]
