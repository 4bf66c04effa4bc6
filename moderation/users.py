"""Passwords: Argon2id, with the parameters of RFC 9106's second choice (64 MiB), which argon2-cffi has by default.

Logins in browsers: by password, or by a link that works once. The database holds hashes of the secrets only.

The people of the feed: adding them, changing role or password, letting them go.

Keys for programs. A token acts for a person, with those of their rights that are among its scopes.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from typing import Any, Final, NamedTuple

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from detector.errors import FeedError
from moderation import audit
from moderation.db import Alert, Link, Session, Token, User
from moderation.roles import RIGHTS, ROLES, SCOPES, Actor

SHORTEST: Final = 12
LONGEST: Final = 200

_hasher: Final = PasswordHasher()
_nobody: Final = _hasher.hash(secrets.token_hex(16))
"""What a password is compared with where there is no such person, so that the time taken does not tell."""


def hashed(password: str) -> str:
    """The hash to keep.

    Raises:
        FeedError: `invalid`: too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise FeedError("invalid", f"a password has {SHORTEST} to {LONGEST} characters")
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def matches(kept: str | None, password: str) -> bool:
    """Whether the password is the one; takes as long where there is none to compare with."""
    try:
        good = _hasher.verify(kept or _nobody, password[:LONGEST].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return good and bool(kept)


def secret() -> str:
    """256 random bits for a cookie, link or token."""
    return secrets.token_urlsafe(32)


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


NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def add_user(connection: Connection, actor: Actor, name: str, role: str, password: str | None, now: int) -> str:
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


def change_user(
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


def list_users(connection: Connection, actor: Actor) -> list[Any]:
    """All people by name, without their passwords; names only where one may assign."""
    actor.require("lead")
    columns = (User.id, User.name, User.pseudonym, User.role, User.active, User.created)
    return list(connection.execute(select(*columns).order_by(User.name)))


def user_by_name(connection: Connection, name: str) -> Any:
    """The person of that name.

    Raises:
        FeedError: `not_found`.
    """
    row = connection.execute(select(User).where(User.name == name)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is nobody of that name")
    return row


def count_users(connection: Connection) -> int:
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


PREFIX: Final = "swl_"
"""By which people, and tools that look for leaked keys, know it."""

DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 366
DAY_MS: Final = 86_400_000

USED_EVERY_MS: Final = 60_000
"""How exactly the last use is known; writing it at every request would cost more than the request."""


def add_token(
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


def revoke_token(connection: Connection, actor: Actor, token_id: str, now: int) -> None:
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


def list_tokens(connection: Connection, actor: Actor) -> list[Any]:
    """One's own tokens, an admin: all; without the tokens themselves."""
    columns = (Token.id, Token.name, Token.scopes, Token.created, Token.expires, Token.used)
    asked = select(*columns, User.name.label("owner")).join(User, User.id == Token.user_id)
    if not actor.may("admin"):
        asked = asked.where(Token.user_id == actor.user_id)
    return list(connection.execute(asked.order_by(User.name, Token.created)))


def token_of_value(connection: Connection, value: str, now: int) -> tuple[Actor, bool, str] | None:
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


def note_token_use(connection: Connection, token_id: str, now: int) -> None:
    """Note that a token was used."""
    connection.execute(update(Token).where(Token.id == token_id).values(used=now))
