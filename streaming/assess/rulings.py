"""What decisions of moderators do to the state: whom they keep away, and what their undoing brings back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from streaming.assess.accounts import Accounts
from streaming.assess.evidence import Evidence
from streaming.assess.feedback import Decisions, parse
from streaming.assess.lifecycle import REOPEN_NATS, Book, account_alert_id

_NO_BAR: Final = float("-inf")


class Rulings:
    """Applies decisions at a tick.

    Args:
        accounts, evidence, book, decisions: the state.
    """

    def __init__(self, accounts: Accounts, evidence: Evidence, book: Book, decisions: Decisions) -> None:
        self._accounts = accounts
        self._evidence = evidence
        self._book = book
        self._decisions = decisions
        self._bars: dict[str, float] = {}
        self.unreadable = 0

    def apply(self, bodies: Iterable[bytes]) -> tuple[set[int], set[str], set[int]]:
        """Let decisions take effect.

        Returns:
            Rows whose flag, and ids of group alerts whose next revision is to be looked at; rows flagged again.
        """
        parsed = [parse(body) for body in bodies]
        self.unreadable += sum(decision is None for decision in parsed)
        rows: set[int] = set()
        alerts: set[str] = set()
        again: set[int] = set()
        for alert_id, account in self._decisions.take(decision for decision in parsed if decision is not None):
            alert = self._book.get(alert_id)
            of_group = alert is not None and alert.kind != "account"
            name = account if account is not None else (alert.account if alert is not None and not of_group else "")
            if name:
                before = self._bars.get(name, _NO_BAR)
                row = self._rule(name)
                if of_group and self._bars.get(name, _NO_BAR) != before:
                    alerts.add(alert_id)
                if row is not None:
                    rows.add(row)
                    if self._restore(row, name):
                        again.add(row)
            elif alert is not None and of_group:
                verdict = self._decisions.holds(alert_id)
                if verdict != alert.verdict:
                    nats = alert.evidence[-1] if alert.evidence else 0.0
                    alert.verdict, alert.bar = verdict, self._bar(verdict, nats, alert.bar)
                    alerts.add(alert_id)
        return rows, alerts, again

    @staticmethod
    def _bar(verdict: str | None, evidence: float, before: float) -> float:
        """The evidence below which a decision keeps an alert away; one already in force stays where it was set."""
        if verdict == "permitted_automation":
            return float("inf")
        if verdict == "not_a_campaign":
            return before if _NO_BAR < before < float("inf") else evidence + REOPEN_NATS
        return _NO_BAR

    def _rule(self, name: str) -> int | None:
        """Set an account's bar from all decisions on it; its row, if it has one."""
        verdicts = self._decisions.on_account(name, account_alert_id(name))
        verdicts = {"not_a_campaign" if verdict == "human_coordination" else verdict for verdict in verdicts}
        verdict = next((each for each in ("permitted_automation", "not_a_campaign") if each in verdicts), None)
        row = self._accounts.find(name)
        alert = self._book.of_account(name)
        if row is not None:
            evidence = float(self._evidence.raw(np.array([row]))[0])
        else:
            evidence = alert.evidence[0] if alert is not None and alert.evidence else 0.0
        bar = self._bar(verdict, evidence, self._bars.get(name, _NO_BAR))
        if bar == _NO_BAR:
            self._bars.pop(name, None)
        else:
            self._bars[name] = bar
        if row is not None:
            self._accounts.bar[row] = bar
        return row

    def _restore(self, row: int, name: str) -> bool:
        """Take the flag of an account that is kept away, remembering it; give it back once it no longer is."""
        accounts = self._accounts
        alert = self._book.of_account(name)
        if accounts.bar[row] > _NO_BAR:
            if accounts.flagged[row]:
                if alert is not None:
                    alert.flag = (int(accounts.flagged_at[row]), int(accounts.posts_at_flag[row]))
                self._evidence.unflag(row)
            return False
        if alert is None or alert.flag is None or accounts.flagged[row] or accounts.automated[row] == 1:
            return False
        accounts.flagged[row] = True
        accounts.flagged_at[row], accounts.posts_at_flag[row] = alert.flag
        alert.flag = None
        return True

    def returning(self, row: int, name: str) -> None:
        """An account has a row (again): what was decided on it still holds."""
        bar = self._bars.get(name)
        if bar is not None:
            self._accounts.bar[row] = bar

    @property
    def any(self) -> bool:
        """Whether any account is kept away."""
        return bool(self._bars)

    def forget(self, accounts: set[str]) -> None:
        """Accounts were deleted."""
        self._decisions.forget(accounts)
        for name in accounts:
            self._bars.pop(name, None)

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        return {"bars": dict(self._bars), "unreadable": self.unreadable}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._bars = dict(state["bars"])
        self.unreadable = state["unreadable"]
