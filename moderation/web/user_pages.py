"""Logging in and out, one's own password and tokens, and the page on which admins manage users."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import users
from moderation.auth import (
    FeedServices,
    Form,
    RequestContext,
    SignedIn,
    cookie_name,
    drop_cookie,
    find_actor,
    read_form,
    set_cookie,
)
from moderation.login_limits import network_of
from moderation.middleware import client_address, same_site
from moderation.services import Services
from moderation.web.rendering import local_path, number_field, page, public_url, render, text_field
from moderation.web.resume import Unsent, back_address, carried

router = APIRouter()

NO_LOCAL_ACCOUNTS: Final = "passwords are switched off here: sign in at the OpenID provider"

TOO_MANY_ATTEMPTS: Final = "Too many attempts. Wait three minutes and try again."


def login_address(request: Request) -> str:
    """The address of the login form, with the way back to what was asked for."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return "/login" if target in ("/", "/queue") else f"/login?{urlencode({'next': local_path(target)})}"


@router.get("/")
def show_home() -> Response:
    """The queue is the first page."""
    return RedirectResponse("/queue", 303)


@router.get("/login")
def show_login(request: Request, services: FeedServices, next: str = "") -> Response:
    """The login form; whoever is logged in goes on.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        next: where to go on to.
    """
    if find_actor(request, services) is not None:
        return RedirectResponse(local_path(next or "/queue"), 303)
    left = request.query_params.get("done") == "left" and services.oidc is not None
    return login_form(request, services, 200, "", next=next, farewell=left)


@router.post("/login")
def log_in(request: Request, services: FeedServices, form: Annotated[FormData, Depends(read_form)]) -> Response:
    """Log in with a name and a password.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        form: with `name`, `password` and `next`.
    """
    if not same_site(request.headers):
        raise FeedError("forbidden", "the form does not come from a page of this feed: load the page again")
    if not services.settings.local_accounts:
        raise FeedError("forbidden", NO_LOCAL_ACCOUNTS)
    name, password = str(form.get("name", "")).strip()[:64], str(form.get("password", ""))
    onward = str(form.get("next", ""))
    address = client_address(request.scope, request.headers, services)
    if not services.logins.admit(address, name):
        services.metrics.login("limited")
        return login_form(request, services, 429, TOO_MANY_ATTEMPTS, name=name, next=onward, unsent=carried(form))
    user_id = None
    try:
        with services.database.read() as connection:
            user_id = None if "\0" in name else users.check_password(connection, name, password)
    finally:
        services.logins.settle(address, name, failed=user_id is None)
    if user_id is None:
        services.metrics.login("wrong")
        problem = "This name and password do not belong together."
        return login_form(request, services, 401, problem, name=name, next=onward, unsent=carried(form))
    login = services.database.transact(
        lambda connection: users.begin_session(connection, user_id, services.now(), "password")
    )
    services.metrics.login("good")
    unsent = carried(form)
    if unsent is None:
        return logged_in(services, login, onward)
    with services.database.read() as connection:
        actor = users.find_session(connection, login.cookie, services.now())
    response = render(request, services, "resume.html", actor, unsent=unsent, back=local_path(onward or unsent.page))
    set_cookie(response, services, login)
    return response


@router.get("/enter")
def show_link(request: Request, services: FeedServices, token: str = "", next: str = "") -> Response:
    """The page a login link leads to. It changes nothing: programs that preview links follow them, too.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        token: the link's secret.
        next: where to go on to.
    """
    return render(request, services, "enter.html", None, token=token[:200], next=local_path(next or "/queue"))


