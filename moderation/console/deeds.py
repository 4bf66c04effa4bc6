"""What was done with an alert, and what whoever looks can do with it now, as the pages show it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moderation import words
from moderation.hostile import visible
from moderation.roles import Actor


@dataclass(frozen=True)
class PastDecision:
    """One line of the history. `undoable` by whoever looks."""

    id: str
    alert_id: str
    alert_known: bool
    account: str
    verdict: str
    verdict_words: str
    by: str
    at: str
    ago: str
    policy: str
    reason: str
    note: str
    undone: bool
    undoable: bool


@dataclass(frozen=True)
class Rights:
    """What whoever looks can do with the alert now; templates show nothing else."""

    claim: bool
    release: bool
    decide: bool
    snooze: bool
    wake: bool
    escalate: bool
    hand_back: bool
    assign: bool
    why_not: str


def past_decision(row: Any, actor: Actor, known: set[str], now: int) -> PastDecision:
    """One line of the history out of a row of `decisions.history`."""
    undoable = (
        row.verdict != "undo"
        and row.undone_by is None
        and actor.may("work")
        and (row.user_id == actor.user_id or actor.may("lead"))
    )
    return PastDecision(
        id=row.id, alert_id=row.alert_id, alert_known=row.alert_id in known,
        account=visible(row.account) if row.account else "", verdict=row.verdict,
        verdict_words=words.VERDICTS.get(row.verdict, row.verdict), by=row.by_name or row.by or "somebody",
        at=words.when(row.at), ago=words.ago(row.at, now), policy=visible(row.policy), reason=visible(row.reason),
        note=visible(row.note), undone=row.undone_by is not None, undoable=undoable,
    )  # fmt: skip


def rights_of(row: Any, actor: Actor, now: int) -> Rights:
    held = row.claimed_by is not None and row.claimed_until > now
    mine = held and row.claimed_by == actor.user_id
    works, leads = actor.may("work"), actor.may("lead")
    undecided = row.status == "open" and row.decision is None
    free = not held or mine
    why = ""
    if not works:
        why = "You can look, but not decide."
    elif row.status == "merged":
        why = "This alert is now part of another."
    elif row.status != "open":
        why = "This alert was withdrawn: there is nothing left to decide."
    elif row.decision is not None:
        why = "This alert is decided. Take the decision back to work on it again."
    elif not free:
        why = f"{row.holder or 'Somebody'} is working on this alert."
    elif row.escalated and not leads:
        why = "This alert was escalated: a lead decides on it."
    can = works and undecided
    return Rights(
        claim=can and free, release=works and held and (mine or leads), decide=can and free and not why,
        snooze=can and (free or leads) and row.snoozed_until <= now, wake=can and row.snoozed_until > now,
        escalate=can and (free or leads) and not row.escalated, hand_back=can and leads and bool(row.escalated),
        assign=can and leads, why_not=why,
    )  # fmt: skip
