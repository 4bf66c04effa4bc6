"""Attacks on single characters and words, as RAID has them (Dugan et al. 2024), and what each costs.

Every attack is made on the machines' posts alone, and the share of machines found at 1% of the people is held against
that of the same posts as they were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from training.disturb import dropped, swapped
from training.studies.judged import STREAMS, against_people, dealt, figures, judge, markdown, people, text_set

Rng = np.random.Generator
Attack = Callable[[str, Rng], str]

HOMOGLYPHS: Final = str.maketrans("aceiopsxyABCEHIKMOPSTX", "асеіорѕхуАВСЕНІКМОРЅТХ")
"""Latin letters and Cyrillic ones that look alike."""

ZERO_WIDTH: Final = "\u200b"


def homoglyphs(text: str, rng: Rng) -> str:
    """Every letter that has a Cyrillic twin becomes it."""
    return text.translate(HOMOGLYPHS)


def some_homoglyphs(text: str, rng: Rng) -> str:
    """A tenth of those letters: enough to break most words, and nobody sees it."""
    return "".join(char.translate(HOMOGLYPHS) if rng.random() < 0.1 else char for char in text)


def zero_width(text: str, rng: Rng) -> str:
    """A space without width after every character."""
    return ZERO_WIDTH.join(text)


def spaces(text: str, rng: Rng) -> str:
    """A fifth of the gaps between words are wider by a space or a line break."""
    return re.sub(r" ", lambda _: str(rng.choice(["  ", " \n"])) if rng.random() < 0.2 else " ", text)


def spaces_within(text: str, rng: Rng) -> str:
    """A space within a fifth of the words of four letters or more."""

    def cut(found: re.Match[str]) -> str:
        word, at = found.group(), int(rng.integers(1, len(found.group())))
        return f"{word[:at]} {word[at:]}" if rng.random() < 0.2 else word

    return re.sub(r"[^\W\d_]{4,}", cut, text)


def case(text: str, rng: Rng) -> str:
    """A twentieth of the letters in the other case."""
    return "".join(char.swapcase() if rng.random() < 0.05 else char for char in text)


def lower(text: str, rng: Rng) -> str:
    """All in lower case."""
    return text.lower()


def misspelling(text: str, rng: Rng) -> str:
    """Letters of some 15% of the longer words change places or are lost."""
    return (swapped if rng.random() < 0.5 else dropped)(text, rng)


def articles(text: str, rng: Rng) -> str:
    """Half of the articles are left out."""
    return re.sub(r"(?i)\b(?:the|an?) ", lambda found: "" if rng.random() < 0.5 else found.group(), text)


def numbers(text: str, rng: Rng) -> str:
    """Half of the digits become others."""
    return re.sub(r"\d", lambda found: str(rng.integers(10)) if rng.random() < 0.5 else found.group(), text)


ATTACKS: Final[Mapping[str, Attack]] = {
    "none": lambda text, _: text,
    "homoglyphs, all": homoglyphs,
    "homoglyphs, one in ten": some_homoglyphs,
    "zero-width spaces": zero_width,
    "wider gaps": spaces,
    "spaces within words": spaces_within,
    "upper and lower case swapped": case,
    "lower case": lower,
    "misspelling": misspelling,
    "articles left out": articles,
    "numbers swapped": numbers,
}
"""Name -> how a text is changed."""

SEEN: Final[Mapping[str, str]] = {
    "many_generators": "gpt41mini_sent140_rewrites|syndisco|byota_gemma3_posts",
    "authormimic": "authormimic/setup3",
}
"""Sets of machines that were trained on, and which of their sources."""

PEOPLE_EACH: Final = 5
"""People of a population for each account of a set of machines: 1% of them has to be several."""

SHORT_NAMES: Final[Mapping[str, str]] = {"unseen": "texts not trained on", "seen": "sources trained on"}


def attacked(data: Path, most: int, seed: int = 0) -> pd.DataFrame:
    """The posts of the study: machines once for each attack, and people as they are.

    Args:
        data: folder with `text/`.
        most: accounts of each set of machines; `PEOPLE_EACH` times as many of each population of people.
        seed: of the draws and the attacks.
    """
    machines = []
    for name, sources in {**dict.fromkeys(STREAMS, ""), **SEEN}.items():
        rows = text_set(data, name)
        rows = rows[(rows["label"] == 1) & (rows["lang"] == "en") & rows["source"].str.contains(sources)]
        made = dealt(rows, "seen" if name in SEEN else "unseen", most=most, by=["source", "generator"], seed=seed)
        machines.append(made.assign(author_id=f"{name}/" + made["author_id"]))
    base = pd.concat(machines, ignore_index=True)
    parts = [people(data, most=PEOPLE_EACH * most, seed=seed)]
    for attack, change in ATTACKS.items():
        rng = np.random.default_rng(seed)
        texts = [change(text, rng) for text in base["text"]]
        parts.append(base.assign(text=texts, slice=base["slice"] + "/" + attack))
    return pd.concat(parts, ignore_index=True)


def attack_costs(data: Path, models: Path, most: int, seed: int = 0) -> str:
    """The table of what attacks cost, as Markdown.

    Args:
        data: folder with `text/` and `streams/`.
        models: models directory.
        most: accounts of each set of machines; `PEOPLE_EACH` times as many of each population of people.
        seed: of the draws and the attacks.
    """
    judged = judge(attacked(data, most, seed), data, models)
    rows = []
    for short, words in SHORT_NAMES.items():
        plain = against_people(judged, f"{short}/none")
        for attack in ATTACKS:
            found = against_people(judged, f"{short}/{attack}")
            cost = 100 * (plain["tpr"] - found["tpr"])
            rows.append([words, attack, *figures(found), f"{cost:+.1f}"])
    header = ("machines", "attack", "accounts", "AUROC", "TPR at 1%", "flagged (95%)", "cost in points of TPR")
    return markdown(header, rows)
