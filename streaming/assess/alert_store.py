"""The alert store: every alert ever raised, the revision it is at, who has one, and how many a day has opened.

An alert is *open*, *withdrawn* or *merged*. Revisions count 1, 2, 3 whatever happens in between; the store keeps the
count of an alert for good, so that the alert of an account that comes back goes on where it stopped. Records and
details pages are written by `streaming.assess.alert_records`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from streaming.assess.settings import DAY_MS

AlertStatus = Literal["open", "withdrawn", "merged"]
AlertKind = Literal["account", "campaign", "coordination"]

REVISE_SHARE: Final = 0.2
"""Share by which evidence must have changed besides: a busy group changes a little with every search, and a
moderator learns nothing from each of them."""

_LEAST_NATS: Final = 0.001
"""Change that counts where `alert_step_nats` is 0: evidence comes in thousandths of a nat."""

_ROUNDING_NATS: Final = 1e-9
"""Difference that comes from adding in another order: a step of exactly `alert_step_nats` counts."""

NOT_SUPPRESSED: Final = float("-inf")
"""The suppression threshold of an account or alert that no decision keeps away: all evidence exceeds it."""


def account_alert_id(account: str) -> str:
    """The id of an account's alert: a hash of the account's name."""
    return "a" + hashlib.sha256(b"account\0" + account.encode("utf-8", "surrogatepass")).hexdigest()[:31]


class StoredAlert(msgspec.Struct):
    """What is remembered of one alert between revisions.

    Args:
        id: of the alert.
        kind: account, campaign or coordination.
        account: whose alert it is; "" for groups and after the account was deleted.
        revision: number of the last revision, 0 before the first.
        status: of the last revision.
        merged_into: id of the group that this alert's group became part of.
        evidence: values (nats) of the last revision that decide whether another one is due.
        pages: details pages that the last revision has.
        members: names shown by the last revision.
        near: names shown by it of accounts that are no members.
        shown: event keys of the texts that the last revision quotes.
        suppression_threshold: evidence (nats) below which the current decision keeps the alert away.
        decision: the current decision of moderators on the alert.
        withheld_flag: (tick, posts) of the account's flag while a decision withholds it.
    """

    id: str
    kind: AlertKind
    account: str = ""
    revision: int = 0
    status: AlertStatus = "withdrawn"
    merged_into: str | None = None
    evidence: tuple[float, ...] = ()
    pages: int = 0
    members: list[str] = []
    near: list[str] = []
    shown: list[bytes] = []
    suppression_threshold: float = NOT_SUPPRESSED
    decision: str | None = None
    withheld_flag: tuple[int, int] | None = None

    @property
    def open(self) -> bool:
        """Whether the last revision is an open one."""
        return self.status == "open"

    def moved(self, evidence: tuple[float, ...], step_nats: float) -> bool:
        """Whether any of the values has changed since the last revision, by `step_nats` and by a fifth at least."""
        if len(evidence) != len(self.evidence):
            return True
        return any(
            abs(new - old) >= max(step_nats, _LEAST_NATS, REVISE_SHARE * abs(old)) - _ROUNDING_NATS
            for new, old in zip(evidence, self.evidence, strict=True)
        )

    def revise(self, status: AlertStatus, evidence: tuple[float, ...]) -> None:
        """Begin the next revision; the caller writes it.

        Args:
            status: of the revision.
            evidence: values (nats) that the need for a later revision is judged by.
        """
        self.revision += 1
        self.status = status
        self.evidence = evidence
        if status != "merged":
            self.merged_into = None
        if status != "open":
            self.members, self.near, self.shown = [], [], []


class AlertStore(msgspec.Struct):
    """All alerts ever raised by id, and how many were opened on the present day of event time.

    Args:
        of_accounts: account alerts by id.
        of_groups: campaign and coordination alerts by id.
        open_of_row: row of an account -> id of its open alert.
        waiting: rows of flagged accounts whose alert waits until a day has room for it.
        campaign_of: row of an account -> the alerted campaign it belongs to, as of the last time alerts were looked at.
        held_back: campaign alerts that wait, as of the last campaign tick.
        day: number of the present day since 1970.
        opened: account and campaign alerts opened on that day.
    """

    of_accounts: dict[str, StoredAlert] = {}
    of_groups: dict[str, StoredAlert] = {}
    open_of_row: dict[int, str] = {}
    waiting: set[int] = set()
    campaign_of: dict[int, str] = {}
    held_back: int = 0
    day: int = -1
    opened: int = 0

    def get(self, alert_id: str) -> StoredAlert | None:
        """The alert of that id."""
        return self.of_accounts.get(alert_id) or self.of_groups.get(alert_id)

    def of_account(self, account: str) -> StoredAlert | None:
        """An account's alert."""
        return self.of_accounts.get(account_alert_id(account)) if self.of_accounts else None

    def open_account(self, account: str) -> StoredAlert:
        """The alert of `account`, a new one where there was none."""
        alert_id = account_alert_id(account)
        found = self.of_accounts.get(alert_id)
        if found is None:
            found = self.of_accounts[alert_id] = StoredAlert(alert_id, "account")
        found.account = account
        return found

    def open_group(self, alert_id: str, kind: AlertKind) -> StoredAlert:
        """The alert of the group `alert_id`, a new one where there was none; it is of that kind now."""
        found = self.of_groups.get(alert_id)
        if found is None:
            found = self.of_groups[alert_id] = StoredAlert(alert_id, kind)
        found.kind = kind
        return found

    def has_room(self, tick_ms: int, max_per_day: int) -> bool:
        """Whether one more account or campaign alert may be opened on the day of `tick_ms`; a limit of 0 is none."""
        day = (tick_ms - 1) // DAY_MS
        if day != self.day:
            self.day, self.opened = day, 0
        return not max_per_day or self.opened < max_per_day

    def admit(self, tick_ms: int, max_per_day: int) -> bool:
        """Whether one more alert may be opened on the day of `tick_ms`; if so, it is counted."""
        admitted = self.has_room(tick_ms, max_per_day)
        self.opened += admitted
        return admitted

    def forget_row(self, row: int) -> None:
        """The account of `row` left; its alert stays as it is."""
        self.open_of_row.pop(row, None)
        self.waiting.discard(row)

    def forget_campaigns(self, rows: Iterable[int]) -> None:
        """The accounts of `rows` left: they belong to no campaign."""
        for row in rows:
            self.campaign_of.pop(row, None)
