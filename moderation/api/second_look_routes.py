"""Routes of the API on second looks and on the blind sample."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter
from fastapi import Path as PathParameter
from pydantic import BaseModel

from moderation import missed_accounts, second_looks
from moderation.api.schemas import AlertId, Done, Note, RequestBody
from moderation.auth import Worker
from moderation.decisions import Verdict
from moderation.topic_records import read_alert

second_looks_router = APIRouter(tags=["second looks"])

routers: Final = (second_looks_router,)

DecisionId = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9-]{1,64}$", description="id of the first decision")]


class BlindAnswer(RequestBody):
    """What is decided. The note stays in this database."""

    decision: Verdict
    note: Note = ""


class Waiting(BaseModel):
    """Ids of what waits."""

    waiting: list[str]


class SecondLookItem(BaseModel):
    """An alert to be decided on a second time, as the first saw it, without what they decided."""

    id: str
    alert: dict[str, Any]


class SampledItem(BaseModel):
    """An account of the blind sample, without what the system makes of it."""

    id: str
    account: str
    day: str
    posts: list[dict[str, str]]
    moments: list[dict[str, str]]


@second_looks_router.get("/second-looks")
def list_second_looks(context: Worker) -> Waiting:
    """Decisions that wait for a second look of the token's owner, the oldest first."""
    with context.read() as connection:
        rows = second_looks.waiting(connection, context.actor, context.now)
    return Waiting(waiting=[row.decision_id for row in rows])


@second_looks_router.get("/second-looks/{decision_id}")
def show_second_look(context: Worker, decision_id: DecisionId) -> SecondLookItem:
    """The alert as the first moderator saw it."""
    with context.read() as connection:
        look = second_looks.take(connection, context.actor, decision_id)
    return SecondLookItem(id=decision_id, alert=msgspec.to_builtins(read_alert(look.snapshot)))


@second_looks_router.post("/second-looks/{decision_id}")
def answer_second_look(context: Worker, decision_id: DecisionId, body: BlindAnswer) -> Done:
    """Decide a second time. The first decision stays in force.

    \f
    Args:
        context: of the request.
        decision_id: the first decision.
        body: what is decided.
    """
    context.write(
        lambda connection: second_looks.answer(
            connection, context.actor, decision_id, body.decision, body.note, context.now
        )
    )
    return Done(id=decision_id)


@second_looks_router.get("/blind-sample")
def list_sample(context: Worker) -> Waiting:
    """Accounts of the blind sample that wait."""
    with context.read() as connection:
        return Waiting(waiting=missed_accounts.waiting(connection, context.actor, context.now))


@second_looks_router.get("/blind-sample/{sample_id}")
def show_sampled(context: Worker, sample_id: AlertId) -> SampledItem:
    """What an account of the blind sample wrote, and when it acted."""
    with context.read() as connection:
        record = missed_accounts.take(connection, context.actor, sample_id)
    return SampledItem(
        id=sample_id, account=record.account, day=record.day,
        posts=[{"id": each.id, "at": each.at, "text": each.text} for each in record.posts],
        moments=[{"at": each.at, "kind": each.kind} for each in record.moments],
    )  # fmt: skip


@second_looks_router.post("/blind-sample/{sample_id}")
def answer_sampled(context: Worker, sample_id: AlertId, body: BlindAnswer) -> Done:
    """Decide on an account of the blind sample.

    \f
    Args:
        context: of the request.
        sample_id: which account.
        body: what is decided.
    """
    context.write(
        lambda connection: missed_accounts.answer(
            connection, context.actor, sample_id, body.decision, body.note, context.now
        )
    )
    return Done(id=sample_id)
