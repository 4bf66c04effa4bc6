"""The web service: the routes of API and console, health and metrics, error pages, and the background loops."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from detector.errors import FeedError
from moderation import action_loop, api, outbox, web
from moderation.api.schemas import Refusal
from moderation.auth import FeedServices, services_of
from moderation.middleware import Guard
from moderation.services import Services
from moderation.web.rendering import STATUS

log = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parent / "web" / "static"


def create_app(services: Services) -> FastAPI:
    """The application around `services`; it starts and stops their background loops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.hub.start()
        for loop in services.loops:
            loop.start()
        yield
        await services.hub.stop()
        # Alerts first: their end takes a moment, and decisions made meanwhile are still sent.
        for loop in reversed(services.loops):
            loop.stop()

    app = FastAPI(
        title="Swarmlight moderator feed",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        # An address with a slash too many is none: the way on would name this process's own scheme and host.
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = services
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Refusal, "description": code.replace("_", " ")} for code, status in STATUS.items()
    }
    app.include_router(api.router(), responses=refusals)
    app.include_router(web.router())
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _add_health(app)
    _add_error_handlers(app)
    app.add_middleware(Guard)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/readyz", include_in_schema=False)
    def ready(services: FeedServices) -> JSONResponse:
        problems = services.problems()
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    @app.get("/metrics", include_in_schema=False)
    def metrics(request: Request, services: FeedServices) -> Response:
        with suppress(SQLAlchemyError), services.database.read() as connection:
            services.metrics.unsent(outbox.count_unsent(connection))
            services.metrics.actions(**action_loop.count_open(connection))
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(services.metrics.registry), headers={"content-type": kind})


def _add_error_handlers(app: FastAPI) -> None:
    """Answer errors with JSON under `/api/`, with a page elsewhere, with the login form to who is not known."""

    async def answer(request: Request, code: str, message: str, status: int) -> Response:
        services = services_of(request)
        services.metrics.refusal(code)
        if request.url.path.startswith("/api/"):
            headers = {"www-authenticate": "Bearer"} if status == 401 else None
            return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
        if status == 401 and request.method == "GET":
            return RedirectResponse(web.login_address(request), 303)
        unsent = await web.unsent_form(request)
        if status == 401 and unsent is not None:
            return await run_in_threadpool(web.login_for, request, services, unsent)
        return await run_in_threadpool(web.error_page, request, services, status, code, message, unsent)

    @app.exception_handler(FeedError)
    async def refused(request: Request, error: FeedError) -> Response:
        return await answer(request, error.code, str(error), STATUS.get(error.code, 400))

    @app.exception_handler(RequestValidationError)
    async def unusable(request: Request, error: RequestValidationError) -> Response:
        # What was sent is not repeated: only which of the known fields is wrong, and why.
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])[:100]}: {each['msg'][:200]}" for each in error.errors()[:5]
        )
        return await answer(request, "invalid", problems.encode("ascii", "backslashreplace").decode(), 422)

    @app.exception_handler(HTTPException)
    async def refused_by_framework(request: Request, error: HTTPException) -> Response:
        code = "not_found" if error.status_code == 404 else "invalid"
        messages = {
            404: "there is nothing at this address: check it, or go back to the queue",
            405: "this address does not take a request of this method",
        }
        message = messages.get(error.status_code, "the request cannot be read: check its body and its content type")
        response = await answer(request, code, message, error.status_code)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        log.error("a request to the feed failed; the error is in the code", exc_info=error)
        return await answer(
            request, "failure", "something went wrong in the feed: its log has the reason, try again later", 500
        )
