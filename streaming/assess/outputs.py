"""What goes into and comes out of the state machine of `assess` at a tick.

Texts to be read go out as a `RerankRequest` and their scores come back; everything a tick says is a `TickOutput`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streaming.schema.score import ScoreRecord

NOT_READ: Final = -32_768
"""Millinats that stand for a text that the second stage did not read (shedding): nothing enters the state for it."""


class RerankRequest(NamedTuple):
    """Texts that the second-stage model is to read at a tick; lists are of one length.

    The answer is (n,) int16, LLRs in millinats in the same order, `NOT_READ` where a text was left out. It is journaled
    by the shell, so that a replay gives the same answer without the model.

    Args:
        tick_ms: the tick.
        texts: as they are kept, cut at 500 characters.
        langs: their languages, "" where unknown.
        first_stage: (n,) LLRs of the first-stage model, millinats.
    """

    tick_ms: int
    texts: list[str]
    langs: list[str]
    first_stage: NDArray[np.int16]


Reranker = Callable[[RerankRequest], NDArray[np.int16]]
"""How the shell has texts read: by the second-stage model, or from the journal."""


class AlertRevision(NamedTuple):
    """One revision of an alert: the key and the JSON of its `streaming.schema.alert.AlertRecord`."""

    id: str
    revision: int
    kind: str
    status: str
    body: bytes


class Gone(NamedTuple):
    """An account that left the state, with its last score; None where it was deleted."""

    account: str
    score: ScoreRecord | None


@dataclass(frozen=True)
class TickStats:
    """Numbers of one tick, for metrics. Counts are of this tick unless stated."""

    events: int = 0
    duplicates: int = 0
    texts: int = 0
    reranked: int = 0
    """Texts that the second stage was asked about."""
    accounts: int = 0
    """Live accounts after the tick."""
    flagged: int = 0
    """Accounts flagged after the tick."""
    groups: int = 0
    """Groups known after the tick."""
    held_back: int = 0
    """Alerts that wait because of `max_alerts_per_day`."""
    campaign_tick: bool = False
    abstained: dict[str, int] = field(default_factory=dict)
    """Accounts updated in this tick whose text component abstained, by reason."""


@dataclass(frozen=True)
class TickOutput:
    """Everything that a tick says, in the order in which it is to be written. All JSON is without line ends."""

    tick_ms: int
    alerts: list[AlertRevision]
    details: list[tuple[str, bytes | None]]
    """(`ID/PAGE`, JSON), None where a page is to be deleted."""
    accounts: list[tuple[str, bytes | None]]
    """(account, JSON of its score), None where an account is gone."""
    gone: list[Gone]
    rerank_answer: NDArray[np.int16]
    """(n,) what the second stage answered, to be journaled; empty where nothing was asked."""
    stats: TickStats
