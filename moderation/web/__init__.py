"""The console: pages rendered here, made livelier by small scripts, and complete without them.

`models` makes what a page shows out of rows and records, without a database; the other modules are one page each.
"""

from __future__ import annotations

from fastapi import APIRouter

from moderation.web import pages, sign_in
from moderation.web.sign_in import login_address

__all__ = ["login_address", "router"]


def router() -> APIRouter:
    """All routes of the console."""
    root = APIRouter(include_in_schema=False)
    for module in (sign_in, pages):
        root.include_router(module.router)
    return root
