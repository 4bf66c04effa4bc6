"""Runs of the policy lab: their list, and each one's report."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from fastapi import Path as PathParameter
from starlette.responses import Response

from moderation.auth import SignedIn
from moderation.lab_runs import NAME, lab_report, lab_runs
from moderation.web.rendering import page

router = APIRouter()

REPORT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""A report brings its styles along and nothing else; whatever stands in the folder, no script of it runs."""


@router.get("/lab")
def show_runs(context: SignedIn) -> Response:
    """The runs, the newest first, each with what it says in short."""
    context.actor.require("read")
    folder = context.services.settings.lab_runs
    return page(context, "lab.html", runs=lab_runs(folder), named=folder is not None)


@router.get("/lab/{name}")
def show_report(context: SignedIn, name: Annotated[str, PathParameter(pattern=f"^{NAME.pattern}$")]) -> Response:
    """The report of a run, as `swarmlight lab run` wrote it.

    Args:
        context: of the request.
        name: of the run.
    """
    context.actor.require("read")
    body = lab_report(context.services.settings.lab_runs, name)
    return Response(body, media_type="text/html; charset=utf-8", headers={"content-security-policy": REPORT_POLICY})
