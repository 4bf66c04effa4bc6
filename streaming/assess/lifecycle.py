"""The book of alerts: which revision comes next, whether there is one at all, and how many a day may bring.

An alert is *open*, *withdrawn* or *merged*. Revisions count 1, 2, 3 whatever happens in between; the book keeps the
count of an alert for good, so that a returning account's alert goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from streaming.assess.settings import DAY_MS

Status = Literal["open", "withdrawn", "merged"]
AlertKind = Literal["account", "campaign", "coordination"]

REOPEN_NATS: Final = 2.0
"""Nats by which evidence must have grown since *not a campaign* before the alert comes back: odds seven times those
that a person looked at and turned down."""

OVER_NATS: Final = 0.0
"""Total at which an account alert is withdrawn by itself: what was seen no longer speaks for a machine at all. Flags
are judged on running maxima, so falling back under the threshold alone takes nothing back."""


REVISE_SHARE: Final = 0.2
"""Share by which evidence must have changed besides: the e-value of a busy group grows by some nats at every tick, and
a moderator who has read "over a million times likelier" learns nothing from each of them."""

_LEAST_NATS: Final = 0.001
"""Change that counts where `alert_step_nats` is 0: evidence comes in thousandths of a nat."""

_ROUNDING: Final = 1e-9


def account_alert_id(account: str) -> str:
    """The id of an account's alert: a hash of the account."""
    return "a" + hashlib.sha256(b"account\0" + account.encode("utf-8", "surrogatepass")).hexdigest()[:31]


class Alert(msgspec.Struct):
    """What is remembered of one alert between revisions.

    `account` is whose it is ("" for groups and after a deletion); `members` (names) and `shown` (keys of the quoted
    events) are of the last revision; `evidence` the values (nats) that decide whether another revision is due; `bar`
    the evidence below which the decision in force (`verdict`) keeps the alert away; `flag` the account's flag when a
    decision took it.
    """

    id: str
    kind: AlertKind
    account: str = ""
    revision: int = 0
    status: Status = "withdrawn"
    merged_into: str | None = None
    evidence: tuple[float, ...] = ()
    pages: int = 0
    members: list[str] = []
    shown: list[bytes] = []
    bar: float = float("-inf")
    verdict: str | None = None
    flag: tuple[int, int] | None = None

    @property
    def open(self) -> bool:
        return self.status == "open"

    def moved(self, evidence: tuple[float, ...], step: float) -> bool:
        """Whether any of the values has changed, and by at least `step`, since the last revision."""
        if len(evidence) != len(self.evidence):
            return True
        return any(
            abs(new - old) >= max(step, _LEAST_NATS, REVISE_SHARE * abs(old)) - _ROUNDING
            for new, old in zip(evidence, self.evidence, strict=True)
        )


class Book:
    """All alerts ever raised, and today's number.

    Args:
        max_per_day: account and campaign alerts that may be opened per day of event time; 0 is no limit.
    """

    def __init__(self, max_per_day: int) -> None:
        self._limit = max_per_day
        self._alerts: dict[str, Alert] = {}
        self._of_groups: dict[str, Alert] = {}
        self._day = -1
        self._opened = 0

    def get(self, alert: str) -> Alert | None:
        """The alert of that id."""
        return self._alerts.get(alert)

    def of_account(self, account: str) -> Alert | None:
        """An account's alert."""
        return self._alerts.get(account_alert_id(account)) if self._alerts else None

    def entry(self, alert: str, kind: AlertKind, account: str = "") -> Alert:
        """The alert of that id, a new one where there was none."""
        found = self._alerts.get(alert)
        if found is None:
            found = self._alerts[alert] = Alert(alert, kind, account, members=[], shown=[])
            if kind != "account":
                self._of_groups[alert] = found
        elif account:
            found.account = account
        return found

    def __iter__(self) -> Iterator[Alert]:
        return iter(self._alerts.values())

    def of_groups(self) -> Iterator[Alert]:
        """All campaign and coordination alerts."""
        return iter(self._of_groups.values())

    def has_room(self, tick_ms: int) -> bool:
        """Whether one more alert may be opened today."""
        day = (tick_ms - 1) // DAY_MS
        if day != self._day:
            self._day, self._opened = day, 0
        return not self._limit or self._opened < self._limit

    def admits(self, tick_ms: int) -> bool:
        """Whether one more alert may be opened today; if so, it is counted."""
        admitted = self.has_room(tick_ms)
        self._opened += admitted
        return admitted

    def revise(self, alert: Alert, status: Status, evidence: tuple[float, ...]) -> None:
        """The next revision of `alert` is written now."""
        alert.revision += 1
        alert.status = status
        alert.evidence = evidence
        if status != "merged":
            alert.merged_into = None
        if status != "open":
            alert.members, alert.shown = [], []

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        alerts = msgspec.msgpack.encode(list(self._alerts.values()))
        return {"alerts": alerts, "day": self._day, "opened": self._opened}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        alerts = msgspec.msgpack.decode(state["alerts"], type=list[Alert])
        self._alerts = {alert.id: alert for alert in alerts}
        self._of_groups = {alert.id: alert for alert in alerts if alert.kind != "account"}
        self._day, self._opened = state["day"], state["opened"]
