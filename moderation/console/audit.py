"""The audit log's page."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from moderation import audit
from moderation.access import Parts, Visitor
from moderation.console.pages import page

router = APIRouter()

PAGE = 100


@router.get("/audit")
def show(request: Request, services: Parts, actor: Visitor, before: str = "") -> Response:
    """Entries, the newest first, and whether the chain holds."""
    actor.require("lead")
    seq = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None
    with services.database.read() as connection:
        rows = [dict(row) | {"facts": json.loads(row["facts"])} for row in audit.recent(connection, seq, PAGE)]
        verdict = audit.verify(connection)
    following = rows[-1]["seq"] if len(rows) == PAGE and rows[-1]["seq"] > 1 else None
    return page(request, services, "audit.html", actor, entries=rows, verdict=verdict, following=following)
