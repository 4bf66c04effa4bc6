"""Reporting an account that no alert names."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from moderation import decisions
from moderation.access import Form, Parts, Visitor
from moderation.console.alert import LONGEST_NOTE, line
from moderation.console.pages import page

router = APIRouter()


@router.get("/missed")
def ask(request: Request, services: Parts, actor: Visitor, name: str = "") -> Response:
    """The form."""
    actor.require("work")
    return page(request, services, "missed.html", actor, name=name[:512])


@router.post("/missed")
def report(services: Parts, actor: Visitor, form: Form) -> Response:
    """Report it."""
    account, reason, note = str(form.get("account", "")).strip(), line(form, "reason"), line(form, "note", LONGEST_NOTE)
    account = account.replace("\0", "")
    services.database.transact(
        lambda connection: decisions.report_missed(connection, actor, account, reason, note, services.now())
    )
    services.decided("missed")
    return RedirectResponse("/decisions?mine=1&done=reported", 303)
