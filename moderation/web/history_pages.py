"""The pages of what was done: decisions and how they are undone, the report of a missed account, the audit log."""

from __future__ import annotations

import json
from typing import Final

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from moderation import audit, decisions
from moderation.auth import Form, SignedIn
from moderation.records import LARGEST_ACCOUNT
from moderation.web.evidence_views import past_decision
from moderation.web.rendering import MAX_NOTE_CHARACTERS, existing_alerts, local_path, page, text_field

router = APIRouter()

DECISIONS_PER_PAGE: Final = 50
ENTRIES_PER_PAGE: Final = 100


@router.get("/decisions")
def show_decisions(context: SignedIn, mine: str = "", cursor: str = "") -> Response:
    """Decisions, the newest first.

    Args:
        context: of the request.
        mine: anything: only one's own.
        cursor: of the page before; "" for the first page.
    """
    actor = context.actor
    actor.require("read")
    with context.read() as connection:
        found = decisions.history_page(
            connection, user_id=actor.user_id if mine else None, cursor=cursor or None, limit=DECISIONS_PER_PAGE
        )
        known = existing_alerts(connection, {row.alert_id for row in found.rows})
    return page(
        context, "decisions.html", mine=bool(mine), next_cursor=found.cursor or "",
        decisions=[past_decision(row, actor, known, context.now) for row in found.rows],
    )  # fmt: skip


@router.post("/decisions/{decision_id}/undo")
def undo_decision(context: SignedIn, decision_id: str, form: Form) -> Response:
    """Undo a decision and return to the page one came from.

    Args:
        context: of the request.
        decision_id: which decision.
        form: with `reason`, and `back`, the page to return to.
    """
    reason = text_field(form, "reason")
    context.write(lambda connection: decisions.undo(connection, context.actor, decision_id, reason, context.now))
    context.services.decision_made("undo")
    return RedirectResponse(f"{local_path(str(form.get('back', '/decisions')))}?done=undone", 303)


@router.get("/missed")
def show_missed_form(context: SignedIn, name: str = "") -> Response:
    """The form that reports a missed account."""
    context.actor.require("work")
    return page(context, "missed.html", name=name[:LARGEST_ACCOUNT])


@router.post("/missed")
def report_missed(context: SignedIn, form: Form) -> Response:
    """Report a missed account."""
    account = str(form.get("account", "")).strip().replace("\0", "")
    reason, note = text_field(form, "reason"), text_field(form, "note", MAX_NOTE_CHARACTERS)
    context.write(
        lambda connection: decisions.report_missed(connection, context.actor, account, reason, note, context.now)
    )
    context.services.decision_made("missed")
    return RedirectResponse("/decisions?mine=1&done=reported", 303)


@router.get("/audit")
def show_audit(context: SignedIn, before: str = "") -> Response:
    """Entries of the audit log, the newest first, and whether its chain holds."""
    context.actor.require("lead")
    seq = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None
    with context.read() as connection:
        entries = [
            dict(row) | {"facts": json.loads(row["facts"])} for row in audit.recent(connection, seq, ENTRIES_PER_PAGE)
        ]
        check = audit.verify(connection)
    more = len(entries) == ENTRIES_PER_PAGE and entries[-1]["seq"] > 1
    return page(context, "audit.html", entries=entries, check=check, next_before=entries[-1]["seq"] if more else None)
