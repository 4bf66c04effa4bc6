"""The page of an error: what went wrong, what to do, what was typed, and the way back."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from starlette.responses import Response

from detector.errors import FeedError
from moderation.auth import find_actor
from moderation.services import Services
from moderation.web.rendering import render
from moderation.web.resume import Unsent, back_address

TITLES: Final = {
    "invalid": "Something has to be changed first", "login": "Log in first", "forbidden": "Not yours to do",
    "not_found": "Nothing here", "conflict": "It cannot be done as things are now",
    "contradicts": "It contradicts another decision", "too_large": "Too large", "limited": "Slow down a little",
    "unavailable": "The sign-in is not to be had", "failure": "Something went wrong here",
}  # fmt: skip
"""Title of an error's page, by its code: the status says too little."""

STALE_FORM: Final = "The page was out of date"
"""Title where a form lacked the session's secret: it is a page of an earlier session, or another site's."""

AGAIN: Final = frozenset({"conflict", "limited", "failure"})
"""Errors after which the same form may be sent again as it is. Never one whose form another site may have made."""


def error_page(
    request: Request, services: Services, status: int, code: str, message: str, unsent: Unsent | None
) -> Response:
    """The page of an error.

    Args:
        request: that failed.
        services: the parts of the running feed.
        status: HTTP status.
        code: of the error.
        message: what went wrong and what to do, without a full stop.
        unsent: the form that could not be done; None where there was none.
    """
    actor = None
    if status < 500:
        try:
            actor = find_actor(request, services)
        except FeedError:
            actor = None
    stale = code == "forbidden" and "load the page again" in message
    title = STALE_FORM if stale else TITLES.get(code, "That did not work")
    return render(
        request, services, "error.html", actor, status, title=title, message=message, number=status, unsent=unsent,
        again=code in AGAIN, back=back_address(request, unsent.page if unsent is not None else "/queue"),
    )  # fmt: skip
