"""Orders for many alerts at once: preview, then apply."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter
from sqlalchemy import Connection

from moderation import bulk
from moderation.access import Parts, Worker
from moderation.api.models import BulkApply, BulkDone, BulkFate, BulkOrder, BulkPreview
from moderation.roles import Actor

router = APIRouter(tags=["bulk"])


def tried(connection: Connection, actor: Actor, order: bulk.Order, now: int) -> bulk.Preview:
    """A preview that leaves nothing behind."""
    attempt = connection.begin_nested()
    try:
        return bulk.preview(connection, actor, order, now)
    finally:
        attempt.rollback()


@router.post("/bulk/preview")
def preview(services: Parts, actor: Worker, wish: BulkOrder) -> BulkPreview:
    """What an order would do to each alert, and the proof that it was shown."""
    now = services.now()
    order = _order(wish, now + wish.minutes * 60_000)
    shown = services.database.transact(lambda connection: tried(connection, actor, order, now))
    fates = [BulkFate(**asdict(fate)) for fate in shown.fates]
    return BulkPreview(fates=fates, until=order.until, made=shown.made, proof=shown.proof)


@router.post("/bulk/apply")
def apply(services: Parts, actor: Worker, wish: BulkApply) -> BulkDone:
    """Do what a preview showed, to those alerts that are still as it showed them."""
    order = _order(wish.order, wish.until)
    fates = services.database.transact(
        lambda connection: bulk.apply(
            connection, actor, order, dict(wish.revisions), wish.made, wish.proof, services.now()
        )
    )
    if order.action == "decide":
        for fate in fates:
            if fate.problem is None:
                services.decided(order.verdict)
    return BulkDone(fates=[BulkFate(**asdict(fate)) for fate in fates])


def _order(wish: BulkOrder, until: int) -> bulk.Order:
    return bulk.Order(
        wish.action, tuple(wish.ids), wish.decision or "", wish.policy, wish.reason, wish.note,
        until if wish.action == "snooze" else 0,
    )  # fmt: skip