@router.post("/enter")
def log_in_by_link(request: Request, services: FeedServices, form: Annotated[FormData, Depends(read_form)]) -> Response:
    """Log in by a link that works once.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        form: with `token`, the link's secret, and `next`, where to go on to.
    """
    if not same_site(request.headers):
        raise FeedError("forbidden", "the form does not come from a page of this feed: follow the link again")
    token, next = str(form.get("token", "")), str(form.get("next", ""))
    key = f"link:{network_of(client_address(request.scope, request.headers, services))}"
    if not services.secret_limit.begin(key):
        raise FeedError("limited", "too many attempts: wait three minutes and try again")
    good = False
    try:
        login = services.database.transact(lambda connection: users.use_link(connection, token, services.now()))
        good = True
    except FeedError:
        if find_actor(request, services) is not None:
            return RedirectResponse(local_path(next or "/queue"), 303)
        services.metrics.login("wrong")
        problem = "This login link was used already or is too old. Ask for a new one, or log in here."
        return login_form(request, services, 401, problem, next=next)
    finally:
        services.secret_limit.settle(key, failed=not good)
    services.metrics.login("link")
    return logged_in(services, login, next)


@router.post("/logout")
def log_out(context: SignedIn, form: Form) -> Response:
    """End the session."""
    services = context.services
    cookie = context.request.cookies.get(cookie_name(services), "")
    context.write(lambda connection: users.end_session(connection, cookie))
    response = RedirectResponse("/login?done=left", 303)
    drop_cookie(response, services)
    return response


@router.post("/password")
def change_password(context: SignedIn, form: Form) -> Response:
    """Change one's own password."""
    services, actor = context.services, context.actor
    if not services.settings.local_accounts or actor.vouched:
        raise FeedError("forbidden", NO_LOCAL_ACCOUNTS)
    key = f"password:{actor.user_id}"
    if not services.secret_limit.begin(key):
        raise FeedError("limited", "too many attempts: wait three minutes and try again")
    good = False
    try:
        old, new = str(form.get("old", "")), str(form.get("new", ""))
        context.write(lambda connection: users.change_password(connection, actor, old, new, context.now))
        good = True
    finally:
        services.secret_limit.settle(key, failed=not good)
    response = RedirectResponse("/login?done=password", 303)
    drop_cookie(response, services)
    return response


@router.get("/people")
def show_people(context: SignedIn) -> Response:
    """All users, for admins."""
    context.actor.require("admin")
    with context.read() as connection:
        people = users.list_users(connection, context.actor)
    return page(context, "people.html", people=people, link="", name="", local=context.services.settings.local_accounts)


@router.post("/people")
def add_user(context: SignedIn, form: Form) -> Response:
    """Add a user."""
    name, role, password = str(form.get("name", "")), str(form.get("role", "")), str(form.get("password", "")) or None
    context.write(lambda connection: users.add_user(connection, context.actor, name, role, password, context.now))
    return RedirectResponse("/people?done=changed", 303)


@router.post("/people/{user_id}/link")
def make_link(context: SignedIn, user_id: str, form: Form) -> Response:
    """Make a link that logs a user in once, and show it.

    Args:
        context: of the request.
        user_id: which user.
        form: with the session's secret.
    """
    context.actor.require("admin")

    if not context.services.settings.local_accounts:
        raise FeedError("forbidden", NO_LOCAL_ACCOUNTS)

    def work(connection: Connection) -> tuple[str, str]:
        user = users.user_by_id(connection, user_id)
        if user.subject is not None:
            raise FeedError("forbidden", "the OpenID provider vouches for them: a link would go around it")
        return users.make_link(connection, user.id, context.now), user.name

    secret, name = context.write(work)
    with context.read() as connection:
        people = users.list_users(connection, context.actor)
    link = f"{public_url(context.request, context.services)}/enter?token={secret}"
    return page(context, "people.html", people=people, link=link, name=name, local=True)


