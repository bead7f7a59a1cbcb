"""The server: its routes, and how it starts and ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from deployments.studio import problems
from deployments.studio.api import api_routes
from deployments.studio.assistant import make_assistant, routes_of, sessions
from deployments.studio.guard import LOG, Guard, problem_response
from deployments.studio.judging import Judges
from deployments.studio.limits import BusyError
from deployments.studio.origins import origins_of
from deployments.studio.problems import Problem, invalid
from deployments.studio.routes import page_routes
from deployments.studio.service import Service
from tasks.context import Context
from tasks.errors import MugeError, reason_of
from tasks.settings import Settings, WebSettings

if TYPE_CHECKING:  # an extra
    from mcp.server.mcpserver import MCPServer


def make_app(context: Context, settings: Settings, web: WebSettings) -> FastAPI:
    """The application for one collection; it closes the stores of the context at its end."""
    service = Service(context, settings, web)
    assistant = make_assistant(service) if web.mcp else None
    guard, judges = Guard(service), Judges(service)
    app = FastAPI(
        title="muge-search",
        version="1",
        description="Search a collection of pictures by words, by a picture, or by both.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=partial(_running, service, assistant),
    )
    app.middleware("http")(guard)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=1)
    if origins := origins_of(web.origins):
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            max_age=600,
        )
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_problem)
    app.include_router(api_routes(service, judges))
    app.include_router(page_routes(service, guard, judges))
    if assistant is not None:
        app.router.routes += routes_of(assistant)
    app.state.service = service
    return app


@contextlib.asynccontextmanager
async def _running(
    service: Service, assistant: MCPServer[Any] | None, _: FastAPI
) -> AsyncIterator[None]:
    async with tended(service), sessions(assistant):
        yield


@contextlib.asynccontextmanager
async def tended(service: Service) -> AsyncIterator[None]:
    """The service, ready before anybody searches, and closed at the end."""
    tending = asyncio.create_task(_tend(service))
    try:
        yield
    finally:
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        service.close()


async def _tend(service: Service) -> None:
    """Load the model before anybody searches; later let go of a store that nobody uses."""
    while True:
        try:
            if service.live.count is None:
                await service.warm()
            await service.quietly(service.live.release_if_idle)
        except (MugeError, BusyError) as error:
            LOG.warning("cannot search: %s", error)
        except Exception as error:  # of a library: words are answered, and stores let go of
            LOG.warning("cannot load what pictures need: %s", reason_of(error))
        await asyncio.sleep(1)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(request, invalid(error.errors()))


async def _http_problem(request: Request, error: Exception) -> Response:
    """Starlette's own: no such address, or another method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem_response(request, problems.NOT_FOUND)
    said = Problem(error.status_code, "not_found", str(error.detail))
    response = problem_response(request, said)
    response.headers.update(error.headers or {})
    return response
