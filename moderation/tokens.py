"""Keys for programs. A token acts for a person, with those of their rights that are among its scopes."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from detector.errors import FeedError
from moderation import audit
from moderation.passwords import secret
from moderation.roles import RIGHTS, SCOPES, Actor
from moderation.schema import Token, User
from moderation.sessions import fingerprint

PREFIX: Final = "swl_"
"""By which people, and tools that look for leaked keys, know it."""

DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 366
DAY_MS: Final = 86_400_000

USED_EVERY_MS: Final = 60_000
"""How exactly the last use is known; writing it at every request would cost more than the request."""


def add(
    connection: Connection, actor: Actor, user: Any, name: str, scopes: Collection[str], days: int, now: int
) -> tuple[str, str]:
    """Make a token for a person; its id and the token itself, which nobody can read again.

    Raises:
        FeedError: `forbidden`: for somebody else, or with more than one's own rights; `invalid`.
    """
    if user.id != actor.user_id:
        actor.require("admin")
    if actor.by_token and not actor.may("admin"):
        # Else a key that leaked could make itself others, which outlive it.
        raise FeedError("forbidden", "tokens are made in a browser, or with the scope 'admin'")
    wanted = [scope for scope in SCOPES if scope in scopes]
    if not wanted or len(wanted) != len(set(scopes)):
        raise FeedError("invalid", f"scopes are some of {', '.join(SCOPES)}")
    allowed = RIGHTS.get(user.role, frozenset()) & actor.rights
    if not set(wanted) <= allowed:
        raise FeedError("forbidden", "a token cannot have more rights than the person it acts for, or who makes it")
    if not 1 <= days <= MOST_DAYS or not 1 <= len(name) <= 64 or not name.isprintable():
        raise FeedError("invalid", f"a token has a name of up to 64 characters and lives 1 to {MOST_DAYS} days")
    number, value = secrets.token_hex(16), PREFIX + secret()
    row = {"id": number, "hash": fingerprint(value), "user_id": user.id, "name": name, "scopes": " ".join(wanted)}
    connection.execute(insert(Token).values(**row, created=now, expires=now + days * DAY_MS))
    facts: dict[str, audit.Fact] = {"token": number, "scopes": " ".join(wanted), "days": days}
    audit.append(connection, now, actor, "token_add", user.pseudonym, facts)
    return number, value


def revoke(connection: Connection, actor: Actor, token_id: str, now: int) -> None:
    """End a token, one's own or, as an admin, anybody's.

    Raises:
        FeedError: `not_found`: there is none, or it is not one's own.
    """
    found = connection.execute(
        select(Token.id, Token.user_id, User.pseudonym).join(User, User.id == Token.user_id).where(Token.id == token_id)
    ).one_or_none()
    if found is None or (found.user_id != actor.user_id and not actor.may("admin")):
        raise FeedError("not_found", "there is no such token")
    connection.execute(delete(Token).where(Token.id == token_id))
    audit.append(connection, now, actor, "token_revoke", found.pseudonym, {"token": token_id})


def listed(connection: Connection, actor: Actor) -> list[Any]:
    """One's own tokens, an admin: all; without the tokens themselves."""
    columns = (Token.id, Token.name, Token.scopes, Token.created, Token.expires, Token.used)
    asked = select(*columns, User.name.label("owner")).join(User, User.id == Token.user_id)
    if not actor.may("admin"):
        asked = asked.where(Token.user_id == actor.user_id)
    return list(connection.execute(asked.order_by(User.name, Token.created)))


def of_value(connection: Connection, value: str, now: int) -> tuple[Actor, bool, str] | None:
    """Who acts with this token, whether its last use is to be noted, and its id; None where it is none or over."""
    row = connection.execute(
        select(Token.id.label("token"), Token.scopes, Token.used, User.id, User.name, User.pseudonym, User.role)
        .join(User, User.id == Token.user_id)
        .where(Token.hash == fingerprint(value), Token.expires > now, User.active == 1)
    ).one_or_none()
    if row is None:
        return None
    rights = RIGHTS.get(row.role, frozenset()) & frozenset(row.scopes.split())
    return (
        Actor(row.id, row.name, row.pseudonym, row.role, rights, by_token=True),
        row.used + USED_EVERY_MS < now,
        row.token,
    )


def note_use(connection: Connection, token_id: str, now: int) -> None:
    """Note that a token was used."""
    connection.execute(update(Token).where(Token.id == token_id).values(used=now))
