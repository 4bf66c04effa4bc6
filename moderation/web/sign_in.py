"""Coming in and going out: login by password or link, logout, one's own password.

People and tokens; one's own password.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import users
from moderation.auth import Form, Parts, Visitor, cookie_name, drop_cookie, find_actor, read_form, set_cookie
from moderation.security import address, same_site
from moderation.web.pages import line, local, number, page

router = APIRouter()


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
        user_id = None if "\0" in name else users.check(connection, name, password)
    if user_id is None:
        services.metrics.login("wrong")
        return page(
            request, services, "login.html", None, 401, name=name, next=onward,
            problem="This name and password do not belong together.",
        )  # fmt: skip
    services.logins.forgive(pair)
    made = services.database.transact(lambda connection: users.begin(connection, user_id, services.now(), "password"))
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
        made = services.database.transact(lambda connection: users.use_link(connection, token, services.now()))
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
    services.database.transact(lambda connection: users.end(connection, cookie))
    response = RedirectResponse("/login", 303)
    drop_cookie(response, services)
    return response


@router.post("/password")
def password(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Change one's own password."""
    if not services.logins.admit(f"name:{actor.name.lower()}", services.clock()):
        raise FeedError("limited", "too many attempts: wait half a minute and try again")
    old, new = str(form.get("old", "")), str(form.get("new", ""))
    services.database.transact(lambda connection: users.change_password(connection, actor, old, new, services.now()))
    response = RedirectResponse("/login?done=password", 303)
    drop_cookie(response, services)
    return response


@router.get("/people")
def show_people(request: Request, services: Parts, actor: Visitor) -> Response:
    """Everybody, for those who keep people."""
    actor.require("admin")
    with services.database.read() as connection:
        everybody = users.list_users(connection, actor)
    return page(request, services, "people.html", actor, people=everybody, link="", name="")


@router.post("/people")
def add(services: Parts, actor: Visitor, form: Form) -> Response:
    """Add somebody."""
    password = str(form.get("password", "")) or None
    services.database.transact(
        lambda connection: users.add_user(
            connection, actor, str(form.get("name", "")), str(form.get("role", "")), password, services.now()
        )
    )
    return RedirectResponse("/people?done=changed", 303)


@router.post("/people/{user_id}/link")
def make_link(request: Request, services: Parts, actor: Visitor, user_id: str, form: Form) -> Response:
    """A link that logs somebody in once."""
    actor.require("admin")

    def work(connection: Connection) -> tuple[str, str]:
        user = next((each for each in users.list_users(connection, actor) if each.id == user_id), None)
        if user is None:
            users.user_by_name(connection, "")
        assert user is not None
        return users.make_link(connection, user.id, services.now()), user.name

    secret, name = services.database.transact(work)
    with services.database.read() as connection:
        everybody = users.list_users(connection, actor)
    link = f"{request.url.scheme}://{request.headers.get('host', '')}/enter?token={secret}"
    return page(request, services, "people.html", actor, people=everybody, link=link, name=name)


@router.post("/people/{user_id}")
def change(services: Parts, actor: Visitor, user_id: str, form: Form) -> Response:
    """Change somebody's role, or whether they may come in."""
    role = str(form.get("role", "")) or None
    active = {"1": True, "0": False}.get(str(form.get("active", "")))
    services.database.transact(
        lambda connection: users.change_user(connection, actor, user_id, services.now(), role=role, active=active)
    )
    return RedirectResponse("/people?done=changed", 303)


@router.get("/me")
def me(request: Request, services: Parts, actor: Visitor) -> Response:
    """One's own password and tokens."""
    with services.database.read() as connection:
        mine = users.list_tokens(connection, actor)
    return page(request, services, "me.html", actor, tokens=mine, made="")


@router.post("/me/tokens")
def add_token(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Make a token; the page that follows shows it this once."""
    scopes = [str(each) for each in form.getlist("scopes")]
    days = number(form, "days", users.MOST_DAYS) if form.get("days") else users.DEFAULT_DAYS
    name = line(form, "name")

    def work(connection: Connection) -> str:
        user = users.user_by_name(connection, actor.name)
        return users.add_token(connection, actor, user, name, scopes, days, services.now())[1]

    value = services.database.transact(work)
    with services.database.read() as connection:
        mine = users.list_tokens(connection, actor)
    return page(request, services, "me.html", actor, tokens=mine, made=value)


@router.post("/me/tokens/{token_id}/revoke")
def revoke(services: Parts, actor: Visitor, token_id: str, form: Form) -> Response:
    """End a token."""
    services.database.transact(lambda connection: users.revoke_token(connection, actor, token_id, services.now()))
    return RedirectResponse("/me?done=removed", 303)
