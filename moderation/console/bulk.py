"""The same for many alerts: preview and then do it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from detector.errors import FeedError
from moderation import bulk, claims
from moderation.access import Form, Parts, Visitor
from moderation.api.bulk import tried
from moderation.console.alert import LONGEST_NOTE, line, number, verdict_of
from moderation.console.pages import page
from moderation.records import ID

router = APIRouter()

ACTIONS: dict[str, bulk.Action] = {
    "decide": "decide",
    "snooze": "snooze",
    "claim": "claim",
    "release": "release",
    "escalate": "escalate",
}


@router.post("/bulk/preview")
def preview(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """What would happen to each of the chosen alerts."""
    now = services.now()
    minutes = number(form, "minutes", claims.LONGEST_SNOOZE_MS // 60_000) if form.get("minutes") else 0
    order = _order(form, now + minutes * 60_000)
    shown = services.database.transact(lambda connection: tried(connection, actor, order, now))
    return page(request, services, "bulk.html", actor, order=order, fates=shown.fates, made=shown.made,
                proof=shown.proof, applied=False)  # fmt: skip


@router.post("/bulk/apply")
def apply(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Do what the preview showed."""
    order = _order(form, number(form, "until", 2**33) * 1000 if form.get("until") else 0)
    revisions = {}
    for pair in form.getlist("revision"):
        name, _, revision = str(pair).rpartition("@")
        if not revision.isascii() or not revision.isdecimal() or len(revision) > 9:
            raise FeedError("invalid", "this is not what the preview showed: look at a new preview")
        revisions[name] = int(revision)
    made = int(str(form.get("made", "0"))[:15]) if str(form.get("made", "")).isdecimal() else 0
    proof = str(form.get("proof", ""))
    fates = services.database.transact(
        lambda connection: bulk.apply(connection, actor, order, revisions, made, proof, services.now())
    )
    if order.action == "decide":
        for fate in fates:
            if fate.problem is None:
                services.decided(order.verdict)
    return page(request, services, "bulk.html", actor, order=order, fates=fates, made=0, proof="", applied=True)


def _order(form: FormData, until: int) -> bulk.Order:
    action = ACTIONS.get(str(form.get("action", "")))
    ids = tuple(str(name) for name in form.getlist("ids"))
    if action is None or not all(ID.fullmatch(name) for name in ids):
        raise FeedError("invalid", "choose alerts and what to do with them")
    # To the second, as the preview's form carries it.
    until = until // 1000 * 1000 if action == "snooze" else 0
    verdict = verdict_of(form) if action == "decide" else ""
    return bulk.Order(
        action, ids, verdict, line(form, "policy"), line(form, "reason"), line(form, "note", LONGEST_NOTE), until
    )
