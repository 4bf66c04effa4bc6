"""An alert's page with everything one can do there, and an account's page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, RedirectResponse, Response

from detector.errors import FeedError
from moderation import (
    actions,
    alert_lists,
    appeals,
    case_log,
    cases,
    console_config,
    decision_lists,
    decisions,
    drafts,
    queue,
    related,
    similar_cases,
    users,
    words,
)
from moderation.alert_lists import Filters
from moderation.auth import Form, RequestContext, SignedIn
from moderation.console_config import ConsoleConfig
from moderation.permissions import Actor
from moderation.topic_records import ID as ALERT_ID
from moderation.topic_records import LARGEST_ACCOUNT, milliseconds, read_alert
from moderation.web.case_views import RelatedAlerts, case_lines, case_view, neighbour_ties
from moderation.web.context_views import (
    Platform,
    activity,
    latest_profile,
    like_this_words,
    neighbours,
    profile_words,
    similar_views,
    targets,
)
from moderation.web.evidence_views import delivery_view, graph_json, outcome_view, past_decision
from moderation.web.rendering import (
    MAX_NOTE_CHARACTERS,
    STATUS,
    AlertId,
    existing_alerts,
    number_field,
    page,
    text_field,
    verdict_field,
)
from moderation.web.resume import NOTHING, Typed
from moderation.web.untrusted_text import visible
from moderation.web.view_models import alert_view, queue_row
from streaming.schema.alert import PostRecord

router = APIRouter()

DETAILED_ALERTS: Final = 3
"""Alerts whose whole networks an account's page reads for its time line and neighbours: the newest."""

MAX_CHOSEN_ACCOUNTS: Final = 200
"""Members decided on at once; for more, one decides on the alert."""


@router.get("/alerts/{alert_id}")
def show_alert(context: SignedIn, alert_id: AlertId) -> Response:
    """An alert's page."""
    return alert_page(context, alert_id)


def alert_page(
    context: RequestContext,
    alert_id: str,
    status: int = 200,
    typed: Typed = NOTHING,
    refusal: FeedError | None = None,
    onward: str = "",
) -> Response:
    """An alert's page, with what was typed and could not be done.

    Args:
        context: of the request.
        alert_id: which alert.
        status: HTTP status.
        typed: what its form holds.
        refusal: why nothing was done; None where nothing was asked for.
        onward: filters of the queue one works on; "" for those in the page's address.
    """
    actor = context.actor
    was = context.request.query_params.get("was", "")
    with context.read() as connection:
        alert = cases.load_alert(connection, actor, alert_id)
        history = decision_lists.history(
            connection, alert_ids=cases.merged_ancestors(connection, alert_id), undos=False
        )
        on_accounts = decisions.current_on_accounts(connection, alert_id)
        known = existing_alerts(connection, {row.alert_id for row in history})
        people = users.list_users(connection, actor) if actor.may("lead") else []
        links = _links(connection, actor, alert, context.now)
        queues = alert_lists.list_queues(connection)
        config = console_config.current(connection)
        family = cases.merged_ancestors(connection, alert_id)
        log = case_log.entries(connection, family)
        told, came = actions.of_alerts(connection, family), actions.outcomes(connection, family)
        if typed is NOTHING:
            typed = Typed.of_draft(drafts.find(connection, actor, alert_id))
        like = similar_cases.like_this(connection, alert.row.kind, alert.row.odds, alert_id)
        similar = similar_cases.nearest(connection, alert.row)
    platform = Platform(config.links)
    view = alert_view(alert, actor, history, on_accounts, known, context.now, set(links.own), queues, platform)
    alone = alert.record.members[0] if alert.row.kind == "account" and alert.record.members else None
    return page(
        context, "alert.html", status, view=view, people=people, typed=typed,
        case=case_view(alert, links, view.rights, actor, context.now),
        lines=case_lines(log, view.decisions, alert.row.arrived), was=was if ALERT_ID.fullmatch(was) else "",
        onward=queue_query(onward or context.request.query_params.get("from", "")),
        problem="" if refusal is None else str(refusal),
        contradicts=refusal is not None and refusal.code == "contradicts",
        platform=platform, targets=targets(alert.record, platform),
        like_this=like_this_words(like, alert.row.kind), similar=similar_views(similar, context.now),
        profile=profile_words(alone.profile, alert.row.at) if alone is not None else "",
        deliveries=[delivery_view(row, context.now) for row in told], outcomes=[outcome_view(row) for row in came],
        policies=config.policies, rules=config.required, needs=needs(config), policy_texts=config.policy_texts,
        blind="",
    )  # fmt: skip


