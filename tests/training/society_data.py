"""Text sets that societies can be made of: two kinds of people, three campaigns, lone machines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from detector.text.meaning import MEANING_DIM

SMALL = (70, 90)
"""Accounts: enough for three small campaigns, their controls and some people."""


def rows(source: str, label: int, authors: int, texts: int, **more: Any) -> pd.DataFrame:
    """Texts that name their source, author and number; `more` has further columns, functions of the text's number."""
    made = [
        {
            "text": f"{source} {more.get('campaign', '')} author {author} says number {number} 🎉 @you #tag https://t.co/x",
            "label": label,
            "generator": "model-x" if label else "human",
            "source": source,
            "author_id": f"{source}-{more.get('campaign', '')}-{author}",
            "lang": "en",
            "parent_id": None,
        }
        | {name: value(number) if callable(value) else value for name, value in more.items()}
        for author in range(authors)
        for number in range(texts)
    ]
    return pd.DataFrame(made)


def text_sets(folder: Path) -> Path:
    """Write them under a folder, which is given back."""
    (folder / "text").mkdir()
    campaigns = [
        rows(
            "frontier_campaigns", 1, 8, 10, campaign=name,
            talking_point=lambda number: [None, "price", "trust"][number % 3],
        )
        for name in ("C1", "C2", "C3")
    ]  # fmt: skip
    pd.concat(campaigns).to_parquet(folder / "text/frontier_campaigns.parquet")
    people = [
        rows("irc_ubuntu_threads", 0, 60, 12, created_at="2010-03-01T10:00:00"),
        rows("cop26_climate_stream_2021", 0, 40, 1),
    ]
    pd.concat(people).to_parquet(folder / "text/people_authors.parquet")
    tweets = rows("tweeteval/stance-climate-train", 0, 1, 200).drop(columns="author_id")
    tweets.to_parquet(folder / "text/human_short_text.parquet")
    rows("personas", 1, 20, 8).to_parquet(folder / "text/frontier_social.parquet")
    return folder


class WordEncoder:
    """Stands for the encoder: texts are as alike as the words they have in common."""

    version = "words"

    def __init__(self) -> None:
        self.read: list[str] = []

    def vectors(self, texts: Sequence[str]) -> NDArray[np.int8]:
        self.read += texts
        out = np.zeros((len(texts), MEANING_DIM), np.int8)
        for n, text in enumerate(texts):
            for word in text.lower().split():
                out[n, int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest()) % MEANING_DIM] = 99
        return out
