"""What is said of every account: its score, a line of `--scores` and its summary in topic `accounts`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detector.reasons import BEHAVIOUR_REASONS, GRAPH_REASONS, NO_GRAPH_MODEL, NOT_IN_A_GROUP, TEXT_REASONS
from detector.thresholds import posterior
from detector.times import rfc3339
from streaming.assess.account_evidence import Evidence
from streaming.assess.alert_store import AlertStore
from streaming.assess.group_list import GroupState
from streaming.assess.settings import AssessSettings
from streaming.assess.store import AccountTable
from streaming.schema.score import LlrRecord, ScoreRecord

SWITCHED_OFF: Final = "switched off"

_CHUNK: Final = 4096
"""Accounts whose components are added up at once."""


class GroupMembership(NamedTuple):
    """The group an account belongs to with its q and size (members), and the alerted campaign."""

    group: str | None = None
    group_q: float | None = None
    campaign: str | None = None
    size: int = 0


class Scores:
    """Makes score records out of the state.

    Args:
        settings: prior and the components left out.
        accounts: the rows and columns of the state.
        evidence: adds up an account's components.
        groups: which account is in which group.
        alerts: which account is in which alerted campaign.
        has_graph: whether there is a graph model that speaks.
    """

    def __init__(
        self,
        settings: AssessSettings,
        accounts: AccountTable,
        evidence: Evidence,
        groups: GroupState,
        alerts: AlertStore,
        *,
        has_graph: bool,
    ) -> None:
        self._has_graph = has_graph
        self._prior = settings.prior
        self._without = settings.without
        self._accounts = accounts
        self._evidence = evidence
        self._groups = groups
        self._alerts = alerts

    def membership(self, row: int) -> GroupMembership:
        """To which group and to which alerted campaign the account in `row` belongs."""
        group = self._groups.of_row.get(row)
        campaign = self._alerts.campaign_of.get(row)
        if group is None:
            return GroupMembership(campaign=campaign)
        return GroupMembership(group.id, group.q, campaign, len(group.members))

    def of(self, rows: NDArray[np.int64]) -> Iterator[ScoreRecord]:
        """One score for each of `rows`, in their order."""
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            fused = self._evidence.fused(chunk)
            chances = posterior(fused.total, self._prior)
            components = np.stack(fused, axis=1).tolist()
            for row, llr, chance in zip(chunk.tolist(), components, chances.tolist(), strict=True):
                yield self._score(row, LlrRecord(*llr), chance)

    def _score(self, row: int, llr: LlrRecord, chance: float) -> ScoreRecord:
        accounts = self._accounts
        flagged = bool(accounts.flagged[row])
        member = self.membership(row)
        return ScoreRecord(
            account=accounts.name(row),
            posterior=chance,
            llr=llr,
            abstained=self.abstained(row, member),
            posts=int(accounts.posts[row]),
            flagged=flagged,
            flagged_at=rfc3339(int(accounts.flagged_at[row])) if flagged else None,
            posts_at_flag=int(accounts.posts_at_flag[row]) if flagged else None,
            campaign=member.campaign,
            group=member.group,
            group_q=member.group_q,
        )

    def abstained(self, row: int, member: GroupMembership) -> dict[str, str]:
        """Component -> why it says nothing of the account in `row`; `flag`: why it cannot be flagged."""
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
        return self.membership(row).size
