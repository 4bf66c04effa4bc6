"""Where alerts come from: files that grow (`files`) or Kafka (`kafka`). Both give batches, and remember their place.

A place is written in the transaction of the batch it follows, so that a crash loses and repeats nothing; and if it did,
`ingest` takes the same revision once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from moderation.records import AlertRecord, PageRecord


@dataclass
class Batch:
    """What was read at once, and the places reached: key of `meta` -> value."""

    alerts: list[AlertRecord] = field(default_factory=list)
    pages: list[PageRecord] = field(default_factory=list)
    gone_pages: list[tuple[str, int]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    unreadable: int = 0

    def __bool__(self) -> bool:
        return bool(self.places)


class Source(Protocol):
    """Gives batches until there is nothing more for now."""

    def start(self, places: Mapping[str, str]) -> None:
        """Go on from the places of the last batch that was taken in, from the beginning where there is none."""

    def read(self) -> Batch:
        """What there is now; empty after a short wait where there is nothing."""

    def close(self) -> None:
        """Give everything back."""
