"""The users of the feed and what they log in with: passwords, sessions, login links and API tokens.

Passwords are hashed with Argon2id, with the parameters of RFC 9106's second choice (64 MiB), the defaults of
argon2-cffi. Cookies, links and tokens are 256 random bits, kept as SHA-256. A token acts for its owner, with those of
their rights that are among its scopes. `auth` finds out with these functions who makes a request.
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
from moderation.database_tables import AlertRow, Link, Session, Token, User
from moderation.permissions import RIGHTS, ROLES, SCOPES, Actor

MIN_PASSWORD_CHARACTERS: Final = 12
MAX_PASSWORD_CHARACTERS: Final = 200
"""Long enough that guessing is hopeless at the rate the feed admits; short enough that hashing takes no extra time."""

SESSION_MS: Final = 12 * 3_600_000
"""A working day; then one logs in again."""

LINK_MS: Final = 15 * 60_000
"""A login link is for somebody who reads it now."""

TOKEN_PREFIX: Final = "swl_"  # noqa: S105 - the public part
"""People, and tools that look for leaked keys, recognise a token by it."""

DEFAULT_TOKEN_DAYS: Final = 90
MAX_TOKEN_DAYS: Final = 366
DAY_MS: Final = 86_400_000

LAST_USE_PRECISION_MS: Final = 60_000
"""How exactly a token's last use is known; writing it at every request would cost more than the request."""

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

_hasher: Final = PasswordHasher()
_nobody: Final = _hasher.hash(secrets.token_hex(16))
"""Compared with where there is no such user, so that the time taken does not tell."""


def hash_password(password: str) -> str:
    """The hash of a password that is kept in the database.

    Raises:
        FeedError: `invalid`: too short or too long.
    """
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise FeedError(
            "invalid",
            f"a password has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters: choose another one",
        )
    return _hasher.hash(password.encode("utf-8", "surrogatepass"))