def blind_page(context: RequestContext, look: Any) -> Response:
    """An alert as the first moderator saw it, without anything that was decided, said or done.

    Args:
        context: of the request.
        look: row of table `second_looks`.
    """
    with context.read() as connection:
        found = cases.load_alert(connection, context.actor, look.alert_id, details=False)
        config = console_config.current(connection)
    record = read_alert(look.snapshot)
    columns = dict(found.row._mapping) | queue.NOT_SNOOZED | queue.NOT_ESCALATED
    columns |= {"status": "open", "decision": None, "decision_id": None, "decided": 0, "claimed_by": None,
                "claimed_until": 0, "holder": None, "escalated_name": None, "snoozed_name": None, "returned": 0,
                "waits_revision": 0, "merged_into": None, "kind": record.kind, "revision": record.revision,
                "members": len(record.members), **cases.summarise(record)._asdict()}  # fmt: skip
    alert = cases.AlertWithDetails(SimpleNamespace(**columns), record, [], complete=False)
    platform = Platform(config.links)
    view = alert_view(alert, context.actor, [], {}, set(), context.now, (), [], platform)
    nothing = RelatedAlerts(own={}, others={}, elsewhere=[], near={})
    return page(
        context, "alert.html", view=view, people=[], typed=NOTHING,
        case=case_view(alert, nothing, view.rights, context.actor, context.now),
        lines=[], was="", onward="", problem="", contradicts=False, deliveries=[], outcomes=[], policies=[],
        rules=config.required, needs="", policy_texts=config.policy_texts, platform=platform,
        targets=targets(record, platform), like_this="", similar=[], profile="", blind=look.decision_id,
    )  # fmt: skip


def needs(config: ConsoleConfig) -> str:
    """What the operator requires of decisions, in a sentence; "" where nothing."""
    said = [
        f"{what} with {words.listed(words.VERDICTS.get(each, each) for each in found)}"
        for what, found in (("a policy", config.required.policy_for), ("a reason", config.required.reason_for))
        if found
    ]
    by_policy = [each.code for each in config.policies if each.reason_required]
    if by_policy:
        said.append(f"a reason with {'policy' if len(by_policy) == 1 else 'policies'} {words.listed(by_policy)}")
    return f"Required: {'; '.join(said)}." if said else ""


def _links(connection: Connection, actor: Actor, alert: cases.AlertWithDetails, now: int) -> RelatedAlerts:
    """What the database has about the accounts of an alert."""
    accounts = [member.account for member in alert.record.members]
    near = list(neighbour_ties(alert))
    own = related.member_alerts(connection, actor, [*accounts, *near], now)
    return RelatedAlerts(
        own={account: own[account] for account in accounts if account in own},
        others=related.also_in(connection, accounts, alert.row.id),
        elsewhere=related.contradictions(connection, alert.row.id, None),
        near={account: own.get(account) for account in near},
    )


@router.get("/alerts/{alert_id}/graph.json")
def show_graph(context: SignedIn, alert_id: AlertId) -> Response:
    """The network and the time line, for the page's script."""
    with context.read() as connection:
        alert = cases.load_alert(connection, context.actor, alert_id)
        on_accounts = decisions.current_on_accounts(connection, alert_id)
        members = [member.account for member in alert.record.members]
        flagged = set(related.member_alerts(connection, context.actor, members, context.now))
    return JSONResponse(graph_json(alert, on_accounts, flagged))


