"""The people of the feed: adding them, changing role or password, letting them go."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from detector.errors import FeedError
from moderation import audit
from moderation.passwords import hashed
from moderation.roles import ROLES, Actor
from moderation.schema import Alert, Session, Token, User

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add(connection: Connection, actor: Actor, name: str, role: str, password: str | None, now: int) -> str:
    """Add a person; their id. Without a password only a login link lets them in.

    Raises:
        FeedError: `forbidden`, `invalid`; `conflict`: the name is taken.
    """
    actor.require("admin")
    if not NAME.fullmatch(name):
        raise FeedError("invalid", "a name has 1 to 64 letters, digits, dots, dashes, underscores or @, no spaces")
    _check_role(role)
    number, pseudonym = secrets.token_hex(16), f"m-{secrets.token_hex(8)}"
    kept = hashed(password) if password is not None else ""
    row = {"id": number, "name": name, "pseudonym": pseudonym, "role": role, "password": kept, "created": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(User).values(**row))
    except IntegrityError:
        raise FeedError("conflict", "somebody has this name already") from None
    audit.append(connection, now, actor, "user_add", pseudonym, {"role": role})
    return number


def change(
    connection: Connection,
    actor: Actor,
    user_id: str,
    now: int,
    *,
    role: str | None = None,
    active: bool | None = None,
    password: str | None = None,
) -> None:
    """Change a person's role, whether they may come in, or their password; their sessions end.

    Raises:
        FeedError: `forbidden`, `invalid`, `not_found`; `conflict`: nobody would be left to keep people.
    """
    actor.require("admin")
    user = _found(connection, user_id)
    values: dict[str, Any] = {}
    if role is not None:
        _check_role(role)
        values["role"] = role
    if active is not None:
        values["active"] = int(active)
    if password is not None:
        values["password"] = hashed(password)
    if not values:
        return
    connection.execute(update(User).where(User.id == user_id).values(**values))
    admins = select(func.count()).select_from(User).where(User.role == "admin", User.active == 1)
    if user.role == "admin" and user.active and not connection.scalar(admins):
        raise FeedError("conflict", "there has to be an admin: make somebody else one first")
    connection.execute(delete(Session).where(Session.user_id == user_id))
    if active is False:
        connection.execute(delete(Token).where(Token.user_id == user_id))
        connection.execute(
            update(Alert).where(Alert.claimed_by == user_id).values(claimed_by=None, claimed_until=0, changed=now)
        )
    facts: dict[str, audit.Fact] = {"role": role, "active": active, "password": password is not None}
    audit.append(connection, now, actor, "user_change", user.pseudonym, facts)


def everybody(connection: Connection, actor: Actor) -> list[Any]:
    """All people by name, without their passwords; names only where one may assign."""
    actor.require("lead")
    columns = (User.id, User.name, User.pseudonym, User.role, User.active, User.created)
    return list(connection.execute(select(*columns).order_by(User.name)))


def by_name(connection: Connection, name: str) -> Any:
    """The person of that name.

    Raises:
        FeedError: `not_found`.
    """
    row = connection.execute(select(User).where(User.name == name)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is nobody of that name")
    return row


def count(connection: Connection) -> int:
    """How many people there are."""
    return int(connection.scalar(select(func.count()).select_from(User)) or 0)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise FeedError("invalid", f"a role is one of {', '.join(ROLES)}")


def _found(connection: Connection, user_id: str) -> Any:
    row = connection.execute(select(User).where(User.id == user_id)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no such person")
    return row
