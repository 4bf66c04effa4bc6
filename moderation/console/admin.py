"""People and tokens; one's own password."""

from __future__ import annotations

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from moderation import sessions, tokens, users
from moderation.access import Form, Parts, Visitor
from moderation.console.alert import line, number
from moderation.console.pages import page

router = APIRouter()


@router.get("/people")
def people(request: Request, services: Parts, actor: Visitor) -> Response:
    """Everybody, for those who keep people."""
    actor.require("admin")
    with services.database.read() as connection:
        everybody = users.everybody(connection, actor)
    return page(request, services, "people.html", actor, people=everybody, link="", name="")


@router.post("/people")
def add(services: Parts, actor: Visitor, form: Form) -> Response:
    """Add somebody."""
    password = str(form.get("password", "")) or None
    services.database.transact(
        lambda connection: users.add(
            connection, actor, str(form.get("name", "")), str(form.get("role", "")), password, services.now()
        )
    )
    return RedirectResponse("/people?done=changed", 303)


@router.post("/people/{user_id}/link")
def make_link(request: Request, services: Parts, actor: Visitor, user_id: str, form: Form) -> Response:
    """A link that logs somebody in once."""
    actor.require("admin")

    def work(connection: Connection) -> tuple[str, str]:
        user = next((each for each in users.everybody(connection, actor) if each.id == user_id), None)
        if user is None:
            users.by_name(connection, "")
        assert user is not None
        return sessions.make_link(connection, user.id, services.now()), user.name

    secret, name = services.database.transact(work)
    with services.database.read() as connection:
        everybody = users.everybody(connection, actor)
    link = f"{request.url.scheme}://{request.headers.get('host', '')}/enter?token={secret}"
    return page(request, services, "people.html", actor, people=everybody, link=link, name=name)


@router.post("/people/{user_id}")
def change(services: Parts, actor: Visitor, user_id: str, form: Form) -> Response:
    """Change somebody's role, or whether they may come in."""
    role = str(form.get("role", "")) or None
    active = {"1": True, "0": False}.get(str(form.get("active", "")))
    services.database.transact(
        lambda connection: users.change(connection, actor, user_id, services.now(), role=role, active=active)
    )
    return RedirectResponse("/people?done=changed", 303)


@router.get("/me")
def me(request: Request, services: Parts, actor: Visitor) -> Response:
    """One's own password and tokens."""
    with services.database.read() as connection:
        mine = tokens.listed(connection, actor)
    return page(request, services, "me.html", actor, tokens=mine, made="")


@router.post("/me/tokens")
def add_token(request: Request, services: Parts, actor: Visitor, form: Form) -> Response:
    """Make a token; the page that follows shows it this once."""
    scopes = [str(each) for each in form.getlist("scopes")]
    days = number(form, "days", tokens.MOST_DAYS) if form.get("days") else tokens.DEFAULT_DAYS
    name = line(form, "name")

    def work(connection: Connection) -> str:
        user = users.by_name(connection, actor.name)
        return tokens.add(connection, actor, user, name, scopes, days, services.now())[1]

    value = services.database.transact(work)
    with services.database.read() as connection:
        mine = tokens.listed(connection, actor)
    return page(request, services, "me.html", actor, tokens=mine, made=value)


@router.post("/me/tokens/{token_id}/revoke")
def revoke(services: Parts, actor: Visitor, token_id: str, form: Form) -> Response:
    """End a token."""
    services.database.transact(lambda connection: tokens.revoke(connection, actor, token_id, services.now()))
    return RedirectResponse("/me?done=removed", 303)
