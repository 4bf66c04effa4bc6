"""Working on alerts: claim, release, assign, snooze, escalate."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from moderation import claims
from moderation.access import Lead, Parts, Worker
from moderation.api.models import AlertId, Assignment, Claimed, Done, Snooze
from moderation.queue import LONGEST_SEARCH, Filters, Kind, free_for
from moderation.records import rfc3339

router = APIRouter(tags=["work"])


@router.post("/claim-next")
def claim_next(
    services: Parts,
    actor: Worker,
    kind: Kind = "any",
    q: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
) -> Claimed | None:
    """Take the most urgent alert that nobody has; `null` where there is none. No two people get the same."""
    filters = Filters.read({"kind": kind, "q": q})
    now = services.now()
    found = services.database.transact(
        lambda connection: claims.claim_next(connection, actor, free_for(actor, filters, now), now)
    )
    return None if found is None else Claimed(id=found, until=rfc3339(now + claims.LEASE_MS))


@router.post("/alerts/{alert_id}/claim")
def claim(services: Parts, actor: Worker, alert_id: AlertId) -> Claimed:
    """Take an alert, or renew one's lease on it."""
    now = services.now()
    until = services.database.transact(lambda connection: claims.claim(connection, actor, alert_id, now))
    return Claimed(id=alert_id, until=rfc3339(until))


@router.post("/alerts/{alert_id}/release")
def release(services: Parts, actor: Worker, alert_id: AlertId) -> Done:
    """Give an alert back."""
    services.database.transact(lambda connection: claims.release(connection, actor, alert_id, services.now()))
    return Done(id=alert_id)


@router.post("/alerts/{alert_id}/assign")
def assign(services: Parts, actor: Lead, alert_id: AlertId, to: Assignment) -> Done:
    """Give an alert to somebody."""
    services.database.transact(lambda connection: claims.assign(connection, actor, alert_id, to.user, services.now()))
    return Done(id=alert_id)


@router.post("/alerts/{alert_id}/snooze")
def snooze(services: Parts, actor: Worker, alert_id: AlertId, wish: Snooze) -> Done:
    """Put an alert off, or bring it back."""
    now = services.now()
    until = now + wish.minutes * 60_000
    services.database.transact(lambda connection: claims.snooze(connection, actor, alert_id, until, now))
    return Done(id=alert_id)


@router.post("/alerts/{alert_id}/escalate")
def escalate(services: Parts, actor: Worker, alert_id: AlertId) -> Done:
    """Hand an alert to the leads."""
    services.database.transact(lambda connection: claims.escalate(connection, actor, alert_id, services.now()))
    return Done(id=alert_id)


@router.post("/alerts/{alert_id}/hand-back")
def hand_back(services: Parts, actor: Lead, alert_id: AlertId) -> Done:
    """Hand an escalated alert back to the moderators."""
    services.database.transact(
        lambda connection: claims.escalate(connection, actor, alert_id, services.now(), up=False)
    )
    return Done(id=alert_id)
