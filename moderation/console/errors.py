"""The page that says what went wrong, and what one can do."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.responses import Response

from detector.errors import FeedError
from moderation.access import find_actor
from moderation.console.pages import page
from moderation.services import Services

TITLES: Final = {
    400: "That cannot be done", 401: "Log in first", 403: "Not yours to do", 404: "Nothing here",
    405: "That cannot be done", 409: "Somebody or something was faster", 413: "Too large", 422: "That cannot be read",
    429: "Slow down a little", 500: "Something went wrong here",
}  # fmt: skip


def error_page(request: Request, services: Services, status: int, message: str) -> Response:
    """The page of an error."""
    actor = None
    if status < 500:
        try:
            actor = find_actor(request, services)
        except FeedError:
            actor = None
    title = TITLES.get(status, "That did not work")
    return page(request, services, "error.html", actor, status, title=title, message=message, number=status)
