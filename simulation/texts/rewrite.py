"""Says the same a little differently, by rule: what operators did before they had models, and do where none is set.

Weak on purpose and documented as such: the words stay mostly the same. A model's paraphrases are another matter.
"""

from __future__ import annotations

from typing import Final

import numpy as np

OPENINGS: Final = ("Honestly, ", "Look: ", "Just saying, ", "So, ", "Well, ", "I mean, ", "FYI ", "Again: ")

CLOSINGS: Final = (" Think about it.", " That's all.", " Enough said.", " Anyone else?", " Pass it on.", " Right?")

PAIRS: Final = (
    ("very", "really"), ("big", "huge"), ("people", "folks"), ("because", "since"), ("cannot", "can't"),
    ("do not", "don't"), ("is not", "isn't"), ("maybe", "perhaps"), ("always", "every time"), ("great", "brilliant"),
    ("start", "begin"), ("help", "support"), ("show", "prove"), ("need", "have to have"), ("good", "decent"),
)  # fmt: skip
"""Words that may stand for each other, either way."""


def vary(text: str, rng: np.random.Generator) -> str:
    """A variant of `text`; the same generator state gives the same one."""
    words = text
    for one, other in PAIRS:
        if rng.random() < 0.5:
            for old, new in ((one, other), (other, one)):
                padded = f" {words} "
                if f" {old} " in padded:
                    words = padded.replace(f" {old} ", f" {new} ", 1).strip()
                    break
    sentences = [part.strip() for part in words.replace("! ", "!|").replace(". ", ".|").replace("? ", "?|").split("|")]
    if len(sentences) > 1 and rng.random() < 0.4:
        first = int(rng.integers(1, len(sentences)))
        sentences = sentences[first:] + sentences[:first]
    words = " ".join(sentences)
    if rng.random() < 0.5:
        opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
        words = opening + (words[:1].lower() + words[1:] if words[1:2].islower() else words)
    if rng.random() < 0.3:
        words += CLOSINGS[int(rng.integers(len(CLOSINGS)))]
    return words
