"""Thumbs on hits, taken and given."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from deployments.studio.api.answers import JudgedAnswer, errors
from deployments.studio.api.bodies import attached, receive
from deployments.studio.judging import MOST_BYTES, Judges, Judging
from deployments.studio.service import Service
from tasks.judge.grades import grade
from tasks.judge.thumbs import lines_of


def judgement_routes(service: Service, judges: Judges) -> APIRouter:
    """The routes of judgements."""
    api = APIRouter()

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

    return api
