"""The texts of a labelled recording as a text set of one's own, beside the sets of `training.data` or in their place.

Evidence is calibrated on what a model had not seen, so a set has to be divided: the recording is dealt into parts, a
campaign or an account always whole into one of them, and each part is left out in turn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pandas as pd

from detector.errors import UsageError
from streaming.schema.event import Event
from streaming.schema.observation import Kind

OWN: Final = "own"
"""Name of the set."""

PARTS: Final = 5
"""Sources that a recording is dealt into: each model learns from four fifths of its accounts."""

FEWEST_EACH: Final = 40
"""Texts of people, and of machines, below which nothing can be calibrated."""

WRITTEN: Final = frozenset({Kind.POST, Kind.REPLY, Kind.QUOTE})


def own_texts(events: Iterable[Event], truth: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The texts of accounts of which it is known what they are.

    Args:
        events: of the recording.
        truth: account -> its record: `label` (1: a language model drives it), perhaps `campaign`.

    Returns:
        Columns text, label, generator, source, author_id, parent_id, lang.

    Raises:
        UsageError: no account of the truth is in the recording, or there is too little of either.
    """
    rows = []
    for event in events:
        known = truth.get(event.account)
        if known is not None and event.text and event.kind in WRITTEN:
            label = int(known["label"])
            part = _part(known.get("campaign") or f"account/{event.account}")
            rows.append(
                {
                    "text": event.text, "label": label, "generator": OWN if label else "human",
                    "source": f"part-{part}", "author_id": event.account, "parent_id": None, "lang": event.lang,
                }
            )  # fmt: skip
    if not rows:
        raise UsageError(
            f"none of the {len(truth):,} accounts of the truth wrote a text in the recording: write `account` in the "
            "truth as the events have it"
        )
    table = pd.DataFrame(rows)
    counts = table["label"].value_counts()
    if min(counts.get(0, 0), counts.get(1, 0)) < FEWEST_EACH:
        raise UsageError(
            f"the recording has {counts.get(0, 0):,} texts of people and {counts.get(1, 0):,} of machines; at least "
            f"{FEWEST_EACH} of each are needed to learn from"
        )
    if table.loc[table["label"] == 1, "source"].nunique() < 2:
        raise UsageError(
            "the machines of the recording are one campaign, or too few accounts to divide: more are needed, since a "
            "model is measured on those it has not seen"
        )
    return table


def _part(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "little") % PARTS


def digest_of(table: pd.DataFrame) -> str:
    """What tells one set of texts from another."""
    whole = hashlib.sha256()
    for text, label, source in zip(table["text"], table["label"], table["source"], strict=True):
        whole.update(f"{len(text)}:{label}:{source}:".encode() + text.encode("utf-8", "replace"))
    return whole.hexdigest()
