"""The queue's page, its saved views, and bulk actions on the alerts chosen in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import alert_lists, bulk_actions, console_config, queue, words
from moderation.alert_lists import Filters
from moderation.auth import Form, SignedIn
from moderation.topic_records import ID
from moderation.web.alert_pages import next_alert
from moderation.web.rendering import MAX_NOTE_CHARACTERS, number_field, page, text_field, verdict_field
from moderation.web.view_models import queue_row

router = APIRouter()

MAX_SNOOZE_MINUTES: Final = queue.MAX_SNOOZE_MS // 60_000

MAX_DUE_MINUTES: Final = 30 * 24 * 60
"""Longest time to decide in: a month."""

BULK_ACTIONS: Final[dict[str, bulk_actions.Action]] = {action: action for action in get_args(bulk_actions.Action)}


@router.get("/queue")
def show_queue(context: SignedIn) -> Response:
    """The queue. `?rows=1` gives the rows of its table alone, for live updates."""
    fields = dict(context.request.query_params)
    filters = Filters.read(fields)
    actor, now = context.actor, context.now
    with context.read() as connection:
        found = alert_lists.list_alerts(connection, actor, filters, now, fields.get("cursor") or None)
        counts = alert_lists.counts(connection, actor, now, context.services.count_waiting(connection))
        views = alert_lists.list_views(connection, actor)
        queues = alert_lists.queues_of(views)
        policies = console_config.current(connection).policies
    next_query = f"{filters.query}&cursor={found.cursor}".lstrip("&") if found.cursor else ""
    states = [
        (key, words.STATES[key], replace(filters, state=key).query, counts.get(key)) for key in alert_lists.STATES
    ]
    return page(
        context, "queue_rows.html" if fields.get("rows") else "queue.html",
        rows=[queue_row(row, actor, now, queues) for row in found.rows], queues=queues,
        filters=filters, counts=counts, views=views, policies=policies,
        states=states, next_query=next_query, first=not fields.get("cursor"),
    )  # fmt: skip


@router.post("/queue/next")
def claim_next(context: SignedIn, form: Form) -> Response:
    """Claim the most urgent alert nobody has, under the filters of the page, and open it."""
    filters = Filters.read({name: str(value) for name, value in form.items()})
    return next_alert(context, filters.query, "claimed")


@router.post("/views")
def save_view(context: SignedIn, form: Form) -> Response:
    """Save the filters of the page under a name."""
    query, name, shared = str(form.get("query", "")), str(form.get("name", "")), bool(form.get("shared"))
    due = number_field(form, "due_minutes", MAX_DUE_MINUTES) if form.get("queue") else None
    context.write(
        lambda connection: alert_lists.save_view(connection, context.actor, name, query, shared=shared, due_minutes=due)
    )
    # The page goes on showing what was saved.
    kept = Filters.read(dict(parse_qsl(query))).query
    return RedirectResponse(f"/queue?{kept}&done=saved" if kept else "/queue?done=saved", 303)


@router.post("/views/{view_id}/delete")
def delete_view(context: SignedIn, view_id: str, form: Form) -> Response:
    """Delete a saved view.

    Args:
        context: of the request.
        view_id: which view.
        form: with the session's secret.
    """
    context.write(lambda connection: alert_lists.delete_view(connection, context.actor, view_id))
    kept = Filters.read(dict(parse_qsl(str(form.get("query", ""))))).query
    return RedirectResponse(f"/queue?{kept}&done=removed" if kept else "/queue?done=removed", 303)


@router.post("/bulk/preview")
def preview_bulk(context: SignedIn, form: Form) -> Response:
    """What a bulk action would do to each of the chosen alerts."""
    minutes = number_field(form, "minutes", MAX_SNOOZE_MINUTES) if form.get("minutes") else 0
    bulk = _bulk_request(form, context.now + minutes * 60_000)
    shown = context.write(lambda connection: bulk_actions.preview(connection, context.actor, bulk, context.now))
    return page(
        context,
        "bulk.html",
        bulk=bulk,
        outcomes=shown.outcomes,
        made=shown.made,
        proof=shown.proof,
        applied=False,
        batch="",
    )


@router.post("/bulk/apply")
def apply_bulk(context: SignedIn, form: Form) -> Response:
    """Do what the preview showed."""
    bulk = _bulk_request(form, number_field(form, "until", 2**33) * 1000 if form.get("until") else 0)
    revisions = {}
    for pair in form.getlist("revision"):
        alert_id, _, revision = str(pair).rpartition("@")
        if not revision.isascii() or not revision.isdecimal() or len(revision) > 9:
            raise FeedError("invalid", "this is not what the preview showed: look at a new preview")
        revisions[alert_id] = int(revision)
    made = int(str(form.get("made", "0"))[:15]) if str(form.get("made", "")).isdecimal() else 0
    proof = str(form.get("proof", ""))
    outcomes = context.write(
        lambda connection: bulk_actions.apply(connection, context.actor, bulk, revisions, made, proof, context.now)
    )
    for outcome in outcomes:
        if bulk.action == "decide" and outcome.problem is None:
            context.services.decision_made(bulk.verdict)
    return page(context, "bulk.html", bulk=bulk, outcomes=outcomes, made=0, proof="", applied=True, batch=proof)


def _bulk_request(form: FormData, until: int) -> bulk_actions.BulkRequest:
    action = BULK_ACTIONS.get(str(form.get("action", "")))
    ids = tuple(str(each) for each in form.getlist("ids"))
    if action is None or not all(ID.fullmatch(each) for each in ids):
        raise FeedError("invalid", "the form names no alerts or no action: choose alerts and what to do with them")
    return bulk_actions.BulkRequest(
        action,
        ids,
        verdict_field(form) if action == "decide" else "",
        text_field(form, "policy"),
        text_field(form, "reason"),
        text_field(form, "note", MAX_NOTE_CHARACTERS),
        # Whole seconds, as the preview's form carries them.
        until // 1000 * 1000 if action == "snooze" else 0,
    )
