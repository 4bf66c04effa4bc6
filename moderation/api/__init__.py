"""The API for programs, version 1, under `/api/v1`; its description is at `/api/v1/openapi.json`."""

from __future__ import annotations

from fastapi import APIRouter

from moderation.api import alerts, people


def router() -> APIRouter:
    """All routes of the API."""
    root = APIRouter(prefix="/api/v1", responses={400: {"model": None, "description": "unusable request"}})
    for each in (
        alerts.alerts_router,
        alerts.work_router,
        alerts.decisions_router,
        alerts.bulk_router,
        alerts.accounts_router,
        people.views_router,
        people.people_router,
        people.tokens_router,
        people.log_router,
        people.stream_router,
    ):
        root.include_router(each)
    return root
