"""Made-up text sets in the shape of the real ones: machines prefer some words, people others, and masks differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

SHARED = tuple("the a of and to in we it is on for with that this at by from was are be".split())  # noqa: SIM905
MACHINE = ("delve", "journey", "vibrant", "truly", "essential", "foster", "insight", "tapestry")
PERSON = ("lol", "dunno", "bus", "mate", "stuff", "anyway", "yesterday", "grandma")


def sentence(rng: np.random.Generator, machine: bool, telling: float) -> str:
    """Four to thirty words, a share `telling` of them from the class's own list."""
    own = MACHINE if machine else PERSON
    return " ".join(
        str(rng.choice(own)) if rng.random() < telling else str(rng.choice(SHARED)) for _ in range(rng.integers(4, 30))
    )


def write(folder: Path, *, rows: int = 60, telling: float = 0.3, masks: bool = True, seed: int = 0) -> Path:
    """Write four sets under `folder`/text and return `folder`.

    With `masks`, every machine text ends with a link and every person's begins with a mention: normalisation has to
    take them away.
    """
    rng = np.random.default_rng(seed)
    text = folder / "text"
    text.mkdir(parents=True, exist_ok=True)

    def table(source: str, classes: tuple[int, ...], generator: str, langs: tuple[str, ...] = ("en",)) -> pd.DataFrame:
        records = []
        for label in classes:
            for index in range(rows):
                body = sentence(rng, bool(label), telling)
                if masks:
                    body = f"{body} https://t.co/x{index}" if label else f"@user {body}"
                records.append(
                    {
                        "text": body,
                        "label": label,
                        "generator": generator if label else "human",
                        "source": source,
                        "author_id": f"{source}{label}{index // 5}",
                        "lang": langs[index % len(langs)],
                        "parent_id": None,
                    }
                )
        return pd.DataFrame(records)

    table("electai", (0, 1), "llama").to_parquet(text / "electai.parquet")
    table("showerthoughts", (0, 1), "gpt2").to_parquet(text / "showerthoughts.parquet")
    social = [table(name, (0, 1), "frontier", ("en", "fr")) for name in ("chat", "topic")]
    pd.concat(social).to_parquet(text / "frontier_social.parquet")
    table("tweeteval/irony-train", (0,), "").to_parquet(text / "human_short_text.parquet")
    return folder
