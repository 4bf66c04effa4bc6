"""Data splits by person: every person of a data set trains, calibrates, or is kept for the demo and tests.

The split is a hash of the person, so that it is the same everywhere and no purpose can leak into another.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Split = Literal["train", "calibrate", "demo"]

_TENTHS: Final[tuple[Split, ...]] = (*("train",) * 3, *("calibrate",) * 5, *("demo",) * 2)
"""Three tenths of people train, five calibrate (thresholds need the most people), two are kept for demo and tests."""


def split_of(population: str, person: str) -> Split:
    """The one split that `person` of `population` (a data set's name, such as "chitchat") belongs to.

    The people of "chitchat" split three ways. A stream's people are split by the same hash; what the demo does not
    show of them may be used to measure.
    """
    digest = hashlib.sha256(f"{population}/{person}".encode()).digest()
    return _TENTHS[int.from_bytes(digest[:8], "big") % 10]


Role = Literal["train", "calibrate", "measure"]
"""What a person of a population of text authors is for (`training.populations`)."""

ROLES: Final[tuple[Role, ...]] = ("train", "calibrate", "measure")


def role_of(population: str, person: str) -> Role:
    """The one role of `person` of `population`: by the same hash as `split_of`, of which `demo` is to measure here."""
    split = split_of(population, person)
    return "measure" if split == "demo" else split


def pseudonym(person: str) -> str:
    """A stable name for a person that does not show them: the first 12 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:12]
