"""The page of actions: what receivers were told, what waits, and the dead-letter list with *send again*."""

from __future__ import annotations

from typing import get_args
from urllib.parse import urlencode

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import actions, console_config
from moderation.actions import DeliveryState
from moderation.auth import Form, SignedIn
from moderation.web.evidence_views import delivery_view
from moderation.web.rendering import local_path, page

router = APIRouter()

STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)


@router.get("/actions")
def show_actions(context: SignedIn, state: str = "dead", receiver: str = "", before: str = "") -> Response:
    """Deliveries, the newest first: the dead ones unless another state is asked for.

    Args:
        context: of the request.
        state: a state of deliveries, or "all".
        receiver: name of a receiver; "" for all.
        before: number of the last delivery of the page before; "" for the first page.
    """
    context.actor.require("lead")
    if (
        state not in (*STATES, "all")
        or len(receiver) > 40
        or (before and not (before.isascii() and before.isdecimal()))
    ):
        raise FeedError("invalid", "the list cannot be filtered like that: go back to the actions and choose again")
    with context.read() as connection:
        rows = actions.listed(
            connection, context.actor, state="" if state == "all" else state, receiver=receiver,
            before=int(before[:15]) if before else None,
        )  # fmt: skip
        counts = actions.counts(connection)
        config = console_config.current(connection)
    names = sorted({each.name for each in config.receiver} | {name for name, _ in counts})
    more = len(rows) == actions.MAX_LISTED
    return page(
        context, "actions.html", rows=[delivery_view(row, context.now) for row in rows], state=state,
        receiver=receiver, receivers=names, states=(*STATES, "all"), configured=bool(config.receiver),
        counts={each: sum(n for (name, s), n in counts.items() if each in (s, "all") and receiver in ("", name))
                for each in (*STATES, "all")},
        dead={name: counts.get((name, "dead"), 0) for name in names},
        here=urlencode({"state": state, "receiver": receiver}),
        next_before=rows[-1].seq if more else None,
    )  # fmt: skip


@router.post("/actions/again")
def send_again(context: SignedIn, form: Form) -> Response:
    """Send one dead delivery (`id`), or all of a receiver (`receiver`), again."""
    receiver, one = str(form.get("receiver", "")), str(form.get("id", ""))

    def work(connection: Connection) -> int:
        ids = [one] if one else actions.dead_of(connection, receiver)
        return actions.send_again(connection, context.actor, ids, context.now)

    context.actor.require("lead")
    context.write(work)
    context.services.wake_actions()
    back = local_path(str(form.get("back", "/actions")))
    return RedirectResponse(f"{back}{'&' if '?' in back else '?'}done=resent", 303)
