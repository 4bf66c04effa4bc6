"""What is known here of one account.

Lists of alerts, and one alert with everything that is known of it.

Orders for many alerts at once: preview, then apply.

Decisions: making, taking back, looking up; reporting an account that no alert names.

Working on alerts: claim, release, assign, snooze, escalate.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection

from detector.errors import FeedError
from moderation import cases, decisions, queue
from moderation.api.models import (
    DEFAULT_LIMIT,
    AccountWhole,
    AlertId,
    AlertList,
    AlertWhole,
    Assignment,
    BulkApply,
    BulkDone,
    BulkFate,
    BulkOrder,
    BulkPreview,
    Claimed,
    Cursor,
    DecisionList,
    Details,
    Done,
    Limit,
    Missed,
    NewDecision,
    Reason,
    Snooze,
    alert_item,
    decision_item,
)
from moderation.auth import Lead, Parts, Reader, Worker
from moderation.queue import LONGEST_SEARCH, Filters, Kind, Sort, State, free_for, listing
from moderation.records import LARGEST_ACCOUNT, rfc3339
from moderation.roles import Actor

accounts_router = APIRouter(tags=["accounts"])


@accounts_router.get("/accounts")
def show_account(
    services: Parts, actor: Reader, name: Annotated[str, Query(min_length=1, max_length=LARGEST_ACCOUNT)]
) -> AccountWhole:
    """An account's alerts and what was decided on it."""
    if "\0" in name:
        raise FeedError("invalid", "no account has this name")
    with services.database.read() as connection:
        rows = cases.of_account(connection, actor, name)
        made = decisions.history(connection, account=name)
    now = services.now()
    return AccountWhole(
        account=name, alerts=[alert_item(row, now) for row in rows], decisions=[decision_item(row) for row in made]
    )


alerts_router = APIRouter(tags=["alerts"])


