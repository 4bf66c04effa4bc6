"""What is said of every account: one line of `--scores`, and its summary for topic `accounts` (contract)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.explain import BEHAVIOUR_REASONS, GRAPH_REASONS, NO_GRAPH_MODEL, NOT_IN_A_GROUP, TEXT_REASONS
from detector.fusion import posterior
from streaming.assess.accounts import Accounts
from streaming.assess.evidence import Evidence
from streaming.assess.records import ScoreRow, rfc3339
from streaming.assess.settings import AssessSettings

SWITCHED_OFF: Final = "switched off"

_CHUNK: Final = 4096
"""Rows whose parts are fused at once."""


class Membership(NamedTuple):
    """To which group an account belongs, and to which alerted campaign."""

    group: str | None = None
    group_e: float | None = None
    campaign: str | None = None
    size: int = 0
    """Members of the group."""


class Scores:
    """Writes score rows.

    Args:
        settings: prior and the parts left out.
        accounts, evidence: the state.
        membership: of the account in a row.
        has_graph: whether there is a graph model that speaks.
    """

    def __init__(
        self,
        settings: AssessSettings,
        accounts: Accounts,
        evidence: Evidence,
        membership: Callable[[int], Membership],
        has_graph: bool,
    ) -> None:
        self._has_graph = has_graph
        self._prior = settings.prior
        self._without = settings.without
        self._accounts = accounts
        self._evidence = evidence
        self._membership = membership

    def rows(self, rows: NDArray[np.int64]) -> Iterator[ScoreRow]:
        """One score row for each of `rows`, in their order."""
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            fused = self._evidence.fused(chunk)
            chances = posterior(fused.total, self._prior)
            parts = np.stack(fused, axis=1).tolist()
            for row, llr, chance in zip(chunk.tolist(), parts, chances.tolist(), strict=True):
                yield self._row(row, llr, chance)

    def _row(self, row: int, llr: list[float], chance: float) -> ScoreRow:
        accounts = self._accounts
        flagged = bool(accounts.flagged[row])
        member = self._membership(row)
        return {
            "account": accounts.name(row),
            "posterior": chance,
            "llr": dict(zip(("text", "behaviour", "coordination", "graph", "total"), llr, strict=True)),
            "abstained": self.abstained(row, member),
            "posts": int(accounts.posts[row]),
            "flagged": flagged,
            "flagged_at": rfc3339(int(accounts.flagged_at[row])) if flagged else None,
            "posts_at_flag": int(accounts.posts_at_flag[row]) if flagged else None,
            "campaign": member.campaign,
            "group": member.group,
            "group_e": member.group_e,
        }

    def abstained(self, row: int, member: Membership) -> dict[str, str]:
        """Part -> why it says nothing of the account in `row`; `flag`: why it is not to be flagged."""
        accounts = self._accounts
        reasons: dict[str, str] = {}
        text = TEXT_REASONS.get(int(accounts.text_abstain[row]))
        behaviour = BEHAVIOUR_REASONS.get(int(accounts.behaviour_abstain[row]))
        if "text" in self._without or text is not None:
            reasons["text"] = SWITCHED_OFF if "text" in self._without else str(text)
        if "behaviour" in self._without or behaviour is not None:
            reasons["behaviour"] = SWITCHED_OFF if "behaviour" in self._without else str(behaviour)
        if "coordination" in self._without:
            reasons["coordination"] = SWITCHED_OFF
        elif member.group is None and accounts.coordination[row] == 0.0:
            reasons["coordination"] = NOT_IN_A_GROUP
        graph = GRAPH_REASONS.get(int(accounts.graph_abstain[row])) if self._has_graph else NO_GRAPH_MODEL
        if "graph" in self._without or graph is not None:
            reasons["graph"] = SWITCHED_OFF if "graph" in self._without else str(graph)
        flag = self._evidence.why_not_flagged(row)
        if flag is not None:
            reasons["flag"] = flag
        return reasons

    def group_size(self, row: int) -> int:
        """Members of the group of the account in `row`, 0 without one."""
        return self._membership(row).size


def scored(row: ScoreRow) -> dict[str, Any]:
    """The part of a score row that an alert shows of a member."""
    return {"account": row["account"], "posterior": row["posterior"], "llr": row["llr"]}
