"""What is known here of one account."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from detector.errors import FeedError
from moderation import alerts, decisions
from moderation.access import Parts, Reader
from moderation.api.models import AccountWhole, alert_item, decision_item
from moderation.records import LARGEST_ACCOUNT

router = APIRouter(tags=["accounts"])


@router.get("/accounts")
def show_account(
    services: Parts, actor: Reader, name: Annotated[str, Query(min_length=1, max_length=LARGEST_ACCOUNT)]
) -> AccountWhole:
    """An account's alerts and what was decided on it."""
    if "\0" in name:
        raise FeedError("invalid", "no account has this name")
    with services.database.read() as connection:
        rows = alerts.of_account(connection, actor, name)
        made = decisions.history(connection, account=name)
    now = services.now()
    return AccountWhole(
        account=name, alerts=[alert_item(row, now) for row in rows], decisions=[decision_item(row) for row in made]
    )
