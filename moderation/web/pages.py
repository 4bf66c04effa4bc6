"""Renders templates. Everything in them is escaped, unless nothing at all.

The page that says what went wrong, and what one can do.

The queue's page, its rows alone for live updates, and saved views.

An alert's page and everything one can do there.

An account's page.

The same for many alerts: preview and then do it.

The history of decisions.

Reporting an account that no alert names.

The audit log's page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from fastapi import Path as PathParameter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection, select
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from detector.errors import FeedError
from moderation import audit, cases, decisions, queue, users, words
from moderation.api.alerts import read_cursor, tried
from moderation.auth import Form, Parts, Visitor, find_actor
from moderation.db import Alert
from moderation.queue import Filters
from moderation.records import ID, LARGEST_ACCOUNT, PostRecord, milliseconds, read_alert
from moderation.roles import Actor
from moderation.security import short, visible
from moderation.services import Services
from moderation.web.evidence import graph_json, past_decision
from moderation.web.view_models import QueueRow, alert_view, queue_row

TEMPLATES: Final = Path(__file__).parent.parent / "templates"


def local(target: str) -> str:
    """An address to go on to: a path of ours, else the queue."""
    plain = target.isascii() and target.isprintable() and len(target) < 1000
    return target if plain and target.startswith("/") and not target.startswith(("//", "/\\")) else "/queue"


def environment() -> Environment:
    """Templates with autoescape on for every file, and an error for every name that was not given."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"visible": visible, "short": short, "when": words.when, "span": words.span}
    made.globals |= {
        "words": words,
        "counted": words.counted,
    }
    return made


_environment: Final = environment()


def page(
    request: Request, services: Services, template: str, actor: Actor | None, status: int = 200, **model: Any
) -> HTMLResponse:
    """A page. Every template has `actor` (None: nobody is logged in), `now` (ms), `path` and `notice`."""
    rendered = _environment.get_template(template).render(
        actor=actor,
        now=services.now(),
        path=request.url.path,
        notice=NOTICES.get(request.query_params.get("done", "")),
        **model,
    )
    return HTMLResponse(rendered.encode("utf-8", "backslashreplace"), status)


NOTICES: Final = {
    "claimed": "It is yours for 15 minutes; while you need longer, renew the claim.",
    "released": "Given back to the queue.",
    "assigned": "Assigned.",
    "snoozed": "Put off.",
    "woken": "Back in the queue.",
    "escalated": "Handed to the leads.",
    "handed_back": "Handed back to the moderators.",
    "decided": "Decided, and told to the system. You can take it back below.",
    "undone": "Taken back.",
    "reported": "Thank you: the account is reported.",
    "saved": "View saved.",
    "removed": "Removed.",
    "nothing": "Nothing is waiting that nobody has.",
    "changed": "Changed.",
    "password": "Your password is changed. Log in with the new one.",
}
"""What a page says about what was just done, by the word in its address."""


TITLES: Final = {
    400: "That cannot be done", 401: "Log in first", 403: "Not yours to do", 404: "Nothing here",
    405: "That cannot be done", 409: "Somebody or something was faster", 413: "Too large", 422: "That cannot be read",
    429: "Slow down a little", 500: "Something went wrong here",
}  # fmt: skip


def error_page(request: Request, services: Services, status: int, message: str) -> Response:
    """The page of an error."""
    actor = None
    if status < 500:
        try:
            actor = find_actor(request, services)
        except FeedError:
            actor = None
    title = TITLES.get(status, "That did not work")
    return page(request, services, "error.html", actor, status, title=title, message=message, number=status)


router = APIRouter()


@router.get("/queue")
def show_queue(request: Request, services: Parts, actor: Visitor) -> Response:
    """The queue. `?rows=1` gives the table's rows alone."""
    fields = dict(request.query_params)
    filters = Filters.read(fields)
    now = services.now()
    with services.database.read() as connection:
        found = queue.listing(connection, actor, filters, now, fields.get("cursor") or None)
        counts = queue.counts(connection, actor, now, services.waiting(connection))
        views = queue.listed(connection, actor)
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
        lambda connection: queue.claim_next(connection, actor, queue.free_for(actor, filters, now), now)
    )
    return RedirectResponse(f"/alerts/{found}?done=claimed" if found else f"/queue?{filters.query}&done=nothing", 303)


@router.post("/views")
def save_view(services: Parts, actor: Visitor, form: Form) -> Response:
    """Save the filters one looks at under a name."""
    query, name, shared = str(form.get("query", "")), str(form.get("name", "")), bool(form.get("shared"))
    services.database.transact(lambda connection: queue.add(connection, actor, name, query, shared=shared))
    return RedirectResponse(f"/queue?{Filters.read({}).query}&done=saved".replace("?&", "?"), 303)


@router.post("/views/{view_id}/delete")
def delete_view(services: Parts, actor: Visitor, view_id: str, form: Form) -> Response:
    """Delete a view."""
    services.database.transact(lambda connection: queue.remove(connection, actor, view_id))
    return RedirectResponse("/queue?done=removed", 303)


AlertId = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]

LONGEST_LINE = 200
LONGEST_NOTE = 2000
MOST_ACCOUNTS = 200
"""Decided on at once; all at once is a decision on the alert."""


