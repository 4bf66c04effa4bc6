"""The queue's page, its rows alone for live updates, and saved views."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from moderation import claims, queue, saved, words
from moderation.access import Form, Parts, Visitor
from moderation.console.pages import page
from moderation.console.rows import QueueRow, queue_row
from moderation.queue import Filters

router = APIRouter()


@router.get("/queue")
def show(request: Request, services: Parts, actor: Visitor) -> Response:
    """The queue. `?rows=1` gives the table's rows alone."""
    fields = dict(request.query_params)
    filters = Filters.read(fields)
    now = services.now()
    with services.database.read() as connection:
        found = queue.listing(connection, actor, filters, now, fields.get("cursor") or None)
        counts = queue.counts(connection, actor, now, services.waiting(connection))
        views = saved.listed(connection, actor)
    rows: list[QueueRow] = [queue_row(row, actor, now) for row in found.rows]
    following = f"{filters.query}&cursor={found.cursor}".lstrip("&") if found.cursor else ""
    states = [(key, words.STATES[key], replace(filters, state=key).query, counts.get(key)) for key in queue.STATES]
    template = "queue_rows.html" if fields.get("rows") else "queue.html"
    return page(
        request, services, template, actor, rows=rows, filters=filters, counts=counts, views=views,
        states=states, following=following, first=not fields.get("cursor"),
    )  # fmt: skip


@router.post("/queue/next")
def take_next(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Claim the most urgent alert nobody has, under the filters one was looking at, and open it."""
    filters = Filters.read({name: str(value) for name, value in form.items()})
    now = services.now()
    found = services.database.transact(
        lambda connection: claims.claim_next(connection, actor, queue.free_for(actor, filters, now), now)
    )
    return RedirectResponse(f"/alerts/{found}?done=claimed" if found else f"/queue?{filters.query}&done=nothing", 303)


@router.post("/views")
def save_view(services: Parts, actor: Visitor, form: Form) -> Response:
    """Save the filters one looks at under a name."""
    query, name, shared = str(form.get("query", "")), str(form.get("name", "")), bool(form.get("shared"))
    services.database.transact(lambda connection: saved.add(connection, actor, name, query, shared=shared))
    return RedirectResponse(f"/queue?{Filters.read({}).query}&done=saved".replace("?&", "?"), 303)


@router.post("/views/{view_id}/delete")
def delete_view(services: Parts, actor: Visitor, view_id: str, form: Form) -> Response:
    """Delete a view."""
    services.database.transact(lambda connection: saved.remove(connection, actor, view_id))
    return RedirectResponse("/queue?done=removed", 303)
