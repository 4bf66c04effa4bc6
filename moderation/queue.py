"""Who works on which alert: claiming, releasing, assigning, snoozing, escalating, passing over.

Each is one conditional statement, so that of two people who ask at the same moment the database lets one have the
alert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    or_,
    select,
    true,
    update,
)

from detector.errors import FeedError
from moderation import audit, case_log
from moderation.alert_lists import claimed_by_actor, entitled, not_skipped, unclaimed, waiting
from moderation.database_tables import AlertRow, Skip, User
from moderation.db import upsert
from moderation.permissions import RIGHTS, Actor

LEASE_MS: Final = 15 * 60_000
"""A claim: long enough to read a campaign and write a note, short enough that nobody's lunch blocks the queue."""

ASSIGNMENT_MS: Final = 24 * 3_600_000
"""An assignment has to survive a night."""

MAX_SNOOZE_MS: Final = 30 * 86_400_000
"""A month; what can wait longer than that is decided instead."""


def claim(connection: Connection, actor: Actor, alert_id: str, now: int, lease_ms: int = LEASE_MS) -> int:
    """Claim an alert, or renew one's claim on it.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        alert_id: which alert.
        now: ms since 1970.
        lease_ms: how long the claim is valid.

    Returns:
        Until when the claim is valid, ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`; `conflict` where somebody else has it or it is no longer open.
    """
    actor.require("work")
    done = connection.execute(
        update(AlertRow)
        .where(
            AlertRow.id == alert_id,
            AlertRow.status == "open",
            AlertRow.decision.is_(None),
            or_(unclaimed(now), AlertRow.claimed_by == actor.user_id),
            entitled(actor),
        )
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        raise why_unchanged(connection, actor, alert_id)
    connection.execute(delete(Skip).where(Skip.user_id == actor.user_id, Skip.alert_id == alert_id))
    _log(connection, actor, alert_id, "claim", now)
    return now + lease_ms


def claim_next(
    connection: Connection, actor: Actor, among: ColumnElement[bool], now: int, lease_ms: int = LEASE_MS
) -> str | None:
    """Claim the most urgent alert that waits and nobody has claimed. No two people get the same one.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        among: condition on the alerts that may be claimed, such as `claimable`.
        now: ms since 1970.
        lease_ms: how long the claim is valid.

    Returns:
        The alert's id; None where there is none.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("work")
    free = and_(waiting(now), unclaimed(now), among, entitled(actor), not_skipped(actor, now))
    pick = (
        select(AlertRow.id)
        .where(free)
        .order_by(AlertRow.escalated.desc(), AlertRow.urgency.desc(), AlertRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = connection.scalar(pick)
    if found is None:
        return None
    done = connection.execute(
        update(AlertRow)
        .where(AlertRow.id == found, free)
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        return None
    _log(connection, actor, str(found), "claim", now)
    return str(found)


def release(connection: Connection, actor: Actor, alert_id: str, now: int) -> None:
    """Release one's claim on an alert; a lead can release anybody's.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        alert_id: which alert.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work")
    whose = claimed_by_actor(actor, now) if not actor.may("lead") else AlertRow.claimed_by.is_not(None)
    done = connection.execute(
        update(AlertRow).where(AlertRow.id == alert_id, whose).values(claimed_by=None, claimed_until=0, changed=now)
    )
    if not done.rowcount:
        _existing(connection, alert_id)
        raise FeedError(
            "conflict", "this alert is not yours to release: your claim on it has ended, claim it again to work on it"
        )
    _log(connection, actor, alert_id, "release", now)


def assign(connection: Connection, actor: Actor, alert_id: str, user_id: str, now: int) -> None:
    """Assign an alert to a user, whoever has claimed it.

    Args:
        connection: in a write transaction.
        actor: needs the right "lead".
        alert_id: which alert.
        user_id: to whom: somebody who is active and may decide.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("lead")
    user = connection.execute(select(User).where(User.id == user_id)).one_or_none()
    if user is None or not user.active or user.role == "viewer":
        raise FeedError(
            "invalid", "this user cannot be assigned an alert: choose somebody who is active and may decide"
        )
    done = connection.execute(
        update(AlertRow)
        .where(
            AlertRow.id == alert_id,
            AlertRow.status == "open",
            AlertRow.decision.is_(None),
            true() if "lead" in RIGHTS[user.role] else AlertRow.escalated == 0,
        )
        .values(claimed_by=user_id, claimed_until=now + ASSIGNMENT_MS, snoozed_until=0, changed=now)
    )
    if not done.rowcount:
        raise why_unchanged(connection, actor, alert_id, "hand it back to the moderators before one gets it")
    _log(connection, actor, alert_id, "assign", now, f"to {user.name}", {"to": user.pseudonym})


def snooze(connection: Connection, actor: Actor, alert_id: str, until: int, now: int, reason: str = "") -> None:
    """Snooze an alert until a time; a claim on it ends.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        alert_id: which alert.
        until: ms since 1970, at most `MAX_SNOOZE_MS` from now; now or earlier brings the alert back.
        now: ms since 1970.
        reason: for colleagues; stays in this database.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("work")
    if until > now + MAX_SNOOZE_MS:
        raise FeedError("invalid", "an alert can be put off by 30 days at most")
    until = until if until > now else 0
    who: dict[str, Any] = {"snoozed_by": actor.user_id or None, "snoozed_at": now, "snoozed_reason": reason}
    values = {"snoozed_until": until, "claimed_by": None, "claimed_until": 0, **(who if until else NOT_SNOOZED)}
    if not _change(connection, actor, alert_id, now, values):
        raise why_unchanged(connection, actor, alert_id)
    _log(connection, actor, alert_id, "snooze" if until else "wake", now, reason, {"until": until})


NOT_SNOOZED: Final[dict[str, Any]] = {"snoozed_until": 0, "snoozed_by": None, "snoozed_at": 0, "snoozed_reason": ""}

NOT_ESCALATED: Final[dict[str, Any]] = {
    "escalated": 0, "escalated_by": None, "escalated_at": 0, "escalated_reason": ""
}  # fmt: skip
"""Columns of an alert that nobody put off, and of one that nobody escalated."""


def escalate(
    connection: Connection, actor: Actor, alert_id: str, now: int, *, up: bool = True, reason: str = ""
) -> None:
    """Escalate an alert to the leads, who alone work on it then; or, as a lead, hand it back.

    Args:
        connection: in a write transaction.
        actor: needs the right "work" to escalate, "lead" to hand back.
        alert_id: which alert.
        now: ms since 1970.
        up: False hands it back to the moderators.
        reason: why it is escalated, for the leads; stays in this database.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work" if up else "lead")
    who: dict[str, Any] = {
        "escalated": 1, "escalated_by": actor.user_id or None, "escalated_at": now, "escalated_reason": reason
    }  # fmt: skip
    values = {"claimed_by": None, "claimed_until": 0, **NOT_SNOOZED, **(who if up else NOT_ESCALATED)}
    # Who escalated it first, and why, is not written over.
    if not _change(connection, actor, alert_id, now, values, AlertRow.escalated == int(not up)):
        raise why_unchanged(connection, actor, alert_id, "it was escalated already" if up else "it is not escalated")
    _log(connection, actor, alert_id, "escalate" if up else "hand_back", now, reason)


SKIP_MS: Final = 12 * 3_600_000
"""What somebody passed over is not given to them again in the same shift."""


def skip(connection: Connection, actor: Actor, alert_id: str, now: int) -> None:
    """Pass over an alert: it stays in the queue for others, and one's own claim on it ends.

    Args:
        connection: in a write transaction.
        actor: needs the right "work".
        alert_id: which alert.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`, `not_found`.
    """
    actor.require("work")
    _existing(connection, alert_id)
    connection.execute(
        update(AlertRow)
        .where(AlertRow.id == alert_id, claimed_by_actor(actor, now))
        .values(claimed_by=None, claimed_until=0, changed=now)
    )
    connection.execute(delete(Skip).where(Skip.until <= now))
    statement = upsert(connection, Skip).values(user_id=actor.user_id, alert_id=alert_id, until=now + SKIP_MS)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["user_id", "alert_id"], set_={"until": now + SKIP_MS})
    )
    _log(connection, actor, alert_id, "skip", now)


def _log(
    connection: Connection,
    actor: Actor,
    alert_id: str,
    action: str,
    now: int,
    words: str = "",
    facts: Mapping[str, audit.Fact] | None = None,
) -> None:
    """Add an act to the case's history, with its words, and to the audit log, without."""
    case_log.note(connection, alert_id, now, actor.user_id, action, words)
    audit.append(connection, now, actor, action, alert_id, facts)


def _change(
    connection: Connection,
    actor: Actor,
    alert_id: str,
    now: int,
    values: dict[str, Any],
    only: ColumnElement[bool] | None = None,
) -> bool:
    """Change an open, undecided alert that is not escalated and that nobody else has claimed (a lead: any); whether
    there was one."""
    whose = (
        or_(unclaimed(now), AlertRow.claimed_by == actor.user_id) if not actor.may("lead") else AlertRow.id == alert_id
    )
    statement = update(AlertRow).where(
        AlertRow.id == alert_id, AlertRow.status == "open", AlertRow.decision.is_(None), whose, entitled(actor),
        true() if only is None else only,
    )  # fmt: skip
    return bool(connection.execute(statement.values(**values, changed=now)).rowcount)


def _existing(connection: Connection, alert_id: str) -> Any:
    row = connection.execute(
        select(AlertRow.status, AlertRow.decision, AlertRow.merged_into, AlertRow.escalated).where(
            AlertRow.id == alert_id
        )
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", f"there is no such alert as {alert_id!a}")
    return row


def why_unchanged(connection: Connection, actor: Actor, alert_id: str, otherwise: str = "") -> FeedError:
    """The error that says why a conditional change of an alert changed nothing.

    Args:
        connection: of the transaction in which it changed nothing.
        actor: who wanted to change it.
        alert_id: which alert.
        otherwise: the reason where it is none of the usual ones.

    Raises:
        FeedError: `not_found`: there is no such alert.
    """
    row = _existing(connection, alert_id)
    if row.status == "merged":
        return FeedError("conflict", f"this alert is now part of {row.merged_into}")
    if row.status != "open":
        return FeedError("conflict", "this alert was withdrawn: there is nothing left to decide")
    if row.decision is not None:
        return FeedError("conflict", "this alert is decided: undo the decision to work on it again")
    if row.escalated and not actor.may("lead"):
        return FeedError("conflict", "this alert was escalated: a lead works on it, and hands it back or decides")
    if otherwise and actor.may("lead"):
        return FeedError("conflict", f"this cannot be done: {otherwise}")
    return FeedError("conflict", "somebody else is working on this alert: wait until they release it, or ask a lead")