@router.post("/people/{user_id}")
def change_user(context: SignedIn, user_id: str, form: Form) -> Response:
    """Change a user's role, or whether they may log in.

    Args:
        context: of the request.
        user_id: which user.
        form: with `role` or `active` ("1", or "0" with `sure`).
    """
    role = str(form.get("role", "")) or None
    active = {"1": True, "0": False}.get(str(form.get("active", "")))
    if active is False and not form.get("sure"):
        raise FeedError("invalid", "locking somebody out ends their sessions, tokens and claims: say that you are sure")
    context.write(
        lambda connection: users.change_user(connection, context.actor, user_id, context.now, role=role, active=active)
    )
    return RedirectResponse("/people?done=changed", 303)


@router.get("/me")
def show_me(context: SignedIn) -> Response:
    """One's own password and tokens."""
    with context.read() as connection:
        tokens = users.list_tokens(connection, context.actor)
    return _me(context, tokens, "")


@router.post("/me/blur")
def choose_blur(context: SignedIn, form: Form) -> Response:
    """Choose whether texts are blurred until asked for."""
    on = form.get("blur") == "1"
    context.write(lambda connection: users.set_blur(connection, context.actor, on=on))
    return RedirectResponse("/me?done=changed", 303)


@router.post("/me/tokens")
def add_token(context: SignedIn, form: Form) -> Response:
    """Make a token; the page that answers shows it this once."""
    scopes = [str(each) for each in form.getlist("scopes")]
    days = number_field(form, "days", users.MAX_TOKEN_DAYS) if form.get("days") else users.DEFAULT_TOKEN_DAYS
    name = text_field(form, "name")

    def work(connection: Connection) -> str:
        user = users.user_by_id(connection, context.actor.user_id)
        return users.add_token(connection, context.actor, user, name, scopes, days, context.now)[1]

    made = context.write(work)
    with context.read() as connection:
        tokens = users.list_tokens(connection, context.actor)
    return _me(context, tokens, made)


@router.post("/me/tokens/{token_id}/revoke")
def revoke_token(context: SignedIn, token_id: str, form: Form) -> Response:
    """Revoke a token.

    Args:
        context: of the request.
        token_id: which token.
        form: with the session's secret.
    """
    context.write(lambda connection: users.revoke_token(connection, context.actor, token_id, context.now))
    return RedirectResponse("/me?done=removed", 303)


def _me(context: RequestContext, tokens: list[Any], made: str) -> Response:
    own_password = context.services.settings.local_accounts and not context.actor.vouched
    return page(context, "me.html", tokens=tokens, made=made, own_password=own_password)


def login_form(
    request: Request,
    services: Services,
    status: int,
    problem: str,
    *,
    name: str = "",
    next: str = "",
    unsent: Unsent | None = None,
    farewell: bool = False,
) -> Response:
    """The form by which people log in, and the way to the OpenID provider where there is one.

    Args:
        request: that it answers.
        services: the parts of the running feed.
        status: HTTP status.
        problem: why somebody was not let in; "" where nobody tried.
        name: that was typed.
        next: where to go on to.
        unsent: a form that waits to be sent again.
        farewell: whether to show where one logs out of the provider, too.
    """
    provider = services.oidc
    back = f"{public_url(request, services)}/login"
    return render(
        request, services, "login.html", None, status, problem=problem, name=name, next=local_path(next or "/queue"),
        unsent=unsent, local=services.settings.local_accounts,
        provider=provider.settings.label if provider is not None else "",
        farewell=provider.farewell(back) if farewell and provider is not None else None,
    )  # fmt: skip


def login_for(request: Request, services: Services, unsent: Unsent) -> Response:
    """The login form for somebody whose session ended while they worked; it carries what they sent.

    Args:
        request: that was sent without a session.
        services: the parts of the running feed.
        unsent: its form.
    """
    return login_form(request, services, 401, "", next=back_address(request, unsent.page), unsent=unsent)


def logged_in(services: Services, login: users.Login, next: str) -> Response:
    """Give a browser its session, and send it on.

    Args:
        services: the parts of the running feed.
        login: the session.
        next: where to; other sites are never gone on to.
    """
    response = RedirectResponse(local_path(next or "/queue"), 303)
    set_cookie(response, services, login)
    return response
