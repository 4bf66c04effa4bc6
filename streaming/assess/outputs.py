"""What goes into and comes out of the state machine of `assess` at a tick.

Texts to be read go out as a `RerankRequest` and an `Answer` comes back; everything a tick says is a `TickOutput`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from detector.text.meaning import MEANING_DIM
from streaming.schema.score import ScoreRecord

NOT_READ: Final = -32_768
"""Millinats that stand for a text that the second stage did not read (shedding): nothing enters the state for it."""


class RerankRequest(NamedTuple):
    """Texts that are to be read at a tick: n by the second-stage model, m for their meaning.

    The `Answer` is journaled by the shell, so that a replay gives the same one without the models.

    Args:
        tick_ms: the tick.
        texts: n texts for the second-stage model, as they are kept, cut at 500 characters.
        langs: their n languages, "" where unknown.
        first_stage: (n,) their LLRs of the first-stage model, millinats.
        meanings: m texts whose vectors are asked for, as they are kept; there may be some where `texts` is empty.
    """

    tick_ms: int
    texts: list[str]
    langs: list[str]
    first_stage: NDArray[np.int16]
    meanings: list[str]


class Answer(NamedTuple):
    """What was read in the texts of a `RerankRequest`, in their order.

    Args:
        llrs: (n,) int16, the second-stage model's LLRs in millinats, `NOT_READ` where a text was left out.
        vectors: (m, `MEANING_DIM`) int8, vectors of meaning; zeros where a text was left out.
    """

    llrs: NDArray[np.int16]
    vectors: NDArray[np.int8]

    @classmethod
    def unread(cls, texts: int = 0, meanings: int = 0) -> Self:
        """The answer that leaves out every text.

        Args:
            texts: n, for the second-stage model.
            meanings: m, for their meaning.
        """
        return cls(np.full(texts, NOT_READ, np.int16), np.zeros((meanings, MEANING_DIM), np.int8))

    @property
    def empty(self) -> bool:
        """Whether nothing was asked."""
        return not len(self.llrs) and not len(self.vectors)


Reranker = Callable[[RerankRequest], Answer]
"""How the shell has texts read: by the models, or from the journal."""


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


class Sampled(NamedTuple):
    """An account of the blind sample: the JSON of its `streaming.schema.sample.SampleRecord`; None where the account
    was deleted, and what was drawn of it before is to be forgotten."""

    account: str
    body: bytes | None


@dataclass(frozen=True)
class TickStats:
    """Numbers of one tick, for metrics. Counts are of this tick unless stated."""

    events: int = 0
    duplicates: int = 0
    texts: int = 0
    reranked: int = 0
    """Texts that the second stage was asked about."""
    meanings: int = 0
    """Texts whose vectors of meaning were asked for."""
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
    withheld: dict[str, int] = field(default_factory=dict)
    """Looks at which an account passed its threshold and was not flagged, by reason."""
    drift: float | None = None
    """At a campaign tick: how far accounts' totals have moved from the calibration people's (`detector.drift`)."""
    chance: dict[str, tuple[float, float]] | None = None
    """At a campaign tick, by search: the mean q of the groups listed, and how many groups decoys showed."""
    flagged_share: float | None = None
    """At a campaign tick: share flagged of the accounts that can be."""


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
    rerank_answer: Answer
    """What was read in texts, to be journaled; empty where nothing was asked."""
    stats: TickStats
    samples: list[Sampled] = field(default_factory=list)
    """Accounts of the blind sample."""


class Look(NamedTuple):
    """One look at an account, when its total is held against its threshold.

    Args:
        account: its name.
        posts: of it with text so far.
        total: its evidence, nats.
        language: the main one of its texts, "" where unknown.
        texts: of it that gave evidence.
        log_words: mean of the style feature `log_words` over those.
    """

    account: str
    posts: int
    total: float
    language: str
    texts: int
    log_words: float
