"""What was typed into a form survives a session that ended and an error: it is shown, and sent again with one press.

`Typed` is the form of an alert's page, put back into the page that is shown again. Of other forms fields travel as
hidden fields through the login form, under names of their own; nothing of them is kept on the server. Only forms that
the feed's own pages sent are resumed, and only those of everyday work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from detector.errors import FeedError
from moderation.auth import CSRF_FIELD, MAX_FORM_FIELDS, SAFE_METHODS
from moderation.middleware import same_site
from moderation.web.rendering import local_path

WORK: Final = ("/alerts/", "/missed", "/decisions/", "/bulk/", "/views", "/queue/")
"""Beginnings of addresses whose forms are resumed; never those that change people, tokens or passwords."""

PREFIX: Final = "resume-"
ADDRESS: Final = "resume"
"""Names of fields in the login form: each of the form's own behind the first, its address in the second."""

SHOWN: Final = {
    "decision": "Decision", "reason": "Reason", "policy": "Policy", "note": "Note", "comment": "Comment",
    "account": "Account", "name": "Name", "minutes": "For minutes", "action": "Do",
}  # fmt: skip
"""Fields that are shown to whoever typed them, with their words; others are ids."""

MAX_KEPT_CHARACTERS: Final = 4000
"""Of a field that is shown again: twice the longest note, so that one that was too long can be shortened."""


FIELDS: Final = ("decision", "reason", "policy", "note")
"""Fields of one value, in the order of `Typed`."""


@dataclass(frozen=True)
class Typed:
    """Fields of the form of an alert's page; empty where nothing was typed."""

    decision: str = ""
    reason: str = ""
    policy: str = ""
    note: str = ""
    account: tuple[str, ...] = ()
    cover: tuple[str, ...] = ()

    @classmethod
    def of(cls, form: FormData) -> Typed:
        """What a form holds."""
        decision, reason, policy, note = (kept(str(form.get(name, ""))) for name in FIELDS)
        account, cover = (tuple(str(each) for each in form.getlist(name)) for name in ("account", "cover"))
        return cls(decision, reason, policy, note, account, cover)

    @classmethod
    def of_draft(cls, fields: Mapping[str, str]) -> Typed:
        """What a draft holds."""
        decision, reason, policy, note = (kept(fields.get(name, "")) for name in FIELDS)
        return cls(decision, reason, policy, note)


NOTHING: Final = Typed()


def kept(text: str) -> str:
    """A text as it is shown in a form again: cut, and without the control characters that no form takes."""
    plain = text[:MAX_KEPT_CHARACTERS].replace("\r\n", "\n")
    return "".join(each for each in plain if each in "\n\t" or (ord(each) >= 32 and ord(each) != 127))


@dataclass(frozen=True)
class Unsent:
    """A form that could not be done: where it goes, and its fields in order, without the session's secret."""

    address: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> list[tuple[str, str]]:
        """What was typed, in words: label and text."""
        return [(SHOWN[name], value) for name, value in self.fields if name in SHOWN and value]

    @property
    def page(self) -> str:
        """The page that the form is on."""
        parts = self.address.split("/")
        return "/".join(parts[:3]) if self.address.startswith("/alerts/") else self.address


async def unsent_form(request: Request) -> Unsent | None:
    """The form in a request; None where it has none, or none that may be sent again."""
    path = request.url.path
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    good = request.method not in SAFE_METHODS and path.startswith(WORK) and same_site(request.headers)
    if not good or kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return None
    try:
        form = await request.form(max_files=0, max_fields=MAX_FORM_FIELDS)
    except (FeedError, HTTPException, RuntimeError):
        # Too large, broken, or read already without being kept: there is nothing to show.
        return None
    return _unsent(path, form, "")


def carried(form: FormData) -> Unsent | None:
    """The form that a login form carries; None where it carries none."""
    address = local_path(str(form.get(ADDRESS, "")))
    return _unsent(address, form, PREFIX) if address.startswith(WORK) else None


def back_address(request: Request, fallback: str = "/queue") -> str:
    """The page of the feed that a request came from.

    Args:
        request: with its `Referer`, which is used only where it is of this feed.
        fallback: where there is none.
    """
    try:
        came_from = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return fallback
    if not came_from.netloc or came_from.netloc != request.headers.get("host", ""):
        return fallback
    target = came_from.path + (f"?{came_from.query}" if came_from.query else "")
    return local_path(target) if came_from.path not in ("", "/login", "/enter") else fallback


def _unsent(address: str, form: FormData, prefix: str) -> Unsent:
    fields = tuple(
        (name.removeprefix(prefix), kept(value))
        for name, value in form.multi_items()
        if isinstance(value, str) and name.startswith(prefix) and name.removeprefix(prefix) not in (CSRF_FIELD, ADDRESS)
    )
    return Unsent(address, fields)
