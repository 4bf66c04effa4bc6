"""What somebody has typed into the form of an alert and not sent: kept for them, until they decide or drop it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, delete, select

from moderation.database_tables import Draft
from moderation.db import upsert
from moderation.permissions import Actor

KEPT: Final = ("decision", "reason", "policy", "note")
"""Fields of a draft."""

MAX_CHARACTERS: Final = 4000
"""Of one field: twice the longest note."""

DRAFT_MS: Final = 30 * 86_400_000
"""A draft older than a month is of a case that nobody remembers."""


def keep(connection: Connection, actor: Actor, alert_id: str, fields: Mapping[str, str], now: int) -> None:
    """Keep what was typed; where all of it is empty, keep nothing.

    Args:
        connection: in a write transaction.
        actor: needs the right "work"; whose draft it is.
        alert_id: of the form.
        fields: of the form; others than those of `KEPT` are left out.
        now: ms since 1970.
    """
    actor.require("work")
    body = {name: fields.get(name, "")[:MAX_CHARACTERS] for name in KEPT}
    if not any(body[name] for name in KEPT[1:]):
        drop(connection, actor, alert_id)
        return
    connection.execute(delete(Draft).where(Draft.at < now - DRAFT_MS))
    values = {"at": now, "body": json.dumps(body)}
    statement = upsert(connection, Draft).values(user_id=actor.user_id, alert_id=alert_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["user_id", "alert_id"], set_=values))


def find(connection: Connection, actor: Actor, alert_id: str) -> dict[str, str]:
    """The actor's draft on an alert; empty where there is none.

    Args:
        connection: to read with.
        actor: whose draft.
        alert_id: of the form.
    """
    query = select(Draft.body).where(Draft.user_id == actor.user_id, Draft.alert_id == alert_id)
    body = connection.scalar(query)
    return {name: str(value) for name, value in json.loads(body).items()} if body else {}


def drop(connection: Connection, actor: Actor, alert_id: str) -> None:
    """Drop the actor's draft on an alert.

    Args:
        connection: in a write transaction.
        actor: whose draft.
        alert_id: of the form.
    """
    connection.execute(delete(Draft).where(Draft.user_id == actor.user_id, Draft.alert_id == alert_id))
