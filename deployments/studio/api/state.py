"""Health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from deployments.studio import problems
from deployments.studio.api.answers import ErrorAnswer, StateAnswer, errors
from deployments.studio.problems import ProblemError
from deployments.studio.service import Service


def state_routes(service: Service) -> APIRouter:
    """The routes about the server itself."""
    api = APIRouter()

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
