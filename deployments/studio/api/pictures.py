"""Pictures that are searched with, and those of hits."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from deployments.studio import problems
from deployments.studio.api.answers import PictureAnswer, errors
from deployments.studio.api.bodies import receive, require_picture
from deployments.studio.guard import client_of
from deployments.studio.problems import ProblemError
from deployments.studio.service import Service, picture_of
from tasks.errors import QueryError
from tasks.search.answers import picture_kind

LARGE, MOST_SIDE = 1600, 2048


def picture_routes(service: Service) -> APIRouter:
    """The routes of pictures."""
    api = APIRouter()

    @api.post(
        "/api/pictures",
        responses=errors(408, 413, 415, 422),
        response_model=PictureAnswer,
        status_code=201,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("image/*", "application/octet-stream")
                },
            }
        },
    )
    async def upload(request: Request) -> PictureAnswer:
        """Send a picture's bytes as the body; search with the name that comes back."""
        require_picture(request)
        content = await receive(request, service.web.picture_bytes, service.web.body_seconds)
        return PictureAnswer(
            picture=await service.keep(content, client_of(request)), bytes=len(content)
        )

    @api.get(
        "/api/documents/{id}/picture",
        responses={
            **errors(404, 422),
            200: {"content": {kind: {} for kind in ("image/jpeg", "image/png", "image/webp")}},
        },
        response_class=Response,
    )
    async def picture(request: Request, id: Annotated[str, Path(max_length=64)]) -> Response:
        """The picture of a hit, as it was stored."""
        try:
            content = picture_of(await service.document(id, client_of(request)))
        except QueryError:
            raise ProblemError(problems.NOT_FOUND) from None
        return Response(content, media_type=picture_kind(content))

    @api.get(
        "/api/documents/{id}/original",
        responses={**errors(404, 422), 200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
    )
    async def original(
        request: Request,
        id: Annotated[str, Path(max_length=64)],
        side: Annotated[
            int, Query(ge=16, le=MOST_SIDE, description="Longest side, pixels.")
        ] = LARGE,
    ) -> Response:
        """The picture of a hit, drawn anew from where it came from, else the stored one."""
        try:
            content = await service.original(id, side, client_of(request))
        except QueryError:
            raise ProblemError(problems.NOT_FOUND) from None
        return Response(content, media_type=picture_kind(content))

    return api
