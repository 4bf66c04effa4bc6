"""Who works on which alert: claim with a lease, release, assign, snooze, escalate.

Each is one conditional statement: of two people who ask at the same moment, the database lets one have it.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, literal_column, or_, select, update

from detector.errors import FeedError
from moderation import audit
from moderation.roles import Actor
from moderation.schema import Alert, User

LEASE_MS: Final = 15 * 60_000
"""Long enough to read a campaign and write a note; short enough that nobody's lunch blocks the queue."""

ASSIGN_MS: Final = 24 * 3_600_000
"""An assignment has to survive a night."""

LONGEST_SNOOZE_MS: Final = 30 * 86_400_000


def undecided() -> ColumnElement[bool]:
    """The alert is open and nothing is decided: in the words of the partial index (`schema.UNDECIDED`)."""
    return and_(Alert.status == literal_column("'open'"), Alert.decision.is_(None))


def waiting(now: int) -> ColumnElement[bool]:
    """The alert is in the queue: open, undecided, not put off, and not waiting for its next revision."""
    return and_(undecided(), Alert.snoozed_until <= now, Alert.waits_revision < Alert.revision)


def unheld(now: int) -> ColumnElement[bool]:
    """Nobody's claim on it holds."""
    return or_(Alert.claimed_by.is_(None), Alert.claimed_until <= now)


def held_by(actor: Actor, now: int) -> ColumnElement[bool]:
    """The actor's claim on it holds."""
    return and_(Alert.claimed_by == actor.user_id, Alert.claimed_until > now)


def claim(connection: Connection, actor: Actor, alert_id: str, now: int, lease_ms: int = LEASE_MS) -> int:
    """Take an alert, or renew one's lease on it; until when it holds.

    Raises:
        FeedError: `forbidden`, `not_found`; `conflict` where somebody else has it or it is no longer open.
    """
    actor.require("work")
    done = connection.execute(
        update(Alert)
        .where(
            Alert.id == alert_id,
            Alert.status == "open",
            Alert.decision.is_(None),
            or_(unheld(now), Alert.claimed_by == actor.user_id),
        )
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "claim", alert_id)
    return now + lease_ms


def claim_next(
    connection: Connection, actor: Actor, wanted: ColumnElement[bool], now: int, lease_ms: int = LEASE_MS
) -> str | None:
    """Take the most urgent alert nobody has among those `wanted`; its id, None where there is none.

    Raises:
        FeedError: `forbidden`.
    """
    actor.require("work")
    free = and_(waiting(now), unheld(now), wanted)
    if not actor.may("lead"):
        free = and_(free, Alert.escalated == 0)
    pick = (
        select(Alert.id)
        .where(free)
        .order_by(Alert.escalated.desc(), Alert.urgency.desc(), Alert.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    found = connection.scalar(pick)
    if found is None:
        return None
    done = connection.execute(
        update(Alert)
        .where(Alert.id == found, free)
        .values(claimed_by=actor.user_id, claimed_until=now + lease_ms, changed=now)
    )
    if not done.rowcount:
        return None
    audit.append(connection, now, actor, "claim", found)
    return str(found)


def release(connection: Connection, actor: Actor, alert_id: str, now: int) -> None:
    """Give an alert back; a lead can give back anybody's.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work")
    whose = held_by(actor, now) if not actor.may("lead") else Alert.claimed_by.is_not(None)
    done = connection.execute(
        update(Alert).where(Alert.id == alert_id, whose).values(claimed_by=None, claimed_until=0, changed=now)
    )
    if not done.rowcount:
        _existing(connection, alert_id)
        raise FeedError("conflict", "this alert is not yours to release: your claim on it has ended")
    audit.append(connection, now, actor, "release", alert_id)


def assign(connection: Connection, actor: Actor, alert_id: str, user_id: str, now: int) -> None:
    """Give an alert to somebody, whoever had it.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("lead")
    user = connection.execute(select(User).where(User.id == user_id)).one_or_none()
    if user is None or not user.active or user.role == "viewer":
        raise FeedError("invalid", "an alert can be assigned to people who are active and may decide")
    done = connection.execute(
        update(Alert)
        .where(Alert.id == alert_id, Alert.status == "open", Alert.decision.is_(None))
        .values(claimed_by=user_id, claimed_until=now + ASSIGN_MS, snoozed_until=0, changed=now)
    )
    if not done.rowcount:
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "assign", alert_id, {"to": user.pseudonym})


def snooze(connection: Connection, actor: Actor, alert_id: str, until: int, now: int) -> None:
    """Put an alert off until a time (now or earlier: bring it back); a claim on it ends.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`, `invalid`.
    """
    actor.require("work")
    if until > now + LONGEST_SNOOZE_MS:
        raise FeedError("invalid", "an alert can be put off by 30 days at most")
    until = until if until > now else 0
    if not _change(connection, actor, alert_id, now, {"snoozed_until": until, "claimed_by": None, "claimed_until": 0}):
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "snooze" if until else "wake", alert_id, {"until": until})


def escalate(connection: Connection, actor: Actor, alert_id: str, now: int, *, up: bool = True) -> None:
    """Hand an alert to the leads, who alone decide on it then; or, as a lead, hand it back.

    Raises:
        FeedError: `forbidden`, `not_found`, `conflict`.
    """
    actor.require("work" if up else "lead")
    values = {"escalated": int(up), "claimed_by": None, "claimed_until": 0, "snoozed_until": 0}
    if not _change(connection, actor, alert_id, now, values):
        raise refused(connection, alert_id, now)
    audit.append(connection, now, actor, "escalate" if up else "hand_back", alert_id)


def _change(connection: Connection, actor: Actor, alert_id: str, now: int, values: dict[str, Any]) -> bool:
    """Change an open alert that is nobody's or one's own (a lead: anybody's)."""
    whose = or_(unheld(now), Alert.claimed_by == actor.user_id) if not actor.may("lead") else Alert.id == alert_id
    statement = update(Alert).where(Alert.id == alert_id, Alert.status == "open", Alert.decision.is_(None), whose)
    return bool(connection.execute(statement.values(**values, changed=now)).rowcount)


def _existing(connection: Connection, alert_id: str) -> Any:
    row = connection.execute(
        select(Alert.status, Alert.decision, Alert.merged_into, Alert.claimed_until).where(Alert.id == alert_id)
    ).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such alert")
    return row


def refused(connection: Connection, alert_id: str, now: int) -> FeedError:
    """Why a change of an alert found nothing to change."""
    row = _existing(connection, alert_id)
    if row.status == "merged":
        return FeedError("conflict", f"this alert is now part of {row.merged_into}")
    if row.status != "open":
        return FeedError("conflict", "this alert was withdrawn: there is nothing left to decide")
    if row.decision is not None:
        return FeedError("conflict", "this alert is decided: undo the decision to work on it again")
    return FeedError("conflict", "somebody else is working on this alert")
