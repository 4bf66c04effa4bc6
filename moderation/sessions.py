"""Logins in browsers: by password, or by a link that works once. The database holds hashes of the secrets only."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from detector.errors import FeedError
from moderation import audit
from moderation.passwords import hashed, matches, secret
from moderation.roles import RIGHTS, Actor
from moderation.schema import Link, Session, User

LONGEST_MS: Final = 12 * 3_600_000
"""A working day; then one logs in again."""

LINK_MS: Final = 15 * 60_000
"""A login link is for whoever reads it now."""


class Login(NamedTuple):
    """A new session: the cookie's value, and until when it holds."""

    cookie: str
    expires: int


def fingerprint(value: str) -> str:
    """How a secret is kept: it has 256 random bits, so no salt and no slow hash is needed."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def check(connection: Connection, name: str, password: str) -> str | None:
    """The id of the person with this name and password; None where there is none. Takes as long either way."""
    user = connection.execute(select(User.id, User.password, User.active).where(User.name == name)).one_or_none()
    good = matches(user.password if user is not None else None, password)
    return str(user.id) if good and user is not None and user.active else None


def begin(connection: Connection, user_id: str, now: int, how: str) -> Login:
    """Begin a session of a person who has shown who they are."""
    cookie = secret()
    connection.execute(delete(Session).where(Session.expires <= now))
    row = {"hash": fingerprint(cookie), "user_id": user_id, "csrf": secret(), "created": now}
    connection.execute(insert(Session).values(**row, expires=now + LONGEST_MS))
    user = connection.execute(select(User).where(User.id == user_id)).one()
    audit.append(connection, now, _actor(user), "login", user.pseudonym, {"how": how})
    return Login(cookie, now + LONGEST_MS)


def of_cookie(connection: Connection, cookie: str, now: int) -> Actor | None:
    """Whose session it is; None where it is over or never was."""
    row = connection.execute(
        select(User.id, User.name, User.pseudonym, User.role, Session.csrf)
        .join(Session, Session.user_id == User.id)
        .where(Session.hash == fingerprint(cookie), Session.expires > now, User.active == 1)
    ).one_or_none()
    return None if row is None else _actor(row, row.csrf)


def end(connection: Connection, cookie: str) -> None:
    """End a session."""
    connection.execute(delete(Session).where(Session.hash == fingerprint(cookie)))


def make_link(connection: Connection, user_id: str, now: int) -> str:
    """The secret of a link that logs this person in once."""
    value = secret()
    connection.execute(delete(Link).where(Link.expires <= now))
    connection.execute(insert(Link).values(hash=fingerprint(value), user_id=user_id, expires=now + LINK_MS))
    return value


def use_link(connection: Connection, value: str, now: int) -> Login:
    """Log in by a link, which then is used up.

    Raises:
        FeedError: `login`: the link was used, is too old, or never was.
    """
    found = connection.execute(
        delete(Link).where(Link.hash == fingerprint(value), Link.expires > now).returning(Link.user_id)
    ).one_or_none()
    user: Any = None
    if found is not None:
        user = connection.execute(select(User).where(User.id == found.user_id, User.active == 1)).one_or_none()
    if user is None:
        raise FeedError("login", "this login link was used already or is too old: ask for a new one")
    return begin(connection, user.id, now, "link")


def change_password(connection: Connection, actor: Actor, old: str, new: str, now: int) -> None:
    """Set one's own password; all one's sessions end.

    Raises:
        FeedError: `invalid`: the old one is wrong, or the new one unusable.
    """
    user = connection.execute(select(User).where(User.id == actor.user_id)).one()
    if user.password and not matches(user.password, old):
        raise FeedError("invalid", "the old password is wrong")
    connection.execute(update(User).where(User.id == user.id).values(password=hashed(new)))
    connection.execute(delete(Session).where(Session.user_id == user.id))
    audit.append(connection, now, actor, "password", user.pseudonym)


def _actor(user: Any, csrf: str = "") -> Actor:
    return Actor(user.id, user.name, user.pseudonym, user.role, RIGHTS.get(user.role, frozenset()), csrf)