@alerts_router.get("/alerts")
def list_alerts(
    services: Parts,
    actor: Reader,
    state: State = "waiting",
    kind: Kind = "any",
    sort: Sort = "urgency",
    q: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
    min_members: Annotated[int, Query(ge=0, le=999_999)] = 0,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AlertList:
    """Alerts, filtered and in order, page by page."""
    fields = {"state": state, "kind": kind, "sort": sort, "q": q, "min_members": str(min_members)}
    now = services.now()
    with services.database.read() as connection:
        found = listing(connection, actor, Filters.read(fields), now, cursor, limit)
    return AlertList(alerts=[alert_item(row, now) for row in found.rows], next=found.cursor)


@alerts_router.get("/alerts/{alert_id}")
def show_alert(services: Parts, actor: Reader, alert_id: AlertId) -> AlertWhole:
    """One alert: its latest record, what was decided on it and on its members."""
    with services.database.read() as connection:
        whole = cases.load(connection, actor, alert_id, details=False)
        made = decisions.history(connection, alert_ids=cases.ancestors(connection, alert_id))
        holding = decisions.holding_on_accounts(connection, alert_id)
    record: dict[str, Any] = msgspec.to_builtins(whole.record)
    return AlertWhole(
        alert=alert_item(whole.row, services.now()),
        record=record,
        decisions=[decision_item(row) for row in made],
        on_accounts={account: row.verdict for account, row in holding.items()},
    )


@alerts_router.get("/alerts/{alert_id}/details")
def show_details(services: Parts, actor: Reader, alert_id: AlertId) -> Details:
    """The whole network, the members' latest posts as times and kinds, and what they shared."""
    with services.database.read() as connection:
        whole = cases.load(connection, actor, alert_id)
    pages = whole.details

    def joined(name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = msgspec.to_builtins(
            list(chain.from_iterable(getattr(page, name) for page in pages))
        )
        return found

    return Details(
        id=alert_id, revision=pages[0].revision if pages else None, complete=whole.complete,
        edges=joined("edges") if pages else msgspec.to_builtins(whole.record.edges),
        posts=joined("posts"), objects=joined("objects"),
    )  # fmt: skip


bulk_router = APIRouter(tags=["bulk"])


def tried(connection: Connection, actor: Actor, order: decisions.Order, now: int) -> decisions.Preview:
    """A preview that leaves nothing behind."""
    attempt = connection.begin_nested()
    try:
        return decisions.preview(connection, actor, order, now)
    finally:
        attempt.rollback()


@bulk_router.post("/bulk/preview")
def preview(services: Parts, actor: Worker, wish: BulkOrder) -> BulkPreview:
    """What an order would do to each alert, and the proof that it was shown."""
    now = services.now()
    order = _order(wish, now + wish.minutes * 60_000)
    shown = services.database.transact(lambda connection: tried(connection, actor, order, now))
    fates = [BulkFate(**asdict(fate)) for fate in shown.fates]
    return BulkPreview(fates=fates, until=order.until, made=shown.made, proof=shown.proof)


@bulk_router.post("/bulk/apply")
def apply(services: Parts, actor: Worker, wish: BulkApply) -> BulkDone:
    """Do what a preview showed, to those alerts that are still as it showed them."""
    order = _order(wish.order, wish.until)
    fates = services.database.transact(
        lambda connection: decisions.apply(
            connection, actor, order, dict(wish.revisions), wish.made, wish.proof, services.now()
        )
    )
    if order.action == "decide":
        for fate in fates:
            if fate.problem is None:
                services.decided(order.verdict)
    return BulkDone(fates=[BulkFate(**asdict(fate)) for fate in fates])


def _order(wish: BulkOrder, until: int) -> decisions.Order:
    return decisions.Order(
        wish.action, tuple(wish.ids), wish.decision or "", wish.policy, wish.reason, wish.note,
        until if wish.action == "snooze" else 0,
    )  # fmt: skip


decisions_router = APIRouter(tags=["decisions"])

DecisionId = Annotated[str, Path(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


@decisions_router.post("/alerts/{alert_id}/decisions", status_code=201)
def decide(services: Parts, actor: Worker, alert_id: AlertId, wish: NewDecision) -> Done:
    """Decide on an alert, or on one of its members."""
    asked = decisions.Wish(
        alert_id, wish.decision, account=wish.account, policy=wish.policy, reason=wish.reason, note=wish.note,
        revision=wish.revision, id=wish.id,
    )  # fmt: skip
    made = services.database.transact(lambda connection: decisions.decide(connection, actor, asked, services.now()))
    services.decided(wish.decision)
    return Done(id=made)


@decisions_router.post("/decisions/{decision_id}/undo", status_code=201)
def undo(services: Parts, actor: Worker, decision_id: DecisionId, why: Reason) -> Done:
    """Take a decision back."""
    made = services.database.transact(
        lambda connection: decisions.undo(connection, actor, decision_id, why.reason, services.now())
    )
    services.decided("undo")
    return Done(id=made)


@decisions_router.post("/missed", status_code=201)
def report_missed(services: Parts, actor: Worker, report: Missed) -> Done:
    """Report an account that should have been found."""
    made = services.database.transact(
        lambda connection: decisions.report_missed(
            connection, actor, report.account, report.reason, report.note, services.now()
        )
    )
    services.decided("missed")
    return Done(id=made)


@decisions_router.get("/decisions")
def list_decisions(
    services: Parts,
    actor: Reader,
    mine: bool = False,
    cursor: Annotated[str | None, Query(max_length=80, pattern=r"^[0-9]{1,15}\.[0-9a-f-]{36}$")] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DecisionList:
    """Decisions, the newest first."""
    before = read_cursor(cursor)
    with services.database.read() as connection:
        rows = decisions.history(connection, user_id=actor.user_id if mine else None, before=before, limit=limit + 1)
    shown = rows[:limit]
    following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else None
    return DecisionList(decisions=[decision_item(row) for row in shown], next=following)


def read_cursor(cursor: str | None) -> tuple[int, str] | None:
    """A place in the history.

    Raises:
        FeedError: `invalid`.
    """
    if cursor is None:
        return None
    at, _, number = cursor.partition(".")
    if not at.isascii() or not at.isdecimal() or len(at) > 15 or len(number) != 36 or not number.isascii():
        raise FeedError("invalid", "this is no place in the history: start again from its beginning")
    return int(at), number


work_router = APIRouter(tags=["work"])


@work_router.post("/claim-next")
def claim_next(
    services: Parts,
    actor: Worker,
    kind: Kind = "any",
    q: Annotated[str, Query(max_length=LONGEST_SEARCH)] = "",
) -> Claimed | None:
    """Take the most urgent alert that nobody has; `null` where there is none. No two people get the same."""
    filters = Filters.read({"kind": kind, "q": q})
    now = services.now()
    found = services.database.transact(
        lambda connection: queue.claim_next(connection, actor, free_for(actor, filters, now), now)
    )
    return None if found is None else Claimed(id=found, until=rfc3339(now + queue.LEASE_MS))


@work_router.post("/alerts/{alert_id}/claim")
def claim(services: Parts, actor: Worker, alert_id: AlertId) -> Claimed:
    """Take an alert, or renew one's lease on it."""
    now = services.now()
    until = services.database.transact(lambda connection: queue.claim(connection, actor, alert_id, now))
    return Claimed(id=alert_id, until=rfc3339(until))


@work_router.post("/alerts/{alert_id}/release")
def release(services: Parts, actor: Worker, alert_id: AlertId) -> Done:
    """Give an alert back."""
    services.database.transact(lambda connection: queue.release(connection, actor, alert_id, services.now()))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/assign")
def assign(services: Parts, actor: Lead, alert_id: AlertId, to: Assignment) -> Done:
    """Give an alert to somebody."""
    services.database.transact(lambda connection: queue.assign(connection, actor, alert_id, to.user, services.now()))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/snooze")
def snooze(services: Parts, actor: Worker, alert_id: AlertId, wish: Snooze) -> Done:
    """Put an alert off, or bring it back."""
    now = services.now()
    until = now + wish.minutes * 60_000
    services.database.transact(lambda connection: queue.snooze(connection, actor, alert_id, until, now))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/escalate")
def escalate(services: Parts, actor: Worker, alert_id: AlertId) -> Done:
    """Hand an alert to the leads."""
    services.database.transact(lambda connection: queue.escalate(connection, actor, alert_id, services.now()))
    return Done(id=alert_id)


@work_router.post("/alerts/{alert_id}/hand-back")
def hand_back(services: Parts, actor: Lead, alert_id: AlertId) -> Done:
    """Hand an escalated alert back to the moderators."""
    services.database.transact(lambda connection: queue.escalate(connection, actor, alert_id, services.now(), up=False))
    return Done(id=alert_id)
