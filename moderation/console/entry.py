"""Coming in and going out: login by password or link, logout, one's own password."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import sessions
from moderation.access import (
    Form,
    Parts,
    Visitor,
    cookie_name,
    drop_cookie,
    find_actor,
    read_form,
    set_cookie,
)
from moderation.console.pages import page
from moderation.security import address, same_site

router = APIRouter()


def local(target: str) -> str:
    """An address to go on to: a path of ours, else the queue."""
    plain = target.isascii() and target.isprintable() and len(target) < 1000
    return target if plain and target.startswith("/") and not target.startswith(("//", "/\\")) else "/queue"


def login_address(request: Request) -> str:
    """Where somebody unknown is sent, with the way back."""
    asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if asked in ("/", "/queue") else f"/login?{urlencode({'next': local(asked)})}"


@router.get("/")
def home() -> Response:
    """The queue is home."""
    return RedirectResponse("/queue", 303)


@router.get("/login")
def ask(request: Request, services: Parts, next: str = "") -> Response:
    """The login form; somebody who is in goes on."""
    if find_actor(request, services) is not None:
        return RedirectResponse(local(next or "/queue"), 303)
    return page(request, services, "login.html", None, problem="", name="", next=local(next or "/queue"))


@router.post("/login")
def login(request: Request, services: Parts, form: Annotated[FormData, Depends(read_form)]) -> Response:
    """Check a name and a password."""
    if not same_site(request.headers):
        raise FeedError("forbidden", "the form does not come from a page of this feed: load the page again")
    name, password = str(form.get("name", "")).strip()[:64], str(form.get("password", ""))
    onward = local(str(form.get("next", "")) or "/queue")
    here = address(request.scope, request.headers, services)
    pair = f"{name.lower()} {here}"
    # All are asked, so that each attempt counts everywhere.
    admitted = [
        services.logins.admit(pair, services.clock()),
        services.logins.admit(here, services.clock()),
        services.names.admit(name.lower(), services.clock()),
    ]
    if not all(admitted):
        services.metrics.login("limited")
        return page(
            request, services, "login.html", None, 429, name=name, next=onward,
            problem="Too many attempts. Wait half a minute and try again.",
        )  # fmt: skip
    with services.database.read() as connection:
        user_id = None if "\0" in name else sessions.check(connection, name, password)
    if user_id is None:
        services.metrics.login("wrong")
        return page(
            request, services, "login.html", None, 401, name=name, next=onward,
            problem="This name and password do not belong together.",
        )  # fmt: skip
    services.logins.forgive(pair)
    made = services.database.transact(
        lambda connection: sessions.begin(connection, user_id, services.now(), "password")
    )
    services.metrics.login("good")
    response = RedirectResponse(onward, 303)
    set_cookie(response, services, made)
    return response


@router.get("/enter")
def enter(request: Request, services: Parts, token: str = "", next: str = "") -> Response:
    """Log in by a link that works once."""
    here = address(request.scope, request.headers, services)
    if not services.logins.admit(f"link:{here}", services.clock()):
        raise FeedError("limited", "too many attempts: wait half a minute and try again")
    try:
        made = services.database.transact(lambda connection: sessions.use_link(connection, token, services.now()))
    except FeedError:
        if find_actor(request, services) is not None:
            return RedirectResponse(local(next or "/queue"), 303)
        services.metrics.login("wrong")
        return page(
            request, services, "login.html", None, 401, name="", next=local(next or "/queue"),
            problem="This login link was used already or is too old. Ask for a new one, or log in here.",
        )  # fmt: skip
    services.metrics.login("link")
    response = RedirectResponse(local(next or "/queue"), 303)
    set_cookie(response, services, made)
    return response


@router.post("/logout")
def logout(request: Request, services: Parts, form: Form) -> Response:
    """End the session."""
    cookie = request.cookies.get(cookie_name(services), "")
    services.database.transact(lambda connection: sessions.end(connection, cookie))
    response = RedirectResponse("/login", 303)
    drop_cookie(response, services)
    return response


@router.post("/password")
def password(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Change one's own password."""
    if not services.logins.admit(f"name:{actor.name.lower()}", services.clock()):
        raise FeedError("limited", "too many attempts: wait half a minute and try again")
    old, new = str(form.get("old", "")), str(form.get("new", ""))
    services.database.transact(lambda connection: sessions.change_password(connection, actor, old, new, services.now()))
    response = RedirectResponse("/login?done=password", 303)
    drop_cookie(response, services)
    return response
