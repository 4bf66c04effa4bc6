"""The project's own texts, as rows of a corpus: the demo's.

People's are messages of `chitchat-dataset` (MIT) by people who are kept for the demo: no shipped model has read or been
calibrated on them. Machines' are the posts that were written for the demo's planted accounts.
"""

from __future__ import annotations

from simulation.texts.corpus import Row
from streaming.demo.cast import people, planted

DEMO = "demo"
"""The name of this source."""


def rows(*, machines: bool, seed: int = 0) -> list[Row]:
    """Author, text and language of every text.

    Raises:
        UsageError: people's are wanted and `chitchat-dataset` is not installed.
    """
    if machines:
        return [(each.account, text, "en") for each in planted() for text in each.posts]
    return [(message.author, message.text, "en") for message in people(seed)]
