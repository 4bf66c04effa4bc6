"""Second looks: the list of those that wait, how far people agree, and the page on which one decides blind."""

from __future__ import annotations

import math

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from moderation import missed_accounts, second_looks
from moderation.auth import Form, SignedIn
from moderation.web.alert_pages import blind_page
from moderation.web.rendering import MAX_NOTE_CHARACTERS, page, text_field, verdict_field

router = APIRouter()


@router.get("/second-looks")
def show_waiting(context: SignedIn) -> Response:
    """Second looks that one may take, accounts of the blind sample, and for leads how far people agree."""
    actor = context.actor
    with context.read() as connection:
        rows = second_looks.waiting(connection, actor, context.now)
        found = second_looks.agreement(connection) if actor.may("lead") else None
        sample = missed_accounts.waiting(connection, actor, context.now)
        drawn = missed_accounts.is_drawn(connection)
        unlike = second_looks.disagreements(connection, actor) if actor.may("lead") else []
    return page(
        context, "second_looks.html", rows=rows, found=found, unlike=unlike, sample=sample, drawn=drawn,
        defined=found is not None and not math.isnan(found.kappa),
    )  # fmt: skip


@router.get("/second-looks/{decision_id}")
def show_one(context: SignedIn, decision_id: str) -> Response:
    """The alert as the first moderator saw it, without what they decided."""
    with context.read() as connection:
        look = second_looks.take(connection, context.actor, decision_id)
    return blind_page(context, look)


@router.post("/second-looks/{decision_id}")
def answer(context: SignedIn, decision_id: str, form: Form) -> Response:
    """Decide a second time, and go on to the next.

    Args:
        context: of the request.
        decision_id: of the first decision.
        form: with `decision` and `note`.
    """
    verdict, note = verdict_field(form), text_field(form, "note", MAX_NOTE_CHARACTERS)
    context.write(
        lambda connection: second_looks.answer(connection, context.actor, decision_id, verdict, note, context.now)
    )
    with context.read() as connection:
        rows = second_looks.waiting(connection, context.actor, context.now)
    onward = f"/second-looks/{rows[0].decision_id}" if rows else "/second-looks"
    return RedirectResponse(f"{onward}?done=second_look", 303)
