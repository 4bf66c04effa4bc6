"""Which people serve which purpose: decided once by a hash of the person, so that no purpose can leak into another."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Role = Literal["train", "calibrate", "demo"]

_TENTHS: Final[tuple[Role, ...]] = (*("train",) * 3, *("calibrate",) * 5, *("demo",) * 2)
"""Three tenths of people train, five calibrate (thresholds need the most people), two are kept for demo and tests."""


def role_of(population: str, person: str) -> Role:
    """The one purpose that `person` of `population` (a data set's name, such as "chitchat") serves.

    The people of "chitchat" split three ways. A stream's people are split by the same hash; what the demo does not
    show of them may be used to measure.
    """
    digest = hashlib.sha256(f"{population}/{person}".encode()).digest()
    return _TENTHS[int.from_bytes(digest[:8], "big") % 10]


def pseudonym(person: str) -> str:
    """A stable name for a person that does not show them: the first 12 hexadecimal digits of their SHA-256."""
    return hashlib.sha256(person.encode("utf-8", "surrogatepass")).hexdigest()[:12]
