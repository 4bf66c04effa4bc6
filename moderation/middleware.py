"""What stands before every request: checks of host, size and rate, and the security headers of every answer.

Plain ASGI middleware, so that live updates stream through it. Also what other modules need to know of a request's
origin: the client's address, and whether a form was sent by one of the feed's own pages.
"""

from __future__ import annotations

import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detector.errors import FeedError
from moderation.services import Services

MAX_BODY_BYTES: Final = 256 * 1024
"""A decision with its note has a few kB, a bulk action on 200 alerts some 20 kB."""

MAX_TARGET_BYTES: Final = 8 * 1024
"""Path and query of an address: the usual limit of servers and proxies."""

CONTENT_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ]
)
"""Nothing from other hosts, nothing inline, and no way to turn a text into markup in a script."""

HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": with it browsers send forms as if from nowhere (`Origin: null`).
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

STRICT_TRANSPORT: Final = "max-age=31536000"
"""A year, in seconds."""

API_PREFIX: Final = "/api/v1"

UNCHECKED_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by probes and scrapers, which know no host name; their requests count towards no limit."""


class Guard:
    """ASGI middleware: refuses requests that are too large, too many or meant for another host, and adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        started = time.perf_counter()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope, message, services)
            await send(message)

        refusal = _refusal(scope, services)
        try:
            if refusal is not None:
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, _LimitedBody(receive), answer)
        finally:
            services.metrics.request(_route(scope), _method(scope), status, time.perf_counter() - started)


def client_address(scope: Scope, headers: Headers, services: Services) -> str:
    """The client's address, as rate limits count it.

    Args:
        scope: of the request.
        headers: of the request.
        services: with the setting whether a proxy stands before the feed.

    Returns:
        Behind a trusted proxy the last address in `X-Forwarded-For`, which that proxy wrote itself; otherwise the peer
        of the connection; "unknown" where there is neither.
    """
    if services.settings.proxied:
        forwarded = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded[:64]
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def same_site(headers: Headers) -> bool:
    """Whether a request that changes something was sent by one of the feed's own pages, by what the browser says."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        return False
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


class _LimitedBody:
    """Receives a request's body, and refuses it once it is larger than `MAX_BODY_BYTES`."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = MAX_BODY_BYTES

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise FeedError("too_large", f"the request's body is too large: send at most {MAX_BODY_BYTES} bytes")
        return message


def _refusal(scope: Scope, services: Services) -> PlainTextResponse | None:
    headers = Headers(scope=scope)
    path = scope["path"]
    if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MAX_TARGET_BYTES:
        return PlainTextResponse(f"the address is too long: use at most {MAX_TARGET_BYTES} bytes\n", 414)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal() or int(length[:20]) > MAX_BODY_BYTES:
        return PlainTextResponse(f"the request's body is too large: send at most {MAX_BODY_BYTES} bytes\n", 413)
    if path in UNCHECKED_PATHS:
        return None
    hosts = services.settings.hosts
    if "*" not in hosts and _host_name(headers.get("host", "")) not in hosts:
        return PlainTextResponse(
            "this feed does not answer under that host name: see --host and [feed] public_url\n", 421
        )
    if not services.address_limit.admit(client_address(scope, headers, services)):
        services.metrics.refusal("limited")
        return PlainTextResponse("too many requests from this address: wait a few seconds\n", 429, {"retry-after": "3"})
    return None


def _add_headers(scope: Scope, message: Message, services: Services) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers.setdefault(name, value)  # a route may be stricter, or show a page that brings its styles along
    if not scope["path"].startswith("/static/"):
        headers.setdefault("cache-control", "no-store")
    if services.settings.secure:
        headers["strict-transport-security"] = STRICT_TRANSPORT


def _host_name(value: str) -> str:
    """A `Host` header without its port, in lower case."""
    return value.lower() if value.endswith("]") else value.lower().rpartition(":")[0] or value.lower()


def _route(scope: Scope) -> str:
    """The template of the route that answered, with the API's prefix; "none" where none did."""
    path = str(getattr(scope.get("route"), "path", "none"))
    inner = scope["path"].startswith(API_PREFIX) and path.startswith("/") and not path.startswith(API_PREFIX)
    return API_PREFIX + path if inner else path


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
