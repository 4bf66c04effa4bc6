"""The API for programs, version 1, under `/api/v1`; its OpenAPI description is at `/api/v1/openapi.json`.

Requests and answers are the models of `schemas`. Routes on alerts and decisions are in `alert_routes`, on policies and
actions in `action_routes`, on appeals in `appeal_routes`, on second looks and the blind sample in `second_look_routes`;
routes on users, their tokens and views, the audit log and live updates are in `user_routes`.
"""

from __future__ import annotations

from fastapi import APIRouter

from moderation.api import action_routes, alert_routes, appeal_routes, second_look_routes, user_routes


def router() -> APIRouter:
    """All routes of the API."""
    root = APIRouter(prefix="/api/v1", responses={400: {"model": None, "description": "unusable request"}})
    for module in (alert_routes, action_routes, appeal_routes, second_look_routes, user_routes):
        for each in module.routers:
            root.include_router(each)
    return root
