"""Moderators' decisions: what was decided, what was undone, and what therefore holds.

A decision is one record of topic `feedback` (contract). Decisions on one alert are kept in order of their effect; the
last one that was not undone and asks for something holds.

What decisions of moderators do to the state: whom they keep away, and what their undoing brings back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np

from detector.errors import RecordError
from streaming.assess.alert_store import NOT_SUPPRESSED, AlertStore, account_alert_id
from streaming.assess.evidence import Evidence
from streaming.assess.store import Accounts
from streaming.schema.feedback import DecisionKind, read_feedback

EFFECTIVE: Final = frozenset({"human_coordination", "permitted_automation", "not_a_campaign", "llm_campaign"})
"""Decisions that replace one another; `needs_more` and `missed` ask for nothing here and are only recorded."""


class Decision(msgspec.Struct, frozen=True):
    """What is remembered of one decision; the moderator's reason and name are not kept in the state."""

    alert: str
    decision: DecisionKind
    id: str
    account: str | None = None
    undoes: str | None = None
    at: str = ""


def parse(body: bytes) -> Decision | None:
    """The decision in a log record, None where it is not one (it was checked by whoever wrote it into the log)."""
    try:
        record = read_feedback(body)
    except RecordError:
        return None
    return Decision(record.alert, record.decision, record.id, record.account, record.undoes, record.at)


class Decisions:
    """All decisions by alert and account. The same id twice is once."""

    def __init__(self) -> None:
        self._seen: dict[str, Decision] = {}
        self._undone: dict[str, str] = {}
        self._order: dict[tuple[str, str | None], list[str]] = {}
        self.counts: dict[str, int] = {}

    def take(self, decisions: Iterable[Decision]) -> list[tuple[str, str | None]]:
        """Take decisions that take effect together; the subjects (alert, account) that they concern, each once.

        They are ordered by their own time and id, so that the partitions they came by do not matter.
        """
        touched: dict[tuple[str, str | None], None] = {}
        for decision in sorted(decisions, key=lambda each: (each.at, each.id)):
            if decision.id in self._seen:
                continue
            self._seen[decision.id] = decision
            self.counts[decision.decision] = self.counts.get(decision.decision, 0) + 1
            if decision.decision == "undo":
                if decision.undoes is not None and decision.undoes != decision.id:
                    self._undone[decision.undoes] = decision.id
                    undone = self._seen.get(decision.undoes)
                    if undone is not None:
                        touched[self._subject(undone)] = None
            else:
                subject = (decision.alert, decision.account)
                self._order.setdefault(subject, []).append(decision.id)
                touched[subject] = None
        return list(touched)

    def holds(self, alert: str, account: str | None = None) -> str | None:
        """The decision that holds for a subject, None where there is none."""
        for number in reversed(self._order.get((alert, account), [])):
            verdict = self._seen[number].decision
            if verdict in EFFECTIVE and not self._is_undone(number):
                return verdict
        return None

    def on_account(self, account: str, own_alert: str) -> set[str]:
        """The decisions that hold on an account, whether on its own alert or as a member of a group."""
        subjects = [(own_alert, None), *(subject for subject in self._order if subject[1] == account)]
        return {verdict for subject in subjects if (verdict := self.holds(*subject)) is not None}

    def _is_undone(self, number: str) -> bool:
        """An undo can itself be undone; a chain of them has an end, as every id is taken once."""
        undo, visited = self._undone.get(number), {number}
        undone = False
        while undo is not None and undo not in visited:
            undone = not undone
            visited.add(undo)
            undo = self._undone.get(undo)
        return undone

    def _subject(self, decision: Decision) -> tuple[str, str | None]:
        """What a decision is about: of an undo, what the undone one is about."""
        visited = {decision.id}
        while decision.decision == "undo" and decision.undoes in self._seen and decision.undoes not in visited:
            decision = self._seen[decision.undoes]
            visited.add(decision.id)
        return decision.alert, decision.account

    def forget(self, accounts: set[str]) -> None:
        """Remove the names of accounts that were deleted; what was decided on their alerts stays, by id alone."""
        for subject in [subject for subject in self._order if subject[1] in accounts]:
            for number in self._order.pop(subject):
                self._seen[number] = msgspec.structs.replace(self._seen[number], account=None)

    def state(self) -> dict[str, Any]:
        """For a snapshot; `restore` is the inverse."""
        order = [[alert, account, numbers] for (alert, account), numbers in self._order.items()]
        return {
            "seen": msgspec.msgpack.encode(list(self._seen.values())),
            "undone": list(self._undone.items()),
            "order": order,
            "counts": dict(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._seen = {each.id: each for each in msgspec.msgpack.decode(state["seen"], type=list[Decision])}
        self._undone = dict(state["undone"])
        self._order = {(alert, account): list(numbers) for alert, account, numbers in state["order"]}
        self.counts = dict(state["counts"])


REOPEN_NATS: Final = 2.0
"""Nats by which evidence must have grown since *not a campaign* before the alert comes back: odds seven times those
that a person looked at and turned down."""


class Rulings:
    """Applies decisions at a tick.

    Args:
        accounts, evidence, book, decisions: the state.
    """

    def __init__(self, accounts: Accounts, evidence: Evidence, book: AlertStore, decisions: Decisions) -> None:
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
                before = self._bars.get(name, NOT_SUPPRESSED)
                row = self._rule(name)
                if of_group and self._bars.get(name, NOT_SUPPRESSED) != before:
                    alerts.add(alert_id)
                if row is not None:
                    rows.add(row)
                    if self._restore(row, name):
                        again.add(row)
            elif alert is not None and of_group:
                verdict = self._decisions.holds(alert_id)
                if verdict != alert.decision:
                    nats = alert.evidence[-1] if alert.evidence else 0.0
                    alert.decision, alert.suppression_threshold = (
                        verdict,
                        self._bar(verdict, nats, alert.suppression_threshold),
                    )
                    alerts.add(alert_id)
        return rows, alerts, again

    @staticmethod
    def _bar(verdict: str | None, evidence: float, before: float) -> float:
        """The evidence below which a decision keeps an alert away; one already in force stays where it was set."""
        if verdict == "permitted_automation":
            return float("inf")
        if verdict == "not_a_campaign":
            return before if NOT_SUPPRESSED < before < float("inf") else evidence + REOPEN_NATS
        return NOT_SUPPRESSED

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
        bar = self._bar(verdict, evidence, self._bars.get(name, NOT_SUPPRESSED))
        if bar == NOT_SUPPRESSED:
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
        if accounts.bar[row] > NOT_SUPPRESSED:
            if accounts.flagged[row]:
                if alert is not None:
                    alert.withheld_flag = (int(accounts.flagged_at[row]), int(accounts.posts_at_flag[row]))
                self._evidence.unflag(row)
            return False
        if alert is None or alert.withheld_flag is None or accounts.flagged[row] or accounts.automated[row] == 1:
            return False
        accounts.flagged[row] = True
        accounts.flagged_at[row], accounts.posts_at_flag[row] = alert.withheld_flag
        alert.withheld_flag = None
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
