"""Lists of alerts, and one alert with everything that is known of it."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query

from moderation import alerts, decisions
from moderation.access import Parts, Reader
from moderation.api.models import (
    DEFAULT_LIMIT,
    AlertId,
    AlertList,
    AlertWhole,
    Cursor,
    Details,
    Limit,
    alert_item,
    decision_item,
)
from moderation.queue import LONGEST_SEARCH, Filters, Kind, Sort, State, listing

router = APIRouter(tags=["alerts"])


@router.get("/alerts")
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


@router.get("/alerts/{alert_id}")
def show_alert(services: Parts, actor: Reader, alert_id: AlertId) -> AlertWhole:
    """One alert: its latest record, what was decided on it and on its members."""
    with services.database.read() as connection:
        whole = alerts.load(connection, actor, alert_id, details=False)
        made = decisions.history(connection, alert_ids=alerts.ancestors(connection, alert_id))
        holding = decisions.holding_on_accounts(connection, alert_id)
    record: dict[str, Any] = msgspec.to_builtins(whole.record)
    return AlertWhole(
        alert=alert_item(whole.row, services.now()),
        record=record,
        decisions=[decision_item(row) for row in made],
        on_accounts={account: row.verdict for account, row in holding.items()},
    )


@router.get("/alerts/{alert_id}/details")
def show_details(services: Parts, actor: Reader, alert_id: AlertId) -> Details:
    """The whole network, the members' latest posts as times and kinds, and what they shared."""
    with services.database.read() as connection:
        whole = alerts.load(connection, actor, alert_id)
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
