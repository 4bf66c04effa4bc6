"""Routes of the API on policies, on what receivers are told of decisions, and on what they say they did."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from moderation import actions, console_config
from moderation.actions import DeliveryState
from moderation.api.schemas import (
    DeliveryList,
    Done,
    NewOutcome,
    PolicyItem,
    PolicyList,
    delivery_item,
)
from moderation.auth import Lead, Reader, Reporter

policies_router = APIRouter(tags=["policies"])
actions_router = APIRouter(tags=["actions"])

routers: Final = (policies_router, actions_router)

DeliveryId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="id of a delivery")
]


@policies_router.get("/policies")
def list_policies(context: Reader) -> PolicyList:
    """The policies that decisions may name, and those that are retired."""
    with context.read() as connection:
        config = console_config.current(connection)
    return PolicyList(
        policies=[
            PolicyItem(
                code=each.code, text=each.text, severity=each.severity, reason_required=each.reason_required,
                decisions=list(each.decisions), retired=each.retired,
            )
            for each in config.policy
        ]
    )  # fmt: skip


@actions_router.get("/deliveries")
def list_deliveries(
    context: Lead,
    state: Annotated[DeliveryState | None, Query(description="only those in this state")] = None,
    receiver: Annotated[str, Query(max_length=40, description="only those to this receiver")] = "",
    before: Annotated[int | None, Query(ge=1, le=2**53, description="`next` of a page")] = None,
) -> DeliveryList:
    """What receivers are told, the newest first.

    \f
    Args:
        context: of the request.
        state: only those in this state.
        receiver: only those to this receiver.
        before: `next` of the page before.
    """
    with context.read() as connection:
        rows = actions.listed(connection, context.actor, state=state or "", receiver=receiver, before=before)
    more = len(rows) == actions.MAX_LISTED
    return DeliveryList(deliveries=[delivery_item(row) for row in rows], next=rows[-1].seq if more else None)


@actions_router.post("/deliveries/{delivery_id}/again", status_code=201)
def send_again(context: Lead, delivery_id: DeliveryId) -> Done:
    """Send a dead delivery again, with the id it had."""
    context.write(lambda connection: actions.send_again(connection, context.actor, [delivery_id], context.now))
    context.services.wake_actions()
    return Done(id=delivery_id)


@actions_router.post("/outcomes", status_code=201)
def note_outcome(context: Reporter, body: NewOutcome) -> Done:
    """Say what came of a delivery: for the receiver's program, whose token needs the scope `report` alone."""
    made = context.write(
        lambda connection: actions.note_outcome(
            connection, context.actor, delivery=body.delivery, outcome=body.outcome, account=body.account,
            words=body.text, id=body.id, now=context.now,
        )
    )  # fmt: skip
    return Done(id=made)
