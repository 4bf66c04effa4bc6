"""Routes of the API on appeals, for a platform that takes them in a form of its own."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from moderation import appeals
from moderation.api.schemas import Account, Done, Note, RequestBody, RowId
from moderation.auth import Reader, Worker
from moderation.topic_records import rfc3339

appeals_router = APIRouter(tags=["appeals"])

routers: Final = (appeals_router,)


class NewAppeal(RequestBody):
    """An appeal of an account's owner."""

    account: Account
    words: Annotated[Note, Field(min_length=1)]


class AppealAnswer(RequestBody):
    """What is decided on an appeal. The account's owner reads the reason."""

    outcome: Literal["upheld", "not_a_campaign", "human_coordination", "permitted_automation"]
    reason: Annotated[Note, Field(min_length=1)]


class AppealItem(BaseModel):
    """An appeal; `outcome` is empty while it is open."""

    id: str
    account: str
    alert: str
    decision: str
    words: str
    at: str
    outcome: str
    answer: str
    answered_at: str | None


class AppealList(BaseModel):
    """Appeals, open ones first."""

    appeals: list[AppealItem]


@appeals_router.get("/appeals")
def list_appeals(
    context: Reader, open_only: Annotated[bool, Query(description="leave out those that were decided")] = False
) -> AppealList:
    """Appeals, open ones first."""
    with context.read() as connection:
        rows = appeals.list_appeals(connection, context.actor, open_only=open_only)
    return AppealList(
        appeals=[
            AppealItem(
                id=row.id, account=row.account, alert=row.alert_id, decision=row.decision_id, words=row.words,
                at=rfc3339(row.at), outcome=row.outcome, answer=row.answer,
                answered_at=rfc3339(row.answered) if row.answered else None,
            )
            for row in rows
        ]
    )  # fmt: skip


@appeals_router.post("/appeals", status_code=201)
def file_appeal(context: Worker, body: NewAppeal) -> Done:
    """File the appeal of an account's owner against the decision in force on it."""
    number = context.write(
        lambda connection: appeals.appeal_for(connection, context.actor, body.account, body.words, context.now)
    )
    return Done(id=number)


@appeals_router.post("/appeals/{appeal_id}/answer")
def answer(context: Worker, appeal_id: RowId, body: AppealAnswer) -> Done:
    """Decide an appeal against somebody else's decision.

    \f
    Args:
        context: of the request.
        appeal_id: which appeal.
        body: what is decided, and why.
    """
    verdict = None if body.outcome == "upheld" else body.outcome
    context.write(
        lambda connection: appeals.answer(connection, context.actor, appeal_id, verdict, body.reason, context.now)
    )
    if verdict is not None:
        context.services.decision_made(verdict)
    return Done(id=appeal_id)
