"""Who asks: a browser by its session cookie, a program by its token. Both routers depend on `signed_in`."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from detector.errors import FeedError
from moderation import users
from moderation.roles import Actor, Right
from moderation.security import same_site
from moderation.services import Services

COOKIE: Final = "swarmlight"
SECURE_COOKIE: Final = "__Host-swarmlight"
"""The prefix makes browsers refuse it over http or for a part of the site."""

CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf"

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

MOST_FIELDS: Final = 500
"""Fields of a form: a bulk order has 200 ids."""


def services_of(request: Request) -> Services:
    """The running feed's parts."""
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


Parts = Annotated[Services, Depends(services_of)]


def cookie_name(services: Services) -> str:
    return SECURE_COOKIE if services.settings.secure else COOKIE


def find_actor(request: Request, services: Services) -> Actor | None:
    """Whoever asks; None where nobody is known by what was shown.

    Raises:
        FeedError: `login`: a token that is none; `limited`.
    """
    header = request.headers.get("authorization", "")
    actor: Actor | None
    if header:
        kind, _, value = header.partition(" ")
        with services.database.read() as connection:
            known = (
                users.token_of_value(connection, value.strip(), services.now()) if kind.lower() == "bearer" else None
            )
        if known is None:
            raise FeedError("login", "the token is unknown or has expired")
        actor, to_note, token_id = known
        if to_note:
            with services.database.write() as connection:
                users.note_token_use(connection, token_id, services.now())
    else:
        cookie = request.cookies.get(cookie_name(services), "")
        if not cookie:
            return None
        with services.database.read() as connection:
            actor = users.of_cookie(connection, cookie, services.now())
    if actor is not None and not services.requests.admit(actor.user_id, services.clock()):
        raise FeedError("limited", "too many requests: wait a second")
    return actor


def signed_in(request: Request, services: Parts) -> Actor:
    """Whoever asks, who is known.

    Raises:
        FeedError: `login`.
    """
    actor = find_actor(request, services)
    if actor is None:
        raise FeedError("login", "log in first")
    return actor


def api_actor(request: Request, actor: Annotated[Actor, Depends(signed_in)]) -> Actor:
    """Whoever asks the API; a browser's session has to show its secret besides where something changes.

    Raises:
        FeedError: `login`, `forbidden`.
    """
    if actor.csrf and request.method not in SAFE:
        shown = request.headers.get(CSRF_HEADER, "")
        if not same_site(request.headers) or not _equal(shown, actor.csrf):
            raise FeedError("forbidden", "the request does not come from a page of this feed: load the page again")
    return actor


def right(name: Right) -> Callable[[Actor], Actor]:
    """A dependency that lets those through who have a right."""

    def check(actor: Annotated[Actor, Depends(api_actor)]) -> Actor:
        actor.require(name)
        return actor

    return check


Reader = Annotated[Actor, Depends(right("read"))]
Worker = Annotated[Actor, Depends(right("work"))]
Lead = Annotated[Actor, Depends(right("lead"))]
Admin = Annotated[Actor, Depends(right("admin"))]


async def read_form(request: Request) -> FormData:
    """The fields of a form; files are refused.

    Raises:
        FeedError: `invalid`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise FeedError("invalid", "a form was expected")
    form = await request.form(max_files=0, max_fields=MOST_FIELDS)
    if not all(isinstance(value, str) for value in form.values()):
        raise FeedError("invalid", "no file was expected")
    return form


async def posted(request: Request, actor: Annotated[Actor, Depends(signed_in)]) -> FormData:
    """The fields of a form that one of our pages sent.

    Raises:
        FeedError: `login`, `invalid`; `forbidden`: it comes from elsewhere.
    """
    form = await read_form(request)
    if not actor.csrf or not same_site(request.headers) or not _equal(str(form.get(CSRF_FIELD, "")), actor.csrf):
        raise FeedError("forbidden", "the form does not come from a page of this feed: load the page again")
    return form


Visitor = Annotated[Actor, Depends(signed_in)]
Form = Annotated[FormData, Depends(posted)]


def set_cookie(response: Response, services: Services, login: users.Login) -> None:
    """Give the browser its session."""
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
    """Take the browser's session away."""
    response.delete_cookie(
        cookie_name(services), path="/", secure=services.settings.secure, httponly=True, samesite="lax"
    )


def _equal(shown: str, kept: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), kept.encode())
