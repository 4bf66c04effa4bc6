"""Saved views of the queue: one's own, and those that leads share with everybody."""

from __future__ import annotations

import secrets
from typing import Any, Final
from urllib.parse import parse_qsl

from sqlalchemy import Connection, delete, func, insert, or_, select

from detector.errors import FeedError
from moderation.queue import Filters
from moderation.roles import Actor
from moderation.schema import View

MOST: Final = 50
"""Views of one person: more is a list nobody reads."""


def add(connection: Connection, actor: Actor, name: str, query: str, *, shared: bool) -> str:
    """Save filters under a name; the view's id.

    Raises:
        FeedError: `forbidden`, `invalid`, `conflict`.
    """
    actor.require("lead" if shared else "read")
    name = " ".join(name.split())
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise FeedError("invalid", "a view has a name of 1 to 64 printable characters")
    filters = Filters.read(dict(parse_qsl(query)))
    mine = select(func.count()).select_from(View).where(View.user_id == actor.user_id)
    if int(connection.scalar(mine) or 0) >= MOST:
        raise FeedError("conflict", f"you have {MOST} views already: delete one first")
    number = secrets.token_hex(16)
    row = {"id": number, "user_id": actor.user_id, "name": name, "query": filters.query, "shared": int(shared)}
    connection.execute(insert(View).values(**row))
    return number


def remove(connection: Connection, actor: Actor, view_id: str) -> None:
    """Delete a view, one's own or, as a lead, a shared one.

    Raises:
        FeedError: `not_found`: there is none that is yours.
    """
    whose = View.user_id == actor.user_id
    if actor.may("lead"):
        whose = or_(whose, View.shared == 1)
    if not connection.execute(delete(View).where(View.id == view_id, whose)).rowcount:
        raise FeedError("not_found", "there is no such view of yours")


def listed(connection: Connection, actor: Actor) -> list[Any]:
    """Views one can use, by name."""
    actor.require("read")
    asked = select(View).where(or_(View.user_id == actor.user_id, View.shared == 1)).order_by(View.name, View.id)
    return list(connection.execute(asked))
