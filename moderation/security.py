"""A stranger's text on its way to a page. The template escapes markup; this makes the invisible visible.

Direction overrides, zero-width characters and control characters can make a text read as another one. They are shown as
their code point in brackets. Joiners inside words of scripts that need them, and marks of emoji, stay.

What stands before every request: host, size, rate and headers. Plain ASGI, so that streams pass through it.
"""

from __future__ import annotations

import re
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detector.errors import FeedError
from moderation.services import Services

_SUSPECT: Final = re.compile(
    "["
    "\u0000-\u0008\u000b-\u001f\u007f-\u009f"  # controls but tab and line end
    "\u061c\u200b\u200e\u200f"  # zero width space, direction marks
    "\u202a-\u202e\u2066-\u2069"  # direction overrides and isolates
    "\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"  # tags: a hidden alphabet
    "\ud800-\udfff"
    "]"
)

LONGEST_STACK: Final = 4
"""Combining marks on one letter: Vietnamese needs two, Hebrew four; a hundred climb over the lines around."""

_STACK: Final = re.compile(f"([\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{{{LONGEST_STACK}}})"
                           "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")  # fmt: skip


def visible(text: str) -> str:
    """The text with what cannot be seen shown as `⟨U+202E⟩`."""
    shown = _SUSPECT.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)
    return _STACK.sub(r"\1", shown)


def short(text: str, limit: int) -> str:
    """The text on one line, cut at `limit` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


LARGEST_BODY: Final = 256 * 1024
"""A decision with its note has some kB, a bulk order of 200 ids some 20 kB."""

LONGEST_TARGET: Final = 8 * 1024

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
"""Nothing from elsewhere, nothing inline, and no way to turn a text into markup in a script."""

HEADERS: Final = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Nothing to others; but not "no-referrer", with which browsers send forms as if from nowhere (`Origin: null`).
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

STRICT_TRANSPORT: Final = "max-age=31536000"

API: Final = "/api/v1"

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked by machines that know no host name and are counted nowhere."""


class Guard:
    """Refuses what is too large, too much, or meant for another host; adds headers; measures."""

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
                await self._app(scope, _Limited(receive), answer)
        finally:
            services.metrics.request(_route(scope), _method(scope), status, time.perf_counter() - started)


def _refusal(scope: Scope, services: Services) -> PlainTextResponse | None:
    headers = Headers(scope=scope)
    path = scope["path"]
    if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > LONGEST_TARGET:
        return PlainTextResponse("the address is too long\n", 414)
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdecimal() or int(length[:20]) > LARGEST_BODY:
        return PlainTextResponse("the request is too large\n", 413)
    if path in OPEN_PATHS:
        return None
    hosts = services.settings.hosts
    if "*" not in hosts and _host(headers.get("host", "")) not in hosts:
        return PlainTextResponse("this feed is not called that: see --host and [feed] public_url\n", 421)
    if not services.addresses.admit(address(scope, headers, services), services.clock()):
        services.metrics.refusal("limited")
        return PlainTextResponse("too many requests: wait a second\n", 429, {"retry-after": "1"})
    return None


def _add_headers(scope: Scope, message: Message, services: Services) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in HEADERS.items():
        headers[name] = value
    if not scope["path"].startswith("/static/"):
        headers.setdefault("cache-control", "no-store")
    if services.settings.secure:
        headers["strict-transport-security"] = STRICT_TRANSPORT


class _Limited:
    """Receives a body of at most `LARGEST_BODY` bytes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = LARGEST_BODY

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise FeedError("too_large", "the request is too large")
        return message


def address(scope: Scope, headers: Headers, services: Services) -> str:
    """The client's address; behind a trusted proxy the last one that proxy saw."""
    if services.settings.proxied:
        seen = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if seen:
            return seen[:64]
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def same_site(headers: Headers) -> bool:
    """Whether a request that changes something comes from a page of ours, as far as the browser says."""
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is not None and origin.partition("://")[2] != host:
        return False
    return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _host(value: str) -> str:
    return value.lower() if value.endswith("]") else value.lower().rpartition(":")[0] or value.lower()


def _route(scope: Scope) -> str:
    """The template of the route that answered, with the API's prefix: "none" for what is no route of ours."""
    path = str(getattr(scope.get("route"), "path", "none"))
    inner = scope["path"].startswith(API) and path.startswith("/") and not path.startswith(API)
    return API + path if inner else path


def _method(scope: Scope) -> str:
    method = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
