"""An alert's page and everything one can do there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from sqlalchemy import Connection, select
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, RedirectResponse, Response

from detector.errors import FeedError
from moderation import alerts, claims, decisions, users
from moderation.access import Form, Parts, Visitor
from moderation.console.entry import local
from moderation.console.models import alert_view
from moderation.console.pages import page
from moderation.console.picture import graph_json
from moderation.schema import Alert

router = APIRouter()

AlertId = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]

LONGEST_LINE = 200
LONGEST_NOTE = 2000
MOST_ACCOUNTS = 200
"""Decided on at once; all at once is a decision on the alert."""


@router.get("/alerts/{alert_id}")
def show(request: Request, services: Parts, actor: Visitor, alert_id: AlertId) -> Response:
    """The alert, for somebody who has twenty seconds."""
    now = services.now()
    with services.database.read() as connection:
        whole = alerts.load(connection, actor, alert_id)
        made = decisions.history(connection, alert_ids=alerts.ancestors(connection, alert_id))
        holding = decisions.holding_on_accounts(connection, alert_id)
        known = known_alerts(connection, {row.alert_id for row in made})
        people = users.everybody(connection, actor) if actor.may("lead") else []
    view = alert_view(whole, actor, made, holding, known, now)
    return page(request, services, "alert.html", actor, view=view, people=people)


@router.get("/alerts/{alert_id}/graph.json")
def graph(services: Parts, actor: Visitor, alert_id: AlertId) -> Response:
    """The network and the time line for the page's script."""
    with services.database.read() as connection:
        whole = alerts.load(connection, actor, alert_id)
        holding = decisions.holding_on_accounts(connection, alert_id)
    return JSONResponse(graph_json(whole, holding))


@router.post("/alerts/{alert_id}/{action}")
def act(services: Parts, actor: Visitor, alert_id: AlertId, action: str, form: Form) -> Response:
    """Do something with the alert and come back to its page."""
    work = _ACTIONS.get(action)
    if work is None:
        raise FeedError("not_found", "there is nothing at this address")
    now = services.now()
    done = services.database.transact(lambda connection: work(connection, actor, alert_id, form, now))
    if action == "decide":
        services.decided(str(form.get("decision", "")))
    return RedirectResponse(f"/alerts/{alert_id}?done={done}", 303)


@router.post("/decisions/{decision_id}/undo")
def undo(services: Parts, actor: Visitor, decision_id: str, form: Form) -> Response:
    """Take a decision back and return to where one was."""
    reason = line(form, "reason")
    services.database.transact(
        lambda connection: decisions.undo(connection, actor, decision_id, reason, services.now())
    )
    services.decided("undo")
    return RedirectResponse(f"{local(str(form.get('back', '/decisions')))}?done=undone", 303)


def line(form: FormData, name: str, limit: int = LONGEST_LINE) -> str:
    """A person's words in a field of a form.

    Raises:
        FeedError: `invalid`: too long, or with control characters.
    """
    text = str(form.get(name, "")).replace("\r\n", "\n").strip()
    if len(text) > limit or any((ord(each) < 32 and each not in "\n\t") or ord(each) == 127 for each in text):
        raise FeedError("invalid", f"a text is too long ({limit} characters at most) or holds control characters")
    return text


def number(form: FormData, name: str, most: int) -> int:
    """A whole number in a field of a form.

    Raises:
        FeedError: `invalid`.
    """
    text = str(form.get(name, "")).strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > most:
        raise FeedError("invalid", f"a number from 0 to {most} was expected")
    return int(text)


def verdict_of(form: FormData) -> decisions.Verdict:
    """The decision chosen in a form.

    Raises:
        FeedError: `invalid`: none.
    """
    chosen = str(form.get("decision", ""))
    found = next((each for each in decisions.VERDICTS if each == chosen), None)
    if found is None:
        raise FeedError("invalid", "choose what to decide")
    return found


def known_alerts(connection: Connection, ids: set[str]) -> set[str]:
    """Those of the ids that there are alerts of."""
    return set(connection.scalars(select(Alert.id).where(Alert.id.in_(ids)))) if ids else set()


def _claim(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    claims.claim(connection, actor, alert_id, now)
    return "claimed"


def _release(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    claims.release(connection, actor, alert_id, now)
    return "released"


def _assign(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    claims.assign(connection, actor, alert_id, str(form.get("user", "")), now)
    return "assigned"


def _snooze(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    minutes = number(form, "minutes", claims.LONGEST_SNOOZE_MS // 60_000)
    claims.snooze(connection, actor, alert_id, now + minutes * 60_000, now)
    return "snoozed" if minutes else "woken"


def _escalate(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    claims.escalate(connection, actor, alert_id, now)
    return "escalated"


def _hand_back(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    claims.escalate(connection, actor, alert_id, now, up=False)
    return "handed_back"


def _decide(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    for account in _decided_on(form):
        wish = decisions.Wish(
            alert_id, verdict_of(form), account=account, policy=line(form, "policy"), reason=line(form, "reason"),
            note=line(form, "note", LONGEST_NOTE),
            revision=number(form, "revision", 2**31 - 1) or None if form.get("revision") else None,
        )  # fmt: skip
        decisions.decide(connection, actor, wish, now)
    return "decided"


def _decided_on(form: FormData) -> list[str | None]:
    """The accounts that a decision is about; [None]: the alert as a whole.

    Raises:
        FeedError: `invalid`: what was chosen contradicts itself, or is too much.
    """
    accounts = list(dict.fromkeys(str(each) for each in form.getlist("account") if each))
    scope = str(form.get("scope", "accounts" if accounts else "alert"))
    if scope == "accounts" and not accounts:
        raise FeedError("invalid", "choose the accounts in the table of members first")
    if scope != "accounts" and accounts:
        raise FeedError("invalid", "accounts are chosen, but the decision is on the whole alert: say which you mean")
    if len(accounts) > MOST_ACCOUNTS:
        raise FeedError("invalid", f"choose {MOST_ACCOUNTS} accounts at most, or decide on the whole alert")
    return [*accounts] or [None]


_ACTIONS: dict[str, Callable[[Connection, Any, str, FormData, int], str]] = {
    "claim": _claim,
    "release": _release,
    "assign": _assign,
    "snooze": _snooze,
    "escalate": _escalate,
    "hand-back": _hand_back,
    "decide": _decide,
}
