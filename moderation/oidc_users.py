"""People who an OpenID provider vouches for: their sign-ins under way, and who of them is let in.

A sign-in is kept here between its departure and its return, under the hash of its `state`, and is taken away by the
return: a state is good once, for ten minutes, and in the browser that began. Somebody is recognised by issuer and
subject, never by a name or an address, which providers give to somebody else some day.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from detector.errors import FeedError
from moderation import audit
from moderation.database_tables import PendingSignIn as DepartureRow
from moderation.database_tables import Session, Token, User
from moderation.oidc import AuthorizationRequest, Identity
from moderation.permissions import SYSTEM, Actor
from moderation.users import NAME, Login, begin_session, fingerprint, new_secret

DEPARTURE_MS: Final = 10 * 60_000
"""Long enough for a password and a second factor at the provider."""

NAME_CHARACTERS: Final = re.compile(r"[^A-Za-z0-9._@-]+")

TAG_CHARACTERS: Final = 6
"""Of a subject's hash behind a name that somebody else has: one of 16 million."""


@dataclass(frozen=True)
class Return:
    """What a departure left for its return: the secrets that have to match, and where to go on to."""

    nonce: str
    verifier: str
    onward: str


def note_departure(connection: Connection, departure: AuthorizationRequest, onward: str, now: int) -> str:
    """Keep a departure until its return.

    Args:
        connection: in a write transaction.
        departure: as `oidc.Provider.depart` made it.
        onward: where to go on to afterwards.
        now: ms since 1970.

    Returns:
        A secret for the browser, which has to bring it along.
    """
    browser = new_secret()
    connection.execute(delete(DepartureRow).where(DepartureRow.expires <= now))
    row = {"state": fingerprint(departure.state), "browser": fingerprint(browser), "nonce": departure.nonce,
           "verifier": departure.verifier, "onward": onward, "expires": now + DEPARTURE_MS}  # fmt: skip
    connection.execute(insert(DepartureRow).values(**row))
    return browser


def take_return(connection: Connection, state: str, browser: str, now: int) -> Return | None:
    """What was kept of a departure, which then is no more; None where there is none, or another browser began it.

    Args:
        connection: in a write transaction.
        state: that came back from the provider.
        browser: the browser's secret.
        now: ms since 1970.
    """
    row = connection.execute(
        delete(DepartureRow)
        .where(DepartureRow.state == fingerprint(state), DepartureRow.expires > now)
        .returning(DepartureRow.browser, DepartureRow.nonce, DepartureRow.verifier, DepartureRow.onward)
    ).one_or_none()
    if row is None or not hmac.compare_digest(row.browser, fingerprint(browser)):
        return None
    return Return(row.nonce, row.verifier, row.onward)


def let_in(connection: Connection, identity: Identity, now: int) -> Login | None:
    """Begin the session of somebody whom the provider vouches for, with the role that their groups give them now.

    Who is here for the first time is added. Who has lost their role loses their sessions and tokens.

    Args:
        connection: in a write transaction.
        identity: who it is.
        now: ms since 1970.

    Returns:
        The session; None where no group of theirs gives a role. The transaction is to be committed either way.

    Raises:
        FeedError: `forbidden`: locked out by an admin; `conflict`: a local account has their name.
    """
    user = _find(connection, identity.issuer, identity.subject)
    if identity.role is None:
        if user is not None:
            _end_everything(connection, user, now)
        return None
    if user is None:
        number = _add(connection, identity, now)
        return begin_session(connection, number, now, "oidc")
    if not user.active:
        raise FeedError("forbidden", "you are locked out of this feed: ask one of its admins")
    if user.role != identity.role:
        connection.execute(update(User).where(User.id == user.id).values(role=identity.role))
        connection.execute(delete(Session).where(Session.user_id == user.id))
        facts: dict[str, audit.Fact] = {"role": identity.role, "by": "oidc"}
        audit.append(connection, now, SYSTEM, "user_change", user.pseudonym, facts)
    return begin_session(connection, str(user.id), now, "oidc")


def link(connection: Connection, actor: Actor, user: Any, issuer: str, subject: str, now: int) -> None:
    """Let somebody with a local account sign in at the provider from now on, and only there.

    Args:
        connection: in a write transaction.
        actor: needs the right "admin".
        user: row of table `users`.
        issuer: of the provider.
        subject: their id there.
        now: ms since 1970.

    Raises:
        FeedError: `forbidden`; `invalid`: no id; `conflict`: somebody else has it.
    """
    actor.require("admin")
    if not subject or len(subject) > 255 or not subject.isprintable():
        raise FeedError("invalid", "the provider's id of somebody has 1 to 255 printable characters")
    other = _find(connection, issuer, subject)
    if other is not None and other.id != user.id:
        raise FeedError("conflict", f"{other.name!a} has this id at the provider already: change them first")
    values = {"issuer": issuer, "subject": subject, "password": ""}
    connection.execute(update(User).where(User.id == user.id).values(**values))
    connection.execute(delete(Session).where(Session.user_id == user.id))
    audit.append(connection, now, actor, "user_link", user.pseudonym)


def _find(connection: Connection, issuer: str, subject: str) -> Any:
    query = select(User).where(User.issuer == issuer, User.subject == subject)
    return connection.execute(query).one_or_none()


def _add(connection: Connection, identity: Identity, now: int) -> str:
    tag = hashlib.sha256(identity.subject.encode("utf-8", "surrogatepass")).hexdigest()[:TAG_CHARACTERS]
    name = NAME_CHARACTERS.sub("-", identity.name).strip("-._@")[:50]
    name = name if NAME.fullmatch(name) else f"user-{tag}"
    taken = connection.execute(select(User.subject).where(User.name == name)).one_or_none()
    if taken is not None and taken.subject is None:
        raise FeedError(
            "conflict",
            f"a local account is called {name} already; if it is yours, an admin links it with `swarmlight feed user "
            f"change {name} --subject ID`, where ID is {identity.subject!a}",
        )
    if taken is not None:
        name = f"{name}-{tag}"
    number, pseudonym = secrets.token_hex(16), f"m-{secrets.token_hex(8)}"
    row = {"id": number, "name": name, "pseudonym": pseudonym, "role": identity.role, "password": "", "created": now,
           "issuer": identity.issuer, "subject": identity.subject}  # fmt: skip
    connection.execute(insert(User).values(**row))
    audit.append(connection, now, SYSTEM, "user_add", pseudonym, {"role": identity.role, "by": "oidc"})
    return number


def _end_everything(connection: Connection, user: Any, now: int) -> None:
    ended = connection.execute(delete(Session).where(Session.user_id == user.id)).rowcount
    revoked = connection.execute(delete(Token).where(Token.user_id == user.id)).rowcount
    audit.append(connection, now, SYSTEM, "login_refused", user.pseudonym, {"sessions": ended, "tokens": revoked})
