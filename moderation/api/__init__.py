"""The API for programs, version 1, under `/api/v1`; its description is at `/api/v1/openapi.json`."""

from __future__ import annotations

from fastapi import APIRouter

from moderation.api import accounts, alerts, bulk, decisions, log, people, stream, tokens, views, work


def router() -> APIRouter:
    """All routes of the API."""
    root = APIRouter(prefix="/api/v1", responses={400: {"model": None, "description": "unusable request"}})
    for module in (alerts, work, decisions, bulk, accounts, views, people, tokens, log, stream):
        root.include_router(module.router)
    return root
