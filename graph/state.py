"""The state of coordination as a snapshot keeps it."""

from __future__ import annotations

from typing import Final

import msgspec

from detector.errors import LogError
from graph.campaigns import Campaigns
from graph.dispersion import Dispersion
from graph.group import Group

SNAPSHOT_VERSION: Final = 4


class State(msgspec.Struct, array_like=True):
    """Everything of `Coordination` but its window; fields as there."""

    version: int
    groups: list[Group]
    due: dict[int, list[tuple[int, bool, int]]]
    totals: dict[int, int]
    blocks: dict[int, int]
    homes: dict[int, int]
    walked: int
    first_ms: int
    created: int
    hypotheses: int
    discoveries: int
    ticks: int
    coarse_ms: int
    proposed_tick: int
    proposed_end: int
    dispersion: Dispersion
    campaigns: Campaigns


def decode_state(raw: bytes) -> State:
    """The state in `raw`.

    Raises:
        LogError: the snapshot is of another version or damaged.
    """
    try:
        state = msgspec.msgpack.decode(raw, type=State)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LogError(f"the snapshot's coordination state cannot be read ({error}): use another snapshot") from error
    if state.version != SNAPSHOT_VERSION:
        raise LogError(
            f"the snapshot's coordination state has version {state.version}, not {SNAPSHOT_VERSION}: replay the log"
        )
    return state
