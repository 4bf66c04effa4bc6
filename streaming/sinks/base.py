"""What a run hands to its sinks."""

from __future__ import annotations

from typing import NamedTuple

from streaming.assess import TickOutput
from streaming.schema.dead_letter import DeadLetter


class Step(NamedTuple):
    """What a chunk of records led to: its dead letters, and the outputs of the ticks that became due."""

    letters: list[DeadLetter]
    outputs: list[TickOutput]
