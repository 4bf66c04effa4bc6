"""Who makes a request: a browser by its session cookie, a program by its token.

Routes of the API and of the console get a `RequestContext` from here, and with it the actor, the time and the
database. Routes that change something are protected against forged requests: forms carry the session's secret
(`posted_form`), API requests of a browser carry it in a header.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.responses import Response

from detector.errors import FeedError
from moderation import users
from moderation.middleware import same_site
from moderation.permissions import Actor, Right
from moderation.services import Services

COOKIE: Final = "swarmlight"
SECURE_COOKIE: Final = "__Host-swarmlight"
"""The prefix makes browsers refuse the cookie over http or for a part of the site."""

CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf"

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""HTTP methods that change nothing."""

MAX_FORM_FIELDS: Final = 500
"""A bulk action has 200 ids and as many revisions."""

T = TypeVar("T")


@dataclass(frozen=True)
class RequestContext:
    """What a route needs to answer a request.

    Args:
        request: the request.
        services: the parts of the running feed.
        actor: who asks.
        now: when the request came, ms since 1970.
    """

    request: Request
    services: Services
    actor: Actor
    now: int

    def read(self) -> AbstractContextManager[Connection]:
        """A connection for reading."""
        return self.services.database.read()

    def write(self, work: Callable[[Connection], T]) -> T:
        """The result of `work` in one transaction."""
        return self.services.database.transact(work)


def services_of(request: Request) -> Services:
    """The parts of the running feed that a request reached."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


FeedServices = Annotated[Services, Depends(services_of)]


def cookie_name(services: Services) -> str:
    """Name of the session's cookie."""
    return SECURE_COOKIE if services.settings.secure else COOKIE


def find_actor(request: Request, services: Services) -> Actor | None:
    """Who makes a request; None where it shows neither a token nor a valid session.

    Raises:
        FeedError: `login`: it shows a token that is none; `limited`: the actor makes too many requests.
    """
    header = request.headers.get("authorization", "")
    actor: Actor | None
    if header:
        kind, _, value = header.partition(" ")
        found = None
        if kind.lower() == "bearer":
            with services.database.read() as connection:
                found = users.find_token(connection, value.strip(), services.now())
        if found is None:
            raise FeedError("login", "the token is unknown or has expired: make a new one under /me")
        if found.use_is_due:
            with services.database.write() as connection:
                users.note_token_use(connection, found.token_id, services.now())
        actor = found.actor
    else:
        cookie = request.cookies.get(cookie_name(services), "")
        if not cookie:
            return None
        with services.database.read() as connection:
            actor = users.find_session(connection, cookie, services.now())
    if actor is not None and not services.user_limit.admit(actor.user_id):
        raise FeedError("limited", "too many requests: wait a few seconds and try again")
    return actor


def signed_in(request: Request, services: FeedServices) -> RequestContext:
    """The context of a request whose actor is known.

    Raises:
        FeedError: `login`: the actor is not known.
    """
    actor = find_actor(request, services)
    if actor is None:
        raise FeedError("login", "log in first")
    return RequestContext(request, services, actor, services.now())


def api_request(context: Annotated[RequestContext, Depends(signed_in)]) -> RequestContext:
    """The context of a request to the API. One of a browser that changes something has to carry the session's secret.

    Raises:
        FeedError: `login`; `forbidden`: it does not come from one of the feed's pages.
    """
    request, actor = context.request, context.actor
    if actor.csrf and request.method not in SAFE_METHODS:
        shown = request.headers.get(CSRF_HEADER, "")
        if not same_site(request.headers) or not _equal(shown, actor.csrf):
            raise FeedError("forbidden", "the request does not come from a page of this feed: load the page again")
    return context


def permitted(right: Right) -> Callable[[RequestContext], RequestContext]:
    """A dependency: the context of a request to the API whose actor has a right."""

    def check(context: Annotated[RequestContext, Depends(api_request)]) -> RequestContext:
        context.actor.require(right)
        return context

    return check


Reader = Annotated[RequestContext, Depends(permitted("read"))]
Reporter = Annotated[RequestContext, Depends(permitted("report"))]
Worker = Annotated[RequestContext, Depends(permitted("work"))]
Lead = Annotated[RequestContext, Depends(permitted("lead"))]
Admin = Annotated[RequestContext, Depends(permitted("admin"))]


async def read_form(request: Request) -> FormData:
    """The fields of a form.

    Raises:
        FeedError: `invalid`: the body is no form, or holds a file.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise FeedError("invalid", "this address takes a form: send it as application/x-www-form-urlencoded")
    form = await request.form(max_files=0, max_fields=MAX_FORM_FIELDS)
    if not all(isinstance(value, str) for value in form.values()):
        raise FeedError("invalid", "the form holds a file: send text fields only")
    return form


async def posted_form(request: Request, context: Annotated[RequestContext, Depends(signed_in)]) -> FormData:
    """The fields of a form that one of the feed's own pages sent.

    Raises:
        FeedError: `login`, `invalid`; `forbidden`: it does not come from one of the feed's pages.
    """
    form = await read_form(request)
    secret = context.actor.csrf
    if not secret or not same_site(request.headers) or not _equal(str(form.get(CSRF_FIELD, "")), secret):
        raise FeedError("forbidden", "the form does not come from a page of this feed: load the page again")
    return form


SignedIn = Annotated[RequestContext, Depends(signed_in)]
Form = Annotated[FormData, Depends(posted_form)]


def set_cookie(response: Response, services: Services, login: users.Login) -> None:
    """Give the browser its session.

    Args:
        response: the answer that sets the cookie.
        services: with the setting whether the feed is reached by https.
        login: the new session.
    """
    response.set_cookie(
        cookie_name(services),
        login.cookie,
        max_age=max(0, (login.expires - services.now()) // 1000),
        path="/",
        secure=services.settings.secure,
        httponly=True,
        samesite="lax",
    )


def drop_cookie(response: Response, services: Services) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(
        cookie_name(services), path="/", secure=services.settings.secure, httponly=True, samesite="lax"
    )


def _equal(shown: str, kept: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), kept.encode())
