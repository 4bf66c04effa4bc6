"""The stage `assess`: one ordered state machine over the observation log.

Log entries go in (`Assess.feed`), in any interleaving of partitions; at every tick of event time alerts, their details,
account summaries and accounts that left come out (`Assess.advance`). `streaming.assess.snapshot` puts the whole state
on disk and reads it back. Everything else is a part of the state: who waits (`ordering`), what events say (`handling`,
`evidence`), who acts together (`groups`), which alert follows (`account_alerts`, `group_alerts`, `lifecycle`), what
moderators decided (`feedback`, `rulings`).
"""

from streaming.assess.engine import Assess
from streaming.assess.outputs import (
    NOT_READ,
    AlertRevision,
    Gone,
    Reranker,
    RerankRequest,
    TickOutput,
    TickStats,
)
from streaming.assess.settings import AssessSettings

__all__ = [
    "NOT_READ",
    "AlertRevision",
    "Assess",
    "AssessSettings",
    "Gone",
    "RerankRequest",
    "Reranker",
    "TickOutput",
    "TickStats",
]
