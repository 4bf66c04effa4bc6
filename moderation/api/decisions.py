"""Decisions: making, taking back, looking up; reporting an account that no alert names."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from detector.errors import FeedError
from moderation import decisions
from moderation.access import Parts, Reader, Worker
from moderation.api.models import (
    DEFAULT_LIMIT,
    AlertId,
    DecisionList,
    Done,
    Limit,
    Missed,
    NewDecision,
    Reason,
    decision_item,
)

router = APIRouter(tags=["decisions"])

DecisionId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


@router.post("/alerts/{alert_id}/decisions", status_code=201)
def decide(services: Parts, actor: Worker, alert_id: AlertId, wish: NewDecision) -> Done:
    """Decide on an alert, or on one of its members."""
    asked = decisions.Wish(
        alert_id, wish.decision, account=wish.account, policy=wish.policy, reason=wish.reason, note=wish.note,
        revision=wish.revision, id=wish.id,
    )  # fmt: skip
    made = services.database.transact(lambda connection: decisions.decide(connection, actor, asked, services.now()))
    services.decided(wish.decision)
    return Done(id=made)


@router.post("/decisions/{decision_id}/undo", status_code=201)
def undo(services: Parts, actor: Worker, decision_id: DecisionId, why: Reason) -> Done:
    """Take a decision back."""
    made = services.database.transact(
        lambda connection: decisions.undo(connection, actor, decision_id, why.reason, services.now())
    )
    services.decided("undo")
    return Done(id=made)


@router.post("/missed", status_code=201)
def report_missed(services: Parts, actor: Worker, report: Missed) -> Done:
    """Report an account that should have been found."""
    made = services.database.transact(
        lambda connection: decisions.report_missed(
            connection, actor, report.account, report.reason, report.note, services.now()
        )
    )
    services.decided("missed")
    return Done(id=made)


@router.get("/decisions")
def list_decisions(
    services: Parts,
    actor: Reader,
    mine: bool = False,
    cursor: Annotated[str | None, Query(max_length=80, pattern=r"^[0-9]{1,15}\.[0-9a-f-]{36}$")] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DecisionList:
    """Decisions, the newest first."""
    before = read_cursor(cursor)
    with services.database.read() as connection:
        rows = decisions.history(connection, user_id=actor.user_id if mine else None, before=before, limit=limit + 1)
    shown = rows[:limit]
    following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else None
    return DecisionList(decisions=[decision_item(row) for row in shown], next=following)


def read_cursor(cursor: str | None) -> tuple[int, str] | None:
    """A place in the history.

    Raises:
        FeedError: `invalid`.
    """
    if cursor is None:
        return None
    at, _, number = cursor.partition(".")
    if not at.isascii() or not at.isdecimal() or len(at) > 15 or len(number) != 36 or not number.isascii():
        raise FeedError("invalid", "this is no place in the history: start again from its beginning")
    return int(at), number
