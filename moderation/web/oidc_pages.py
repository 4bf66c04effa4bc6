"""Signing in with an OpenID provider: the way there, and the way back."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from detector.errors import FeedError
from moderation import oidc_users
from moderation.auth import FeedServices
from moderation.login_limits import network_of
from moderation.middleware import client_address
from moderation.oidc import Provider
from moderation.services import Services
from moderation.web.rendering import STATUS, local_path, public_url
from moderation.web.user_pages import logged_in, login_form

router = APIRouter()

BROWSER_COOKIE: Final = "swarmlight-sign-in"
SECURE_BROWSER_COOKIE: Final = "__Host-swarmlight-sign-in"
"""Holds the secret of the browser that began a sign-in."""

MAX_PARAMETER_CHARACTERS: Final = 4000
"""Of a code or state: several times what any provider sends."""

STALE: Final = "This sign-in is too old, was used already, or began in another browser. Begin again."
NO_ROLE: Final = "You are known there, but none of your groups has a role here. Ask whoever keeps the feed."
BROKEN_OFF: Final = "The sign-in was broken off there. Begin again, or ask whoever keeps the feed."


@router.get("/oidc/begin")
def begin(request: Request, services: FeedServices, next: str = "") -> Response:
    """Send the browser to the provider.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        next: where to go on to afterwards.
    """
    provider = _provider(services)
    if not services.departure_limit.admit(network_of(client_address(request.scope, request.headers, services))):
        raise FeedError("limited", "too many sign-ins from this address were begun: wait a minute and try again")
    departure = provider.depart(_callback(request, services))
    browser = services.database.transact(
        lambda connection: oidc_users.note_departure(
            connection, departure, local_path(next or "/queue"), services.now()
        )
    )
    response = RedirectResponse(departure.address, 303)
    response.set_cookie(
        _cookie_name(services), browser, max_age=oidc_users.DEPARTURE_MS // 1000, path="/",
        secure=services.settings.secure, httponly=True, samesite="lax",
    )  # fmt: skip
    return response


@router.get("/oidc/callback")
def finish(
    request: Request, services: FeedServices, state: str = "", code: str = "", iss: str = "", error: str = ""
) -> Response:
    """Let in whoever comes back from the provider, if they are who they seem and have a role.

    Args:
        request: of the browser.
        services: the parts of the running feed.
        state: as it was given at the departure.
        code: for the provider to tell who it is.
        iss: the provider, where it says so (RFC 9207).
        error: what went wrong there, where something did.
    """
    provider = _provider(services)
    key = f"oidc:{network_of(client_address(request.scope, request.headers, services))}"
    if not services.secret_limit.begin(key):
        services.metrics.login("limited")
        raise FeedError("limited", "too many attempts: wait three minutes and try again")
    good = False
    try:
        response = _arrived(request, services, provider, state, code, iss, error)
        good = response.status_code == 303
    except FeedError as refusal:
        good = refusal.code == "unavailable"
        said = str(refusal)
        response = login_form(request, services, STATUS.get(refusal.code, 400), f"{said[:1].upper()}{said[1:]}.")
    finally:
        services.secret_limit.settle(key, failed=not good)
    services.metrics.login("good" if response.status_code == 303 else "wrong")
    response.delete_cookie(
        _cookie_name(services), path="/", secure=services.settings.secure, httponly=True, samesite="lax"
    )
    return response


def _arrived(
    request: Request, services: Services, provider: Provider, state: str, code: str, iss: str, error: str
) -> Response:
    now = services.now()
    browser = request.cookies.get(_cookie_name(services), "")
    small = all(len(each) <= MAX_PARAMETER_CHARACTERS for each in (state, code))
    kept = None
    if small and state and browser:
        kept = services.database.transact(lambda connection: oidc_users.take_return(connection, state, browser, now))
    if kept is None:
        return login_form(request, services, 401, STALE)
    if error or not code or (iss and iss != provider.settings.issuer):
        return login_form(request, services, 401, BROKEN_OFF, next=kept.onward)
    identity = provider.arrive(code, _callback(request, services), kept.nonce, kept.verifier, now / 1000)
    login = services.database.transact(lambda connection: oidc_users.let_in(connection, identity, now))
    if login is None:
        return login_form(request, services, 403, NO_ROLE, next=kept.onward)
    return logged_in(services, login, kept.onward)


def _provider(services: Services) -> Provider:
    if services.oidc is None:
        raise FeedError("not_found", "this feed has no OpenID provider: log in with a name and a password")
    return services.oidc


def _callback(request: Request, services: Services) -> str:
    return f"{public_url(request, services)}/oidc/callback"


def _cookie_name(services: Services) -> str:
    return SECURE_BROWSER_COOKIE if services.settings.secure else BROWSER_COOKIE
