"""Rendering of the console's pages, and reading of their forms; what all pages share.

Templates are Jinja2 with autoescape on for every file, and a name that was not given is an error. Text of strangers
goes through the filters `visible` and `short` (`untrusted_text`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Path as PathParameter
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy import Connection, select
from starlette.datastructures import FormData
from starlette.responses import HTMLResponse

from detector.errors import FeedError
from moderation import decisions, words
from moderation.auth import RequestContext
from moderation.database_tables import AlertRow
from moderation.permissions import Actor
from moderation.services import Services
from moderation.topic_records import rfc3339
from moderation.web.untrusted_text import short, visible

TEMPLATES: Final = Path(__file__).with_name("templates")

AlertId = Annotated[str, PathParameter(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$")]

MAX_LINE_CHARACTERS: Final = 200
MAX_NOTE_CHARACTERS: Final = 2000
"""Of a field of one line, and of a note: as the API has them."""

NOTICES: Final = {
    "claimed": "It is yours for 15 minutes; while you need longer, renew the claim.",
    "released": "Given back to the queue.",
    "assigned": "Assigned.",
    "snoozed": "Put off.",
    "woken": "Back in the queue.",
    "escalated": "Handed to the leads.",
    "handed_back": "Handed back to the moderators.",
    "decided": "Decided, and told to the system. You can take it back below.",
    "next": "Decided, and told to the system. This is the next one, and yours.",
    "skipped": "Passed over: it is not given to you again in this shift. This is the next one, and yours.",
    "last": "Done, and nothing more is waiting that nobody has.",
    "commented": "Said.",
    "queued": "Changed.",
    "resent": "It is sent again.",
    "undone": "Taken back.",
    "reported": "Thank you: the account is reported.",
    "saved": "View saved.",
    "removed": "Removed.",
    "nothing": "Nothing is waiting that nobody has.",
    "changed": "Changed.",
    "password": "Your password is changed. Log in with the new one.",
    "left": "You are logged out here.",
    "appeal": "The appeal is filed.",
    "appealed": "Your appeal is filed. Keep this address: what comes of it is said here.",
    "appeal_decided": "The appeal is decided.",
    "sampled": "Thank you. What is missed is estimated from it.",
    "second_look": "Thank you. Both decisions are compared now.",
}
"""What a page says of what was just done, by the value of `done` in its address."""

STATUS: Final = {
    "invalid": 400, "login": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "contradicts": 409,
    "too_large": 413, "limited": 429, "unavailable": 503,
}  # fmt: skip
"""HTTP status of each code of `FeedError`."""


def time_element(at_ms: int) -> Markup:
    """A time as an element: in UTC here, in the reader's own time where a script runs."""
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(at_ms), words.when(at_ms))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {
        "visible": visible,
        "short": short,
        "when": time_element,
        "minutes": words.minutes,
        "span": words.span,
    }
    made.globals |= {"words": words, "counted": words.counted}
    return made


_templates: Final = _environment()


def page(context: RequestContext, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page for somebody who is logged in.

    Args:
        context: of the request.
        template: name of its file.
        status: HTTP status.
        values: what the template shows.
    """
    return render(context.request, context.services, template, context.actor, status, **values)


def render(
    request: Request, services: Services, template: str, actor: Actor | None, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page. Besides `values`, every template has `actor`, `now` (ms), `path`, `notice`, `has_lab`: whether
    runs of the policy lab are listed, and `unblurred`: the address of the same page with its texts shown, where they
    are blurred; else "".

    Args:
        request: that it answers.
        services: the parts of the running feed.
        template: name of its file.
        actor: who is logged in; None where nobody is.
        status: HTTP status.
        values: what the template shows.
    """
    shown = dict(request.query_params) | {"texts": "shown"}
    blurred = actor is not None and actor.blur and request.query_params.get("texts") != "shown"
    rendered = _templates.get_template(template).render(
        actor=actor,
        now=services.now(),
        path=request.url.path,
        has_lab=services.settings.lab_runs is not None,
        notice=NOTICES.get(request.query_params.get("done", "")),
        unblurred=f"{request.url.path}?{urlencode(shown)}" if blurred else "",
        **values,
    )
    return HTMLResponse(rendered.encode("utf-8", "backslashreplace"), status)


def public_url(request: Request, services: Services) -> str:
    """Where browsers find the feed: as configured. A proxy's own way to the feed is not theirs.

    Args:
        request: that a browser sent.
        services: with the configured address.
    """
    here = f"{'https' if services.settings.secure else request.url.scheme}://{request.headers.get('host', '')}"
    return services.settings.public_url.rstrip("/") or here


def local_path(target: str) -> str:
    """An address to go on to, if it is a path of this feed; else the queue's. Other sites are never gone on to."""
    plain = target.isascii() and target.isprintable() and len(target) < 1000
    return target if plain and target.startswith("/") and not target.startswith(("//", "/\\")) else "/queue"


def text_field(form: FormData, name: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    """The text that a user wrote into a field of a form, stripped.

    Args:
        form: the form.
        name: of the field; one that is missing is "".
        limit: longest text, in characters.

    Raises:
        FeedError: `invalid`: too long, or with control characters.
    """
    text = str(form.get(name, "")).replace("\r\n", "\n").strip()
    if len(text) > limit or any((ord(each) < 32 and each not in "\n\t") or ord(each) == 127 for each in text):
        raise FeedError(
            "invalid", f"the {name} is too long or holds control characters: write at most {limit} characters of text"
        )
    return text


def number_field(form: FormData, name: str, most: int) -> int:
    """The whole number in a field of a form.

    Args:
        form: the form.
        name: of the field.
        most: the largest number; the smallest is 0.

    Raises:
        FeedError: `invalid`: it is none.
    """
    text = str(form.get(name, "")).strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > most:
        raise FeedError("invalid", f"the field '{name}' is no number: write a whole number from 0 to {most}")
    return int(text)


def verdict_field(form: FormData) -> decisions.Verdict:
    """The verdict chosen in a form.

    Raises:
        FeedError: `invalid`: none is chosen.
    """
    chosen = str(form.get("decision", ""))
    found = next((each for each in decisions.VERDICTS if each == chosen), None)
    if found is None:
        raise FeedError("invalid", "no decision is chosen: choose one")
    return found


def existing_alerts(connection: Connection, ids: set[str]) -> set[str]:
    """Those of the ids that belong to alerts in the database."""
    return set(connection.scalars(select(AlertRow.id).where(AlertRow.id.in_(ids)))) if ids else set()
