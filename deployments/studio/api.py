"""The JSON API: search, pictures, health, readiness, metrics."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from deployments.studio import problems
from deployments.studio.asking import Asking
from deployments.studio.guard import client_of
from deployments.studio.judging import MOST_BYTES, Judges, Judging
from deployments.studio.problems import ProblemError
from deployments.studio.service import Service, picture_of
from tasks.errors import QueryError
from tasks.judge.grades import grade
from tasks.judge.thumbs import lines_of
from tasks.records import FieldValue
from tasks.search.answers import picture_kind
from tasks.search.exported import as_csv, as_zip
from tasks.search.searcher import as_json

LARGE, MOST_SIDE = 1600, 2048


class ErrorText(BaseModel):
    """What went wrong."""

    code: str
    message: str


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: ErrorText


class AskedAnswer(BaseModel):
    """The question as it was understood."""

    text: str | None
    image: str | None
    alpha: float
    topk: int
    filter: str | None
    like: str | None = None
    skip: int = 0
    fusion: str | None = None
    text_weight: float | None = None
    alike: float | None = None


class HitAnswer(BaseModel):
    """A document found; dense and sparse are the weighted parts whose sum is the score."""

    id: str
    score: float
    dense: float
    sparse: float
    fields: dict[str, FieldValue]
    alike: list[str] | None = None


class DoubtAnswer(BaseModel):
    """Perhaps nothing fits: the best similarity (cosine) of a hit is below the threshold, which the
    best one of all but the share `refused` of the collection's own queries reaches."""

    best: float
    threshold: float
    refused: float


class SearchAnswer(BaseModel):
    """As `muge search --json` prints it; times in milliseconds."""

    query: AskedAnswer
    hits: list[HitAnswer]
    took_ms: dict[str, float]
    doubt: DoubtAnswer | None = None


class PictureAnswer(BaseModel):
    """The name under which an uploaded picture is kept for a while."""

    picture: str
    bytes: int


class JudgedAnswer(BaseModel):
    """A judgement as it was kept."""

    id: str
    time: str
    user: str
    query: str
    image: str
    grade: int


class StateAnswer(BaseModel):
    """How the server is."""

    status: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented failures of a route."""
    return {status: {"model": ErrorAnswer} for status in (*statuses, 401, 421, 429, 500, 503)}


def api_routes(service: Service, judges: Judges) -> APIRouter:
    """The routes under /api, and /metrics."""
    api = APIRouter(tags=["search"])

    @api.get("/api/search", responses=errors(410, 422), response_model=SearchAnswer)
    async def search(request: Request, asking: Annotated[Asking, Query()]) -> Response:
        """Pictures by words, by a picture, or by both (picture = meaning, words = keywords)."""
        answer = await service.search(asking, client_of(request))
        # the model above documents it; validating 100 hits again would double the time
        return JSONResponse(as_json(answer))

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

    @api.post(
        "/api/judgements",
        tags=["judgements"],
        responses=errors(403, 404, 408, 413, 415, 422),
        response_model=JudgedAnswer,
        status_code=201,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": Judging.model_json_schema()}},
            }
        },
    )
    async def judge(request: Request) -> JudgedAnswer:
        """Say of a hit whether it fits what was asked, or take that back; the last counts."""
        judges.check_sent(request)
        content = await receive(request, MOST_BYTES, service.web.body_seconds)
        kept = await judges.keep(Judging.model_validate_json(content), request)
        return JudgedAnswer(**kept.model_dump(include=set(JudgedAnswer.model_fields)))

    @api.get(
        "/api/judgements",
        tags=["judgements"],
        responses={**errors(403), 200: {"content": {"application/jsonl": {}}}},
        response_class=Response,
    )
    async def judgements() -> Response:
        """Every judgement, one JSON object a line, the oldest first."""
        judges.check()
        lines = await service.quietly(lambda: lines_of(judges.read()))
        return attached(lines.encode(), "application/jsonl", "judgements.jsonl")

    @api.get(
        "/api/judgements.qrels",
        tags=["judgements"],
        responses={**errors(403), 200: {"content": {"text/plain": {}}}},
        response_class=Response,
    )
    async def qrels() -> Response:
        """What the judgements come to, as TREC qrels: 1 fits, 0 does not."""
        judges.check()
        lines = await service.quietly(lambda: [f"{n}\n" for n in grade(judges.read()).qrels()])
        return attached("".join(lines).encode(), "text/plain", "judgements.qrels")

    @api.get("/api/health", tags=["state"])
    async def health() -> StateAnswer:
        """The process runs."""
        return StateAnswer(status="ok")

    @api.get("/api/ready", tags=["state"], responses={503: {"model": ErrorAnswer}})
    async def ready() -> StateAnswer:
        """The collection can be searched and the model is loaded."""
        if not await service.quietly(service.live.is_ready):
            raise ProblemError(problems.NOT_READY)
        return StateAnswer(status="ready")

    @api.get("/metrics", tags=["state"], response_class=Response, responses=errors())
    async def metrics() -> Response:
        """Counters in Prometheus' text form."""
        return Response(service.metrics.page(), media_type="text/plain; version=0.0.4")

    return api


def attached(content: bytes, kind: str, name: str) -> Response:
    """A file that a browser keeps."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)


def require_picture(request: Request) -> None:
    """Raise the problem if something else is sent."""
    kind = request.headers.get("content-type", "").lower()
    if not kind.startswith(("image/", "application/octet-stream")):
        raise ProblemError(problems.WRONG_TYPE)


async def receive(request: Request, max_bytes: int, seconds: float) -> bytes:
    """The body of a request, never more than `max_bytes` of it, in `seconds`."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said[:20]) > max_bytes:
        raise ProblemError(problems.TOO_LARGE)
    content = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > max_bytes:
                    raise ProblemError(problems.TOO_LARGE)
    except (TimeoutError, ClientDisconnect):
        raise ProblemError(problems.TOO_SLOW) from None
    return bytes(content)