@router.post("/alerts/{alert_id}/{action}")
def change_alert(context: SignedIn, alert_id: AlertId, action: str, form: Form) -> Response:
    """Do something with the alert and return to its page.

    Args:
        context: of the request.
        alert_id: which alert.
        action: a key of `_ACTIONS`.
        form: with what the action needs.
    """
    work = _ACTIONS.get(action)
    if work is None:
        raise FeedError("not_found", "there is nothing at this address: go back to the alert")
    try:
        done = context.write(lambda connection: work(connection, context.actor, alert_id, form, context.now))
    except FeedError as refusal:
        if refusal.code not in ("conflict", "contradicts", "invalid"):
            raise
        fields = {name: str(form.get(name, "")) for name in drafts.KEPT}
        if context.actor.may("work"):
            context.write(lambda connection: drafts.keep(connection, context.actor, alert_id, fields, context.now))
        # The page as it is now, with what was typed and why it was not done: nothing has to be written twice.
        context.services.metrics.refusal(refusal.code)
        return alert_page(context, alert_id, STATUS[refusal.code], Typed.of(form), refusal, str(form.get("from", "")))
    if action == "decide":
        context.services.decision_made(str(form.get("decision", "")))
    onward = queue_query(str(form.get("from", "")))
    if action == "skip" or (action == "decide" and form.get("then") == "next"):
        return next_alert(context, onward, "skipped" if action == "skip" else "next", alert_id)
    return RedirectResponse(
        f"/alerts/{alert_id}?{urlencode({'done': done} | ({'from': onward} if onward else {}))}", 303
    )


def queue_query(text: str) -> str:
    """Filters of a queue out of an address or a form, as `Filters.query`; "" where they are none."""
    try:
        return Filters.read(dict(parse_qsl(text))).query
    except FeedError:
        return ""


def next_alert(context: RequestContext, onward: str, done: str, after: str = "") -> Response:
    """Claim the next alert of a queue and open it; the queue's page where there is none.

    Args:
        context: of the request.
        onward: filters of the queue, as the query of its address (`queue_query`).
        done: what to say was done before, a key of `NOTICES`.
        after: the alert that was worked on before, so that its page is a link away.
    """
    filters = Filters.read(dict(parse_qsl(onward)))
    actor, now = context.actor, context.now
    with context.read() as connection:
        queues = alert_lists.list_queues(connection) if filters.queue else []
    wanted = alert_lists.claimable(actor, replace(filters, state="waiting"), now, queues)
    claimed = context.write(lambda connection: queue.claim_next(connection, actor, wanted, now))
    kept = {"from": filters.query} if filters.query else {}
    if claimed is None:
        said = "last" if after else "nothing"
        return RedirectResponse(f"/queue?{filters.query}&done={said}" if filters.query else f"/queue?done={said}", 303)
    return RedirectResponse(
        f"/alerts/{claimed}?{urlencode({'done': done} | ({'was': after} if after else {}) | kept)}", 303
    )


@router.post("/drafts/{alert_id}")
def keep_draft(context: SignedIn, alert_id: AlertId, form: Form) -> Response:
    """Keep what was typed into an alert's form; asked by its page's script while one types.

    Args:
        context: of the request.
        alert_id: of the form.
        form: what it holds.
    """
    fields = {name: str(form.get(name, "")) for name in drafts.KEPT}
    context.write(lambda connection: drafts.keep(connection, context.actor, alert_id, fields, context.now))
    return Response(status_code=204)


@router.get("/account")
def show_account(context: SignedIn, name: str = "") -> Response:
    """An account's alerts, its quoted posts, and the decisions on it. `?name=`, as names may hold any character."""
    return account_page(context, name)


