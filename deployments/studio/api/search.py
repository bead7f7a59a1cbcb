"""Searches, as JSON, as a table and with pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from deployments.studio.api.answers import SearchAnswer, errors
from deployments.studio.api.bodies import attached
from deployments.studio.asking import Asking
from deployments.studio.guard import client_of
from deployments.studio.service import Service
from tasks.search.exported import as_csv, as_zip
from tasks.search.searcher import as_json


def search_routes(service: Service) -> APIRouter:
    """The routes of searches."""
    api = APIRouter()

    @api.get("/api/search", responses=errors(410, 422), response_model=SearchAnswer)
    async def search(request: Request, asking: Annotated[Asking, Query()]) -> Response:
        """Pictures by words, by a picture, or by both (picture = meaning, words = keywords)."""
        answer = await service.search(asking, client_of(request))
        # the model above documents it; validating 100 hits again would double the time
        return JSONResponse(as_json(answer))

    @api.get(
        "/api/search.csv",
        responses={**errors(410, 422), 200: {"content": {"text/csv": {}}}},
        response_class=Response,
    )
    async def table(request: Request, asking: Annotated[Asking, Query()]) -> Response:
        """The hits as a table, a row each."""
        answer = await service.search(asking, client_of(request))
        return attached(await service.quietly(lambda: as_csv(answer)), "text/csv", "results.csv")

    @api.get(
        "/api/search.zip",
        responses={**errors(410, 422), 200: {"content": {"application/zip": {}}}},
        response_class=Response,
    )
    async def packed(request: Request, asking: Annotated[Asking, Query()]) -> Response:
        """The hits as a table, with the pictures that they carry."""
        answer = await service.search(asking, client_of(request))
        packed = await service.quietly(lambda: as_zip(answer))
        return attached(packed, "application/zip", "results.zip")

    return api
