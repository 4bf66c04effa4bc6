"""The stage `assess`: one ordered state machine over the observation log.

Log entries go in (`Assess.feed`), in any interleaving of partitions; at every tick of event time alerts, their details,
account summaries and accounts that left come out (`Assess.advance`). Everything it remembers is one `State` (`state`),
which `snapshot` puts on disk and reads back. A tick (`tick`) goes through `ordering` (who waits), `intake` (duplicates
and deletions), `account_evidence` and `reranking` (what events say of accounts), `meaning` (what their texts say),
`groups` (who acts together), `feedback` (what moderators decided), and `account_alerts` and `group_alerts` (which alert
follows).
"""

from streaming.assess.engine import Assess
from streaming.assess.outputs import (
    NOT_READ,
    AlertRevision,
    Answer,
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
    "Answer",
    "Assess",
    "AssessSettings",
    "Gone",
    "RerankRequest",
    "Reranker",
    "TickOutput",
    "TickStats",
]