def password_matches(kept: str | None, password: str) -> bool:
    """Whether a password belongs to a kept hash. It takes as long where there is none to compare with."""
    try:
        good = _hasher.verify(kept or _nobody, password[:MAX_PASSWORD_CHARACTERS].encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return good and bool(kept)


def new_secret() -> str:
    """256 random bits as text, for a cookie, link or token."""
    return secrets.token_urlsafe(32)


class Login(NamedTuple):
    """A new session: its cookie's value, and until when it is valid, ms since 1970."""

    cookie: str
    expires: int


def fingerprint(value: str) -> str:
    """SHA-256 of a secret, as it is kept. It has 256 random bits, so it needs neither salt nor a slow hash."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


def check_password(connection: Connection, name: str, password: str) -> str | None:
    """The id of the active user with this name and password; None where there is none. It takes as long either way.

    Args:
        connection: to read with.
        name: login name.
        password: as it was typed.
    """
    user = connection.execute(select(User.id, User.password, User.active).where(User.name == name)).one_or_none()
    good = password_matches(user.password if user is not None else None, password)
    return str(user.id) if good and user is not None and user.active else None


def begin_session(connection: Connection, user_id: str, now: int, how: str) -> Login:
    """Begin the session of a user who has proved who they are.

    Args:
        connection: in a write transaction.
        user_id: whose session.
        now: ms since 1970.
        how: for the audit log, such as "password" or "link".
    """
    cookie = new_secret()
    connection.execute(delete(Session).where(Session.expires <= now))
    row = {"hash": fingerprint(cookie), "user_id": user_id, "csrf": new_secret(), "created": now}
    connection.execute(insert(Session).values(**row, expires=now + SESSION_MS))
    user = connection.execute(select(User).where(User.id == user_id)).one()
    audit.append(connection, now, _actor(user), "login", user.pseudonym, {"how": how})
    return Login(cookie, now + SESSION_MS)


def find_session(connection: Connection, cookie: str, now: int) -> Actor | None:
    """The user of a session; None where it has ended, never was, or its user is no longer active.

    Args:
        connection: to read with.
        cookie: value of the session's cookie.
        now: ms since 1970.
    """
    row = connection.execute(
        select(User.id, User.name, User.pseudonym, User.role, User.subject, User.blur, Session.csrf)
        .join(Session, Session.user_id == User.id)
        .where(Session.hash == fingerprint(cookie), Session.expires > now, User.active == 1)
    ).one_or_none()
    return None if row is None else _actor(row, row.csrf)


def end_session(connection: Connection, cookie: str) -> None:
    """End a session."""
    connection.execute(delete(Session).where(Session.hash == fingerprint(cookie)))


def make_link(connection: Connection, user_id: str, now: int) -> str:
    """The secret of a new link that logs a user in once, within `LINK_MS`.

    Args:
        connection: in a write transaction.
        user_id: whom it logs in.
        now: ms since 1970.
    """
    value = new_secret()
    connection.execute(delete(Link).where(Link.expires <= now))
    connection.execute(insert(Link).values(hash=fingerprint(value), user_id=user_id, expires=now + LINK_MS))
    return value


def use_link(connection: Connection, value: str, now: int) -> Login:
    """Log in by a link, which can then not be used again.

    Args:
        connection: in a write transaction.
        value: the link's secret.
        now: ms since 1970.

    Raises:
        FeedError: `login`: the link was used, is too old, never was, or its user is no longer active.
    """
    found = connection.execute(
        delete(Link).where(Link.hash == fingerprint(value), Link.expires > now).returning(Link.user_id)
    ).one_or_none()
    user: Any = None
    if found is not None:
        user = connection.execute(select(User).where(User.id == found.user_id, User.active == 1)).one_or_none()
    if user is None:
        raise FeedError("login", "this login link was used already or is too old: ask for a new one")
    return begin_session(connection, user.id, now, "link")


def change_password(connection: Connection, actor: Actor, old: str, new: str, now: int) -> None:
    """Change the actor's own password; all their sessions end.

    Args:
        connection: in a write transaction.
        actor: whose password.
        old: the present one; ignored where they have none.
        new: the new one.
        now: ms since 1970.

    Raises:
        FeedError: `invalid`: the old one is wrong, or the new one unusable.
    """
    user = connection.execute(select(User).where(User.id == actor.user_id)).one()
    if user.password and not password_matches(user.password, old):
        raise FeedError("invalid", "the old password is wrong: type it again")
    connection.execute(update(User).where(User.id == user.id).values(password=hash_password(new)))
    connection.execute(delete(Session).where(Session.user_id == user.id))
    audit.append(connection, now, actor, "password", user.pseudonym)


def set_blur(connection: Connection, actor: Actor, *, on: bool) -> None:
    """Say whether the actor wants texts blurred until they ask for them.

    Args:
        connection: in a write transaction.
        actor: whose choice it is.
        on: whether they are.
    """
    connection.execute(update(User).where(User.id == actor.user_id).values(blur=int(on)))


def _actor(user: Any, csrf: str = "") -> Actor:
    return Actor(
        user.id, user.name, user.pseudonym, user.role, RIGHTS.get(user.role, frozenset()), csrf,
        vouched=user.subject is not None, blur=bool(user.blur),
    )  # fmt: skip


def add_user(connection: Connection, actor: Actor, name: str, role: str, password: str | None, now: int) -> str:
    """Add a user.

    Args:
        connection: in a write transaction.
        actor: needs the right "admin".
        name: login name.
        role: one of `ROLES`.
        password: None where they can only log in by links.
        now: ms since 1970.

    Returns:
        The user's id.

    Raises:
        FeedError: `forbidden`, `invalid`; `conflict`: the name is taken.
    """
    actor.require("admin")
    if not NAME.fullmatch(name):
        raise FeedError("invalid", "a name has 1 to 64 letters, digits, dots, dashes, underscores or @, no spaces")
    _check_role(role)
    number, pseudonym = secrets.token_hex(16), f"m-{secrets.token_hex(8)}"
    kept = hash_password(password) if password is not None else ""
    row = {"id": number, "name": name, "pseudonym": pseudonym, "role": role, "password": kept, "created": now}
    try:
        with connection.begin_nested():
            connection.execute(insert(User).values(**row))
    except IntegrityError:
        raise FeedError("conflict", f"there is a user {name!a} already: choose another name") from None
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
    """Change a user; their sessions end. Whoever is made inactive also loses their tokens and claims.

    Args:
        connection: in a write transaction.
        actor: needs the right "admin".
        user_id: whom.
        now: ms since 1970.
        role: the new role; None leaves it.
        active: whether they may log in; None leaves it.
        password: the new one; None leaves it.

    Raises:
        FeedError: `forbidden`, `invalid`, `not_found`; `conflict`: no admin would be left.
    """
    actor.require("admin")
    user = user_by_id(connection, user_id)
    values: dict[str, Any] = {}
    if role is not None:
        _check_role(role)
        values["role"] = role
    if active is not None:
        values["active"] = int(active)
    if password is not None:
        if user.subject is not None:
            raise FeedError("conflict", "the OpenID provider vouches for them: a password would go around it")
        values["password"] = hash_password(password)
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
            update(AlertRow).where(AlertRow.claimed_by == user_id).values(claimed_by=None, claimed_until=0, changed=now)
        )
    facts: dict[str, audit.Fact] = {"role": role, "active": active, "password": password is not None}
    audit.append(connection, now, actor, "user_change", user.pseudonym, facts)


def list_users(connection: Connection, actor: Actor) -> list[Any]:
    """All users by name, without their passwords; needs the right "lead"."""
    actor.require("lead")
    columns = (User.id, User.name, User.pseudonym, User.role, User.active, User.created, User.subject)
    return list(connection.execute(select(*columns).order_by(User.name)))


def user_by_name(connection: Connection, name: str) -> Any:
    """The user of a name.

    Raises:
        FeedError: `not_found`.
    """
    row = connection.execute(select(User).where(User.name == name)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is nobody of that name: `swarmlight feed user list` lists all users")
    return row


def count_users(connection: Connection) -> int:
    """How many users there are."""
    return int(connection.scalar(select(func.count()).select_from(User)) or 0)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise FeedError("invalid", f"{role!a} is no role: choose one of {', '.join(ROLES)}")


def user_by_id(connection: Connection, user_id: str) -> Any:
    row = connection.execute(select(User).where(User.id == user_id)).one_or_none()
    if row is None:
        raise FeedError("not_found", "there is no user with this id: load the list of users again")
    return row


def add_token(
    connection: Connection, actor: Actor, user: Any, name: str, scopes: Collection[str], days: int, now: int
) -> tuple[str, str]:
    """Make an API token for a user.

    Args:
        connection: in a write transaction.
        actor: the user, or somebody with the right "admin".
        user: row of table `users`: whom the token acts for.
        name: what it is for, 1 to 64 printable characters.
        scopes: some of `SCOPES`.
        days: how long it is valid, 1 to `MAX_TOKEN_DAYS`.
        now: ms since 1970.

    Returns:
        The token's id, and the token itself, which can never be read again.

    Raises:
        FeedError: `forbidden`: for somebody else, or with more than one's own rights; `invalid`.
    """
    if user.id != actor.user_id:
        actor.require("admin")
    if actor.by_token and not actor.may("admin"):
        # Otherwise a token that leaked could make others that outlive it.
        raise FeedError("forbidden", "tokens are made in a browser, or with the scope 'admin'")
    wanted = [scope for scope in SCOPES if scope in scopes]
    if not wanted or len(wanted) != len(set(scopes)):
        raise FeedError("invalid", f"the scopes are not usable: choose some of {', '.join(SCOPES)}, each once")
    allowed = RIGHTS.get(user.role, frozenset()) & actor.rights
    if not set(wanted) <= allowed:
        raise FeedError("forbidden", "a token cannot have more rights than the person it acts for, or who makes it")
    if not 1 <= days <= MAX_TOKEN_DAYS or not 1 <= len(name) <= 64 or not name.isprintable():
        raise FeedError("invalid", f"a token has a name of up to 64 characters and lives 1 to {MAX_TOKEN_DAYS} days")
    number, value = secrets.token_hex(16), TOKEN_PREFIX + new_secret()
    row = {"id": number, "hash": fingerprint(value), "user_id": user.id, "name": name, "scopes": " ".join(wanted)}
    connection.execute(insert(Token).values(**row, created=now, expires=now + days * DAY_MS))
    facts: dict[str, audit.Fact] = {"token": number, "scopes": " ".join(wanted), "days": days}
    audit.append(connection, now, actor, "token_add", user.pseudonym, facts)
    return number, value


def revoke_token(connection: Connection, actor: Actor, token_id: str, now: int) -> None:
    """Revoke a token, one's own or, as an admin, anybody's.

    Args:
        connection: in a write transaction.
        actor: who asks.
        token_id: which token.
        now: ms since 1970.

    Raises:
        FeedError: `not_found`: there is none, or it is not one's own.
    """
    found = connection.execute(
        select(Token.id, Token.user_id, User.pseudonym).join(User, User.id == Token.user_id).where(Token.id == token_id)
    ).one_or_none()
    if found is None or (found.user_id != actor.user_id and not actor.may("admin")):
        raise FeedError("not_found", "there is no such token of yours: load the list of tokens again")
    connection.execute(delete(Token).where(Token.id == token_id))
    audit.append(connection, now, actor, "token_revoke", found.pseudonym, {"token": token_id})


def list_tokens(connection: Connection, actor: Actor) -> list[Any]:
    """The actor's own tokens, for an admin all, without the tokens themselves; rows with `owner`, a name."""
    columns = (Token.id, Token.name, Token.scopes, Token.created, Token.expires, Token.used)
    query = select(*columns, User.name.label("owner")).join(User, User.id == Token.user_id)
    if not actor.may("admin"):
        query = query.where(Token.user_id == actor.user_id)
    return list(connection.execute(query.order_by(User.name, Token.created)))


class FoundToken(NamedTuple):
    """A valid token: who acts with it, its id, and whether its last use is due to be noted."""

    actor: Actor
    token_id: str
    use_is_due: bool


def find_token(connection: Connection, value: str, now: int) -> FoundToken | None:
    """The token with this value; None where it never was, has expired, or its owner is no longer active.

    Args:
        connection: to read with.
        value: the token itself.
        now: ms since 1970.
    """
    row = connection.execute(
        select(Token.id.label("token"), Token.scopes, Token.used, User.id, User.name, User.pseudonym, User.role)
        .join(User, User.id == Token.user_id)
        .where(Token.hash == fingerprint(value), Token.expires > now, User.active == 1)
    ).one_or_none()
    if row is None:
        return None
    rights = RIGHTS.get(row.role, frozenset()) & frozenset(row.scopes.split())
    actor = Actor(row.id, row.name, row.pseudonym, row.role, rights, by_token=True)
    return FoundToken(actor, row.token, row.used + LAST_USE_PRECISION_MS < now)


def note_token_use(connection: Connection, token_id: str, now: int) -> None:
    """Note that a token was used now.

    Args:
        connection: in a write transaction.
        token_id: which token.
        now: ms since 1970.
    """
    connection.execute(update(Token).where(Token.id == token_id).values(used=now))
