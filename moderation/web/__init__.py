"""The console: pages rendered by the server, made livelier by small scripts, and complete without them.

The modules `*_pages` hold the routes, `rendering` what they share. `view_models` and `evidence_views` turn rows and
records into what the templates show; `similarity` and `untrusted_text` help them. Those four know no database and no
request. Templates and static files lie beside them.
"""

from __future__ import annotations

from fastapi import APIRouter

from moderation.web import (
    action_pages,
    alert_pages,
    appeal_pages,
    blind_pages,
    history_pages,
    lab_pages,
    oidc_pages,
    queue_pages,
    result_pages,
    user_pages,
)
from moderation.web.error_pages import error_page
from moderation.web.resume import unsent_form
from moderation.web.user_pages import login_address, login_for

__all__ = ["error_page", "login_address", "login_for", "router", "unsent_form"]


def router() -> APIRouter:
    """All routes of the console."""
    root = APIRouter(include_in_schema=False)
    for module in (
        user_pages,
        oidc_pages,
        queue_pages,
        alert_pages,
        history_pages,
        action_pages,
        appeal_pages,
        blind_pages,
        result_pages,
        lab_pages,
    ):
        root.include_router(module.router)
    return root
