"""Routes of the API on alerts: lists, one alert, claims, decisions, bulk actions, and the alerts of an account."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query

from detector.errors import FeedError
from moderation import actions, alert_lists, bulk_actions, case_log, cases, decision_lists, decisions, queue, related
from moderation.alert_lists import MAX_SEARCH_CHARACTERS, Filters, Kind, Sort, State
from moderation.api.schemas import (
    DEFAULT_LIMIT,
    AccountHistory,
    AlertDetails,
    AlertId,
    AlertList,
    AlertWithHistory,
    Assignment,
    BulkApply,
    BulkDone,
    BulkOrder,
    BulkOutcome,
    BulkPreview,
    CaseItem,
    Claimed,
    Cursor,
    DecisionList,
    Done,
    Escalation,
    Limit,
    MissedAccount,
    NewComment,
    NewDecision,
    Snooze,
    UndoReason,
    alert_item,
    decision_item,
    delivery_item,
    outcome_item,
)
from moderation.auth import Lead, Reader, Worker
from moderation.topic_records import LARGEST_ACCOUNT, rfc3339

alerts_router = APIRouter(tags=["alerts"])
work_router = APIRouter(tags=["work"])
decisions_router = APIRouter(tags=["decisions"])
bulk_router = APIRouter(tags=["bulk"])
accounts_router = APIRouter(tags=["accounts"])

routers: Final = (alerts_router, work_router, decisions_router, bulk_router, accounts_router)

DecisionId = Annotated[
    str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="id of a decision")
]


@alerts_router.get("/alerts")
def list_alerts(
    context: Reader,
    state: Annotated[State, Query(description="state of the alerts")] = "waiting",
    kind: Annotated[Kind, Query(description="kind of alert")] = "any",
    sort: Annotated[Sort, Query(description="order of the list")] = "urgency",
    q: Annotated[
        str, Query(max_length=MAX_SEARCH_CHARACTERS, description="words in the alert, or the name of a member")
    ] = "",
    min_members: Annotated[int, Query(ge=0, le=999_999, description="least number of accounts")] = 0,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AlertList:
    """Alerts, filtered and in order, page by page.

    \f
    Args:
        context: of the request.
        state: of the alerts.
        kind: kind of alert.
        sort: order of the list.
        q: words in the alert, or the name of a member.
        min_members: least number of accounts.
        cursor: `next` of the page before.
        limit: alerts on a page.
    """
    fields = {"state": state, "kind": kind, "sort": sort, "q": q, "min_members": str(min_members)}
    with context.read() as connection:
        page = alert_lists.list_alerts(connection, context.actor, Filters.read(fields), context.now, cursor, limit)
    return AlertList(alerts=[alert_item(row, context.now) for row in page.rows], next=page.cursor)


@alerts_router.get("/alerts/{alert_id}")
def show_alert(context: Reader, alert_id: AlertId) -> AlertWithHistory:
    """One alert: its latest record, and what was decided on it and on its members."""
    with context.read() as connection:
        alert = cases.load_alert(connection, context.actor, alert_id, details=False)
        history = decision_lists.history(connection, alert_ids=cases.merged_ancestors(connection, alert_id))
        on_accounts = decisions.current_on_accounts(connection, alert_id)
        accounts = [member.account for member in alert.record.members]
        own = related.member_alerts(connection, context.actor, accounts, context.now)
        others = related.also_in(connection, accounts, alert_id)
        family = cases.merged_ancestors(connection, alert_id)
        log = case_log.entries(connection, family)
        told, came = actions.of_alerts(connection, family), actions.outcomes(connection, family)
    record: dict[str, Any] = msgspec.to_builtins(alert.record)
    return AlertWithHistory(
        alert=alert_item(alert.row, context.now),
        record=record,
        decisions=[decision_item(row) for row in history],
        log=[CaseItem(at=rfc3339(row.at), by=row.by_name or "", action=row.action, words=row.words) for row in log],
        deliveries=[delivery_item(row) for row in told],
        outcomes=[outcome_item(row) for row in came],
        on_accounts={account: row.verdict for account, row in on_accounts.items()},
        member_alerts={account: each.id for account, each in own.items() if each.id != alert_id},
        also_in={account: [each.id for each in found] for account, found in others.items()},
    )


@alerts_router.get("/alerts/{alert_id}/details")
def show_details(context: Reader, alert_id: AlertId) -> AlertDetails:
    """The whole network, the members' latest posts as times and kinds, and what they shared."""
    with context.read() as connection:
        alert = cases.load_alert(connection, context.actor, alert_id)
    pages = alert.details

    def of_all_pages(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = msgspec.to_builtins(
            list(chain.from_iterable(getattr(page, name) for page in pages))
        )
        return found

    return AlertDetails(
        id=alert_id, revision=pages[0].revision if pages else None, complete=alert.complete,
        edges=of_all_pages("edges") if pages else msgspec.to_builtins(alert.record.edges),
        posts=of_all_pages("posts"), objects=of_all_pages("objects"),
    )  # fmt: skip


@work_router.post("/claim-next")
def claim_next(
    context: Worker,
    kind: Annotated[Kind, Query(description="kind of alert")] = "any",
    q: Annotated[
        str, Query(max_length=MAX_SEARCH_CHARACTERS, description="words in the alert, or the name of a member")
    ] = "",
) -> Claimed | None:
    """Claim the most urgent alert that nobody has; `null` where there is none. No two people get the same.

    \f
    Args:
        context: of the request.
        kind: kind of alert.
        q: words in the alert, or the name of a member.
    """
    actor, now = context.actor, context.now
    filters = Filters.read({"kind": kind, "q": q})
    claimed = context.write(
        lambda connection: queue.claim_next(connection, actor, alert_lists.claimable(actor, filters, now), now)
    )
    return None if claimed is None else Claimed(id=claimed, until=rfc3339(now + queue.LEASE_MS))


@work_router.post("/alerts/{alert_id}/claim")
def claim(context: Worker, alert_id: AlertId) -> Claimed:
    """Claim an alert, or renew one's claim on it."""
    until = context.write(lambda connection: queue.claim(connection, context.actor, alert_id, context.now))
    return Claimed(id=alert_id, until=rfc3339(until))


@work_router.post("/alerts/{alert_id}/release")
def release(context: Worker, alert_id: AlertId) -> Done:
    """Release one's claim on an alert."""
    context.write(lambda connection: queue.release(connection, context.actor, alert_id, context.now))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/assign")
def assign(context: Lead, alert_id: AlertId, body: Assignment) -> Done:
    """Assign an alert to a user.

    \f
    Args:
        context: of the request.
        alert_id: which alert.
        body: to whom.
    """
    context.write(lambda connection: queue.assign(connection, context.actor, alert_id, body.user, context.now))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/snooze")
def snooze(context: Worker, alert_id: AlertId, body: Snooze) -> Done:
    """Snooze an alert, or bring it back.

    \f
    Args:
        context: of the request.
        alert_id: which alert.
        body: for how long.
    """
    until = context.now + body.minutes * 60_000
    context.write(lambda connection: queue.snooze(connection, context.actor, alert_id, until, context.now, body.reason))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/escalate")
def escalate(context: Worker, alert_id: AlertId, body: Escalation | None = None) -> Done:
    """Escalate an alert to the leads.

    \f
    Args:
        context: of the request.
        alert_id: which alert.
        body: why.
    """
    reason = "" if body is None else body.reason
    context.write(lambda connection: queue.escalate(connection, context.actor, alert_id, context.now, reason=reason))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/hand-back")
def hand_back(context: Lead, alert_id: AlertId) -> Done:
    """Hand an escalated alert back to the moderators."""
    context.write(lambda connection: queue.escalate(connection, context.actor, alert_id, context.now, up=False))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/skip")
def skip(context: Worker, alert_id: AlertId) -> Done:
    """Pass over an alert: it is not given to oneself again in this shift."""
    context.write(lambda connection: queue.skip(connection, context.actor, alert_id, context.now))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/comments", status_code=201)
def add_comment(context: Worker, alert_id: AlertId, body: NewComment) -> Done:
    """Say something about an alert to colleagues.

    \f
    Args:
        context: of the request.
        alert_id: which alert.
        body: what is said.
    """
    context.write(lambda connection: case_log.comment(connection, context.actor, alert_id, body.text, context.now))
    return Done(id=alert_id)


@decisions_router.post("/alerts/{alert_id}/decisions", status_code=201)
def decide(context: Worker, alert_id: AlertId, body: NewDecision) -> Done:
    """Decide on an alert, or on one of its members.

    \f
    Args:
        context: of the request.
        alert_id: which alert.
        body: what is decided.
    """
    request = decisions.DecisionRequest(
        alert_id, body.decision, account=body.account, policy=body.policy, reason=body.reason, note=body.note,
        revision=body.revision, id=body.id, covers=tuple(body.covers), despite=body.despite,
    )  # fmt: skip
    made = context.write(lambda connection: decisions.decide(connection, context.actor, request, context.now))
    context.services.decision_made(body.decision)
    return Done(id=made)


@decisions_router.post("/decisions/{decision_id}/undo", status_code=201)
def undo(context: Worker, decision_id: DecisionId, body: UndoReason) -> Done:
    """Undo a decision.

    \f
    Args:
        context: of the request.
        decision_id: which decision.
        body: why.
    """
    made = context.write(
        lambda connection: decisions.undo(connection, context.actor, decision_id, body.reason, context.now)
    )
    context.services.decision_made("undo")
    return Done(id=made)


@decisions_router.post("/missed", status_code=201)
def report_missed(context: Worker, body: MissedAccount) -> Done:
    """Report an account that should have been found."""
    made = context.write(
        lambda connection: decisions.report_missed(
            connection, context.actor, body.account, body.reason, body.note, context.now
        )
    )
    context.services.decision_made("missed")
    return Done(id=made)


@decisions_router.get("/decisions")
def list_decisions(
    context: Reader,
    mine: Annotated[bool, Query(description="only one's own")] = False,
    cursor: Annotated[
        str | None, Query(max_length=80, pattern=r"^[0-9]{1,15}\.[0-9a-f-]{36}$", description="`next` of a page")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DecisionList:
    """Decisions, the newest first.

    \f
    Args:
        context: of the request.
        mine: only one's own.
        cursor: `next` of the page before.
        limit: decisions on a page.
    """
    with context.read() as connection:
        page = decision_lists.history_page(
            connection, user_id=context.actor.user_id if mine else None, cursor=cursor, limit=limit
        )
    return DecisionList(decisions=[decision_item(row) for row in page.rows], next=page.cursor)


@bulk_router.post("/bulk/preview")
def preview(context: Worker, body: BulkOrder) -> BulkPreview:
    """What a bulk action would do to each alert, and the proof that it was shown."""
    bulk = _bulk_request(body, context.now + body.minutes * 60_000)
    shown = context.write(lambda connection: bulk_actions.preview(connection, context.actor, bulk, context.now))
    outcomes = [BulkOutcome(**asdict(outcome)) for outcome in shown.outcomes]
    return BulkPreview(outcomes=outcomes, until=bulk.until, made=shown.made, proof=shown.proof)


@bulk_router.post("/bulk/apply")
def apply(context: Worker, body: BulkApply) -> BulkDone:
    """Do what a preview showed, to those alerts that are still as it showed them."""
    bulk = _bulk_request(body.order, body.until)
    outcomes = context.write(
        lambda connection: bulk_actions.apply(
            connection, context.actor, bulk, dict(body.revisions), body.made, body.proof, context.now
        )
    )
    for outcome in outcomes:
        if bulk.action == "decide" and outcome.problem is None:
            context.services.decision_made(bulk.verdict)
    return BulkDone(outcomes=[BulkOutcome(**asdict(outcome)) for outcome in outcomes])


@accounts_router.get("/accounts")
def show_account(
    context: Reader,
    name: Annotated[str, Query(min_length=1, max_length=LARGEST_ACCOUNT, description="name of the account")],
) -> AccountHistory:
    """An account's alerts and what was decided on it."""
    if "\0" in name:
        raise FeedError("invalid", "no account has this name: it holds a NUL character")
    with context.read() as connection:
        rows = cases.alerts_of_account(connection, context.actor, name)
        history = decision_lists.history(connection, account=name)
    return AccountHistory(
        account=name,
        alerts=[alert_item(row, context.now) for row in rows],
        decisions=[decision_item(row) for row in history],
    )


def _bulk_request(order: BulkOrder, until: int) -> bulk_actions.BulkRequest:
    return bulk_actions.BulkRequest(
        order.action, tuple(order.ids), order.decision or "", order.policy, order.reason, order.note,
        until if order.action == "snooze" else 0,
    )  # fmt: skip