def account_page(context: RequestContext, name: str, told: str = "") -> Response:
    """An account's page.

    Args:
        context: of the request.
        name: of the account.
        told: address of the page for its owner that was just made; "" where none was.
    """
    if not name or len(name) > LARGEST_ACCOUNT or "\0" in name:
        raise FeedError("not_found", f"no account has this name: it has 1 to {LARGEST_ACCOUNT} characters and no NUL")
    actor, now = context.actor, context.now
    with context.read() as connection:
        rows = cases.alerts_of_account(connection, actor, name)
        history = decision_lists.history(connection, account=name, undos=False)
        known = existing_alerts(connection, {row.alert_id for row in history})
        config = console_config.current(connection)
        pages = cases.pages_of(connection, [row.id for row in rows[:DETAILED_ALERTS]])
        in_force = appeals.decision_on(connection, name)
    posts: dict[str, PostRecord] = {}
    members, profiles, records = [], [], [read_alert(row.body) for row in rows]
    for row, record in zip(rows, records, strict=True):
        mine = [each for each in record.members if each.account == name]
        members += [(row.id, each) for each in mine]
        profiles += [(row.at, each.profile) for each in mine]
        posts |= {post.id: post for post in record.posts if post.account == name}
    edges = [edge for record in records for edge in record.edges] + [edge for each in pages for edge in each.edges]
    platform = Platform(config.links)
    return page(
        context, "account.html", name=name, shown=visible(name), told=told, in_force=in_force,
        rows=[queue_row(row, actor, now) for row in rows if row.status == "open" and row.decision is None],
        earlier=[queue_row(row, actor, now) for row in rows if row.status != "open" or row.decision is not None],
        members=members, platform=platform, profile=latest_profile(profiles), near=neighbours(name, edges),
        activity=activity(name, pages, records), policy_texts=config.policy_texts,
        posts=[(words.when(milliseconds(post.at) or 0), post.text, platform.post(name, post.id))
               for post in sorted(posts.values(), key=lambda post: post.at)],
        decisions=[past_decision(row, actor, known, now) for row in history],
    )  # fmt: skip


def _claim(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.claim(connection, actor, alert_id, now)
    return "claimed"


def _release(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.release(connection, actor, alert_id, now)
    return "released"


def _assign(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.assign(connection, actor, alert_id, str(form.get("user", "")), now)
    return "assigned"


def _snooze(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    minutes = number_field(form, "minutes", queue.MAX_SNOOZE_MS // 60_000)
    queue.snooze(connection, actor, alert_id, now + minutes * 60_000, now, text_field(form, "reason"))
    return "snoozed" if minutes else "woken"


def _escalate(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.escalate(connection, actor, alert_id, now, reason=text_field(form, "reason"))
    return "escalated"


def _hand_back(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.escalate(connection, actor, alert_id, now, up=False)
    return "handed_back"


def _decide(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    covers = tuple(dict.fromkeys(str(each) for each in form.getlist("cover") if each))
    for account in _chosen_accounts(form):
        request = decisions.DecisionRequest(
            alert_id, verdict_field(form), account=account, policy=text_field(form, "policy"),
            reason=text_field(form, "reason"), note=text_field(form, "note", MAX_NOTE_CHARACTERS),
            revision=number_field(form, "revision", 2**31 - 1) or None if form.get("revision") else None,
            covers=covers if account is None else (), despite=bool(form.get("despite")),
        )  # fmt: skip
        decisions.decide(connection, actor, request, now)
    drafts.drop(connection, actor, alert_id)
    return "decided"


def _skip(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    queue.skip(connection, actor, alert_id, now)
    return "skipped"


def _comment(connection: Connection, actor: Actor, alert_id: str, form: FormData, now: int) -> str:
    case_log.comment(connection, actor, alert_id, text_field(form, "comment", MAX_NOTE_CHARACTERS), now)
    return "commented"


def _chosen_accounts(form: FormData) -> list[str | None]:
    """The accounts that a decision is about; [None] where it is about the alert as a whole.

    Raises:
        FeedError: `invalid`: what was chosen contradicts itself, or is too much.
    """
    accounts = list(dict.fromkeys(str(each) for each in form.getlist("account") if each))
    scope = str(form.get("scope", "accounts" if accounts else "alert"))
    if scope == "accounts" and not accounts:
        raise FeedError("invalid", "choose the accounts in the table of members first")
    if scope != "accounts" and accounts:
        raise FeedError("invalid", "accounts are chosen, but the decision is on the whole alert: say which you mean")
    if len(accounts) > MAX_CHOSEN_ACCOUNTS:
        raise FeedError("invalid", f"choose {MAX_CHOSEN_ACCOUNTS} accounts at most, or decide on the whole alert")
    return [*accounts] or [None]


_ACTIONS: Final[dict[str, Callable[[Connection, Actor, str, FormData, int], str]]] = {
    "claim": _claim,
    "release": _release,
    "assign": _assign,
    "snooze": _snooze,
    "escalate": _escalate,
    "hand-back": _hand_back,
    "decide": _decide,
    "skip": _skip,
    "comment": _comment,
}
"""What a form on the alert's page can do, by the last part of its address; each returns a key of `NOTICES`."""
