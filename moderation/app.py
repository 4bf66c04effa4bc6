"""The web service: routes, guard and errors put together around `Services`."""

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
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from detector.errors import FeedError
from moderation import api, outbox, web
from moderation.api.models import Refusal
from moderation.auth import Parts, services_of
from moderation.security import Guard
from moderation.services import Services
from moderation.web.pages import error_page

log = logging.getLogger(__name__)

STATUS: Final = {
    "invalid": 400, "login": 401, "forbidden": 403, "not_found": 404, "conflict": 409, "too_large": 413,
    "limited": 429,
}  # fmt: skip

STATIC: Final = Path(__file__).with_name("static")


def create_app(services: Services) -> FastAPI:
    """The application; background loops are started and stopped with it."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.hub.start()
        for loop in (services.feedback, services.ingest):
            if loop is not None:
                loop.start()
        yield
        await services.hub.stop()
        for loop in (services.ingest, services.feedback):
            if loop is not None:
                loop.stop()

    app = FastAPI(
        title="Swarmlight moderator feed",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
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
    _add_errors(app)
    app.add_middleware(Guard)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    def live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/readyz", include_in_schema=False)
    def ready(services: Parts) -> JSONResponse:
        problems = services.problems()
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    @app.get("/metrics", include_in_schema=False)
    def metrics(request: Request, services: Parts) -> Response:
        with suppress(SQLAlchemyError), services.database.read() as connection:
            services.metrics.unsent(outbox.pending(connection))
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(services.metrics.registry), headers={"content-type": kind})


def _add_errors(app: FastAPI) -> None:
    def answer(request: Request, code: str, message: str, status: int) -> Response:
        services = services_of(request)
        services.metrics.refusal(code)
        if request.url.path.startswith("/api/"):
            headers = {"www-authenticate": "Bearer"} if status == 401 else None
            return JSONResponse({"error": {"code": code, "message": message}}, status, headers)
        if status == 401 and request.method == "GET":
            return RedirectResponse(web.login_address(request), 303)
        return error_page(request, services, status, message)

    @app.exception_handler(FeedError)
    def refused(request: Request, error: FeedError) -> Response:
        return answer(request, error.code, str(error), STATUS.get(error.code, 400))

    @app.exception_handler(RequestValidationError)
    def unusable(request: Request, error: RequestValidationError) -> Response:
        # What was sent is not repeated: only which field, of those we know, and what is wrong with it.
        where = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])[:100]}: {each['msg'][:200]}" for each in error.errors()[:5]
        )
        return answer(request, "invalid", where.encode("ascii", "backslashreplace").decode(), 422)

    @app.exception_handler(HTTPException)
    def plain(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "invalid", 400: "invalid"}.get(error.status_code, "invalid")
        words = {404: "there is nothing at this address", 405: "this address does not take such a request"}
        message = words.get(error.status_code, "the request cannot be read")
        response = answer(request, code, message, error.status_code)
        for name, value in (error.headers or {}).items():
            response.headers[name] = value
        return response

    @app.exception_handler(Exception)
    def broken(request: Request, error: Exception) -> Response:
        log.error("a request failed", exc_info=error)
        return answer(request, "failure", "something went wrong here; it was noted", 500)