@router.get("/alerts/{alert_id}")
def show_alert(request: Request, services: Parts, actor: Visitor, alert_id: AlertId) -> Response:
    """The alert, for somebody who has twenty seconds."""
    now = services.now()
    with services.database.read() as connection:
        whole = cases.load(connection, actor, alert_id)
        made = decisions.history(connection, alert_ids=cases.ancestors(connection, alert_id))
        holding = decisions.holding_on_accounts(connection, alert_id)
        known = known_alerts(connection, {row.alert_id for row in made})
        people = users.list_users(connection, actor) if actor.may("lead") else []
    view = alert_view(whole, actor, made, holding, known, now)
    return page(request, services, "alert.html", actor, view=view, people=people)


@router.get("/alerts/{alert_id}/graph.json")
def graph(services: Parts, actor: Visitor, alert_id: AlertId) -> Response:
    """The network and the time line for the page's script."""
    with services.database.read() as connection:
        whole = cases.load(connection, actor, alert_id)
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
    queue.claim(connection, actor, alert_id, now)
    return "claimed"


def _release(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    queue.release(connection, actor, alert_id, now)
    return "released"


def _assign(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    queue.assign(connection, actor, alert_id, str(form.get("user", "")), now)
    return "assigned"


def _snooze(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    minutes = number(form, "minutes", queue.LONGEST_SNOOZE_MS // 60_000)
    queue.snooze(connection, actor, alert_id, now + minutes * 60_000, now)
    return "snoozed" if minutes else "woken"


def _escalate(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    queue.escalate(connection, actor, alert_id, now)
    return "escalated"


def _hand_back(connection: Connection, actor: Any, alert_id: str, form: FormData, now: int) -> str:
    queue.escalate(connection, actor, alert_id, now, up=False)
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


@router.get("/account")
def show_account(request: Request, services: Parts, actor: Visitor, name: str = "") -> Response:
    """Its alerts, its quoted posts, and what was decided on it. `?name=`, as names may hold anything."""
    if not name or len(name) > LARGEST_ACCOUNT or "\0" in name:
        raise FeedError("not_found", "no account has this name")
    now = services.now()
    with services.database.read() as connection:
        rows = cases.of_account(connection, actor, name)
        made = decisions.history(connection, account=name)
        known = known_alerts(connection, {row.alert_id for row in made})
    posts: dict[str, PostRecord] = {}
    members = []
    for row in rows:
        record = read_alert(row.body)
        members += [(row.id, each) for each in record.members if each.account == name]
        posts |= {post.id: post for post in record.posts if post.account == name}
    return page(
        request, services, "account.html", actor, name=name, shown=visible(name),
        rows=[queue_row(row, actor, now) for row in rows], members=members,
        posts=[(words.when(milliseconds(post.at) or 0), post.text)
               for post in sorted(posts.values(), key=lambda post: post.at)],
        decisions=[past_decision(row, actor, known, now) for row in made],
    )  # fmt: skip


ACTIONS: dict[str, decisions.Action] = {
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
    minutes = number(form, "minutes", queue.LONGEST_SNOOZE_MS // 60_000) if form.get("minutes") else 0
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
        lambda connection: decisions.apply(connection, actor, order, revisions, made, proof, services.now())
    )
    if order.action == "decide":
        for fate in fates:
            if fate.problem is None:
                services.decided(order.verdict)
    return page(request, services, "bulk.html", actor, order=order, fates=fates, made=0, proof="", applied=True)


def _order(form: FormData, until: int) -> decisions.Order:
    action = ACTIONS.get(str(form.get("action", "")))
    ids = tuple(str(name) for name in form.getlist("ids"))
    if action is None or not all(ID.fullmatch(name) for name in ids):
        raise FeedError("invalid", "choose alerts and what to do with them")
    # To the second, as the preview's form carries it.
    until = until // 1000 * 1000 if action == "snooze" else 0
    verdict = verdict_of(form) if action == "decide" else ""
    return decisions.Order(
        action, ids, verdict, line(form, "policy"), line(form, "reason"), line(form, "note", LONGEST_NOTE), until
    )


DECISIONS_PER_PAGE = 50


@router.get("/decisions")
def show_decisions(request: Request, services: Parts, actor: Visitor, mine: str = "", cursor: str = "") -> Response:
    """Decisions, the newest first."""
    actor.require("read")
    now = services.now()
    with services.database.read() as connection:
        rows = decisions.history(
            connection,
            user_id=actor.user_id if mine else None,
            before=read_cursor(cursor or None),
            limit=DECISIONS_PER_PAGE + 1,
        )
        known = known_alerts(connection, {row.alert_id for row in rows})
    shown = rows[:DECISIONS_PER_PAGE]
    following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > DECISIONS_PER_PAGE else ""
    return page(
        request, services, "decisions.html", actor, mine=bool(mine), following=following,
        decisions=[past_decision(row, actor, known, now) for row in shown],
    )  # fmt: skip


@router.get("/missed")
def ask_missed(request: Request, services: Parts, actor: Visitor, name: str = "") -> Response:
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


ENTRIES_PER_PAGE = 100


@router.get("/audit")
def show_audit(request: Request, services: Parts, actor: Visitor, before: str = "") -> Response:
    """Entries, the newest first, and whether the chain holds."""
    actor.require("lead")
    seq = int(before) if before.isascii() and before.isdecimal() and len(before) < 16 else None
    with services.database.read() as connection:
        rows = [
            dict(row) | {"facts": json.loads(row["facts"])} for row in audit.recent(connection, seq, ENTRIES_PER_PAGE)
        ]
        verdict = audit.verify(connection)
    following = rows[-1]["seq"] if len(rows) == ENTRIES_PER_PAGE and rows[-1]["seq"] > 1 else None
    return page(request, services, "audit.html", actor, entries=rows, verdict=verdict, following=following)
