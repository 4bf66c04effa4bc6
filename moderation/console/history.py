"""The history of decisions."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from moderation import decisions
from moderation.access import Parts, Visitor
from moderation.api.decisions import read_cursor
from moderation.console.alert import known_alerts
from moderation.console.deeds import past_decision
from moderation.console.pages import page

router = APIRouter()

PAGE = 50


@router.get("/decisions")
def show(request: Request, services: Parts, actor: Visitor, mine: str = "", cursor: str = "") -> Response:
    """Decisions, the newest first."""
    actor.require("read")
    now = services.now()
    with services.database.read() as connection:
        rows = decisions.history(
            connection, user_id=actor.user_id if mine else None, before=read_cursor(cursor or None), limit=PAGE + 1
        )
        known = known_alerts(connection, {row.alert_id for row in rows})
    shown = rows[:PAGE]
    following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > PAGE else ""
    return page(
        request, services, "decisions.html", actor, mine=bool(mine), following=following,
        decisions=[past_decision(row, actor, known, now) for row in shown],
    )  # fmt: skip
