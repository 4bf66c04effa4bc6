"""Renders templates. Everything in them is escaped, unless nothing at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from moderation import words
from moderation.hostile import short, visible
from moderation.roles import Actor
from moderation.services import Services

TEMPLATES: Final = Path(__file__).parent.parent / "templates"


def environment() -> Environment:
    """Templates with autoescape on for every file, and an error for every name that was not given."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"visible": visible, "short": short, "when": words.when, "span": words.span}
    made.globals |= {
        "words": words,
        "counted": words.counted,
    }
    return made


_environment: Final = environment()


def page(
    request: Request, services: Services, template: str, actor: Actor | None, status: int = 200, **model: Any
) -> HTMLResponse:
    """A page. Every template has `actor` (None: nobody is logged in), `now` (ms), `path` and `notice`."""
    rendered = _environment.get_template(template).render(
        actor=actor,
        now=services.now(),
        path=request.url.path,
        notice=NOTICES.get(request.query_params.get("done", "")),
        **model,
    )
    return HTMLResponse(rendered.encode("utf-8", "backslashreplace"), status)


NOTICES: Final = {
    "claimed": "It is yours for 15 minutes; while you need longer, renew the claim.",
    "released": "Given back to the queue.",
    "assigned": "Assigned.",
    "snoozed": "Put off.",
    "woken": "Back in the queue.",
    "escalated": "Handed to the leads.",
    "handed_back": "Handed back to the moderators.",
    "decided": "Decided, and told to the system. You can take it back below.",
    "undone": "Taken back.",
    "reported": "Thank you: the account is reported.",
    "saved": "View saved.",
    "removed": "Removed.",
    "nothing": "Nothing is waiting that nobody has.",
    "changed": "Changed.",
    "password": "Your password is changed. Log in with the new one.",
}
"""What a page says about what was just done, by the word in its address."""
