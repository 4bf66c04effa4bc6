"""Moderators' decisions: what was decided, what was undone, what is the current decision, and what it does.

A decision is one record of topic `feedback` (contract). Decisions on one subject, an alert or an account in it, are
kept in order of their effect; the last one that was not undone and asks for something is the current one. A decision
that keeps an account or an alert away sets its suppression threshold; undoing it brings back flag and alert.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detector.errors import RecordError
from streaming.assess.account_evidence import Evidence
from streaming.assess.alert_store import NOT_SUPPRESSED, AlertStore, account_alert_id
from streaming.assess.store import PERMITTED, AccountTable
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


Subject = tuple[str, str | None]
"""What a decision is about: an alert, and the account in it unless it is about the whole."""


class Decisions(msgspec.Struct):
    """All decisions by subject, and what follows from them for accounts. The same id twice is once.

    Args:
        taken: decisions by id.
        undone: id of a decision -> id of the one that undid it.
        of_subject: ids of the decisions on each subject, in order.
        counts: decisions taken, by what was decided.
        thresholds: account -> its suppression threshold (nats), of those that a decision keeps away.
        unreadable: records that were no decision.
    """

    taken: dict[str, Decision] = {}
    undone: dict[str, str] = {}
    of_subject: dict[Subject, list[str]] = {}
    counts: dict[str, int] = {}
    thresholds: dict[str, float] = {}
    unreadable: int = 0

    def take(self, decisions: Iterable[Decision]) -> list[Subject]:
        """Take decisions that take effect together; the subjects that they concern, each once.

        They are ordered by their own time and id, so that the partitions they came by do not matter.
        """
        concerned: dict[Subject, None] = {}
        for decision in sorted(decisions, key=lambda each: (each.at, each.id)):
            if decision.id in self.taken:
                continue
            self.taken[decision.id] = decision
            self.counts[decision.decision] = self.counts.get(decision.decision, 0) + 1
            if decision.decision == "undo":
                if decision.undoes is not None and decision.undoes != decision.id:
                    self.undone[decision.undoes] = decision.id
                    undone = self.taken.get(decision.undoes)
                    if undone is not None:
                        concerned[self._subject(undone)] = None
            else:
                subject = (decision.alert, decision.account)
                self.of_subject.setdefault(subject, []).append(decision.id)
                concerned[subject] = None
        return list(concerned)

    def current(self, alert: str, account: str | None = None) -> str | None:
        """The current decision on a subject, None where there is none."""
        for number in reversed(self.of_subject.get((alert, account), [])):
            decided = self.taken[number].decision
            if decided in EFFECTIVE and not self._is_undone(number):
                return decided
        return None

    def on_account(self, account: str, own_alert: str) -> set[str]:
        """The current decisions on an account, whether on its own alert or as a member of a group."""
        subjects = [(own_alert, None), *(subject for subject in self.of_subject if subject[1] == account)]
        return {decided for subject in subjects if (decided := self.current(*subject)) is not None}

    def _is_undone(self, number: str) -> bool:
        """An undo can itself be undone; a chain of them has an end, as every id is taken once."""
        undo, visited = self.undone.get(number), {number}
        undone = False
        while undo is not None and undo not in visited:
            undone = not undone
            visited.add(undo)
            undo = self.undone.get(undo)
        return undone

    def _subject(self, decision: Decision) -> Subject:
        """What a decision is about: of an undo, what the undone one is about."""
        visited = {decision.id}
        while decision.decision == "undo" and decision.undoes in self.taken and decision.undoes not in visited:
            decision = self.taken[decision.undoes]
            visited.add(decision.id)
        return decision.alert, decision.account

    def forget(self, accounts: set[str]) -> None:
        """Remove the names of accounts that were deleted; what was decided on their alerts stays, by id alone."""
        for subject in [subject for subject in self.of_subject if subject[1] in accounts]:
            for number in self.of_subject.pop(subject):
                self.taken[number] = msgspec.structs.replace(self.taken[number], account=None)
        for name in accounts:
            self.thresholds.pop(name, None)


REOPEN_NATS: Final = 2.0
"""Nats by which evidence must have grown since *not a campaign* before the alert comes back: odds seven times those
that a person looked at and turned down."""


def suppression_threshold(decision: str | None, evidence: float, before: float) -> float:
    """The evidence (nats) below which a decision keeps an account or an alert away.

    Args:
        decision: the current one.
        evidence: of the account or alert now, nats.
        before: the threshold so far; one that *not a campaign* set stays where it was set.
    """
    if decision == "permitted_automation":
        return PERMITTED
    if decision == "not_a_campaign":
        return before if NOT_SUPPRESSED < before < PERMITTED else evidence + REOPEN_NATS
    return NOT_SUPPRESSED


class Applied(NamedTuple):
    """What the decisions of a tick changed.

    Args:
        rows: accounts whose flag is to be looked at.
        groups: ids of group alerts whose next revision is to be looked at.
        flagged: accounts whose flag a decision gave back.
    """

    rows: set[int]
    groups: set[str]
    flagged: list[int]


class Overrides:
    """Applies moderators' decisions: sets suppression thresholds, withholds flags and gives them back.

    Args:
        accounts: the account table.
        evidence: computed over it.
        alerts: the alert store.
        decisions: the part of the state that this class changes.
    """

    def __init__(self, accounts: AccountTable, evidence: Evidence, alerts: AlertStore, decisions: Decisions) -> None:
        self._accounts = accounts
        self._evidence = evidence
        self._alerts = alerts
        self._decisions = decisions

    def apply(self, bodies: Iterable[bytes]) -> Applied:
        """Let decisions, as records of topic `feedback`, take effect."""
        decisions = self._decisions
        parsed = [parse(body) for body in bodies]
        decisions.unreadable += sum(decision is None for decision in parsed)
        applied = Applied(set(), set(), [])
        for alert_id, account in decisions.take(decision for decision in parsed if decision is not None):
            alert = self._alerts.get(alert_id)
            of_group = alert is not None and alert.kind != "account"
            name = account if account is not None else (alert.account if alert is not None and not of_group else "")
            if name:
                self._apply_to_account(name, alert_id if of_group else None, applied)
            elif alert is not None and of_group:
                decision = decisions.current(alert_id)
                if decision != alert.decision:
                    nats = alert.evidence[-1] if alert.evidence else 0.0
                    alert.decision = decision
                    alert.suppression_threshold = suppression_threshold(decision, nats, alert.suppression_threshold)
                    applied.groups.add(alert_id)
        return applied

    def _apply_to_account(self, name: str, group_alert: str | None, applied: Applied) -> None:
        thresholds = self._decisions.thresholds
        before = thresholds.get(name, NOT_SUPPRESSED)
        row = self._set_threshold(name)
        if group_alert is not None and thresholds.get(name, NOT_SUPPRESSED) != before:
            applied.groups.add(group_alert)
        if row is not None:
            applied.rows.add(row)
            if self._withhold_or_give_back(row, name):
                applied.flagged.append(row)

    def _set_threshold(self, name: str) -> int | None:
        """Set an account's suppression threshold from all decisions on it; its row, if it has one."""
        decided = self._decisions.on_account(name, account_alert_id(name))
        decided = {"not_a_campaign" if each == "human_coordination" else each for each in decided}
        decision = next((each for each in ("permitted_automation", "not_a_campaign") if each in decided), None)
        row = self._accounts.find(name)
        alert = self._alerts.of_account(name)
        if row is not None:
            evidence = float(self._evidence.raw(np.array([row]))[0])
        else:
            evidence = alert.evidence[0] if alert is not None and alert.evidence else 0.0
        thresholds = self._decisions.thresholds
        threshold = suppression_threshold(decision, evidence, thresholds.get(name, NOT_SUPPRESSED))
        if threshold == NOT_SUPPRESSED:
            thresholds.pop(name, None)
        else:
            thresholds[name] = threshold
        if row is not None:
            self._accounts.suppression_threshold[row] = threshold
        return row

    def _withhold_or_give_back(self, row: int, name: str) -> bool:
        """Withhold the flag of an account that is kept away; once it no longer is, give it back and return True."""
        accounts = self._accounts
        alert = self._alerts.of_account(name)
        if accounts.suppression_threshold[row] > NOT_SUPPRESSED:
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
        threshold = self._decisions.thresholds.get(name)
        if threshold is not None:
            self._accounts.suppression_threshold[row] = threshold
