"""Everything that `assess` remembers, in one place.

`State` is data: msgspec Structs for what is plain, tables of numpy arrays for what has a value per account or event,
and the state of coordination as `graph` keeps it. The classes and functions of this package hold no memory of their
own; they are built over a `State` (`streaming.assess.engine`), and a snapshot is its fields written one after the other
(`streaming.assess.snapshot`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from detector.account.statistics import AccountStatistics
from graph.narratives import Narratives
from streaming.assess.alert_store import AlertStore
from streaming.assess.duplicates import SeenBefore
from streaming.assess.feedback import Decisions
from streaming.assess.group_list import GroupState
from streaming.assess.ordering import OrderingState
from streaming.assess.reranking import PendingTexts, ShareBudget, TextBudget
from streaming.assess.settings import AssessSettings
from streaming.assess.store import NEVER, AccountTable, KeptTexts, RecentEvents

NOT_BEGUN: Final = -1
"""`tick_ms` before the first tick."""


@dataclass(eq=False)
class State:
    """What the outputs of all later ticks follow from, together with settings, models and the rest of the log.

    Args:
        ordering: what was read of every partition, and what waits for its tick.
        seen: what was seen before: events, deletions, texts.
        groups: what accounts left traces on, and the groups found in them.
        accounts: the table of accounts.
        statistics: of the accounts' events, row by row as `accounts`.
        texts: the few texts kept of each account.
        recent_events: times and kinds of the accounts' last events.
        rerank_budget: what the second stage may read, of event time.
        rerank_share: what it may read of all texts.
        narratives: vectors of meaning of texts of suspects and of a panel.
        meaning_budget: what may be read for its meaning.
        asked: texts that the last tick asked for, and whose answers enter at the next.
        alerts: every alert ever raised.
        decisions: of moderators.
        tick_ms: the last tick, `NOT_BEGUN` before the first.
        closed: whether the last tick of all has run.
        retention_day: day on which what had outlived its retention was last removed.
        log_models: name -> version of the models that wrote the log.
    """

    ordering: OrderingState
    seen: SeenBefore
    groups: GroupState = field(default_factory=GroupState)
    accounts: AccountTable = field(default_factory=AccountTable)
    statistics: AccountStatistics = field(default_factory=AccountStatistics)
    texts: KeptTexts = field(default_factory=KeptTexts)
    recent_events: RecentEvents = field(default_factory=RecentEvents)
    rerank_budget: TextBudget = field(default_factory=TextBudget)
    rerank_share: ShareBudget = field(default_factory=ShareBudget)
    narratives: Narratives = field(default_factory=Narratives)
    meaning_budget: TextBudget = field(default_factory=TextBudget)
    asked: PendingTexts = field(default_factory=PendingTexts)
    alerts: AlertStore = field(default_factory=AlertStore)
    decisions: Decisions = field(default_factory=Decisions)
    tick_ms: int = NOT_BEGUN
    closed: bool = False
    retention_day: int = NEVER
    log_models: dict[str, str] | None = None

    @classmethod
    def begin(cls, settings: AssessSettings, partitions: int) -> State:
        """The state before anything was read.

        Args:
            settings: of the run.
            partitions: how many `posts` has.
        """
        return cls(
            OrderingState.begin(partitions, settings.allowed_lateness_s * 1000),
            SeenBefore.begin(settings.duplicate_window_ms),
        )
