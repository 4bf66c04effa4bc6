"""The real core behind the protocol that these shells know (`streaming.kafka.replica.Core`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from detector.bundle import Models
from streaming.assess.core import Assess
from streaming.assess.ordering import Ordering
from streaming.assess.records import Experts, TickOutput
from streaming.assess.settings import AssessSettings
from streaming.assess.snapshot import restore, write
from streaming.observations import Entry

STATE: Final = "assess"
"""The only file in a snapshot's folder of state."""


class AssessCore:
    """`Assess`, with its snapshots as folders."""

    def __init__(self, assess: Assess) -> None:
        self.assess = assess

    @property
    def ordering(self) -> Ordering:
        return self.assess.ordering

    def feed(self, entry: Entry) -> None:
        self.assess.feed(entry)

    def next_tick(self) -> int | None:
        return self.assess.next_tick()

    def advance(self, experts: Experts) -> TickOutput | None:
        return self.assess.advance(experts)

    def ended(self) -> bool:
        return self.assess.ended()

    def snapshot(self, folder: Path) -> None:
        folder.mkdir()
        with (folder / STATE).open("w+b") as file:
            write(file, self.assess)
            file.flush()
            os.fsync(file.fileno())


def make_core(settings: AssessSettings, models: Models, partitions: int, folder: Path | None) -> AssessCore:
    """A new core, or one that goes on from the snapshot in `folder`.

    Raises:
        LogError: the snapshot is damaged, or of other settings or models.
    """
    assess = Assess(settings, models, partitions)
    if folder is not None:
        restore(folder / STATE, assess)
    return AssessCore(assess)
