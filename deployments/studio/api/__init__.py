"""The JSON API: search, pictures, judgements, health, readiness, metrics."""

from __future__ import annotations

from fastapi import APIRouter

from deployments.studio.api.judgements import judgement_routes
from deployments.studio.api.pictures import picture_routes
from deployments.studio.api.search import search_routes
from deployments.studio.api.state import state_routes
from deployments.studio.judging import Judges
from deployments.studio.service import Service


def api_routes(service: Service, judges: Judges) -> APIRouter:
    """The routes under /api, and /metrics."""
    api = APIRouter(tags=["search"])
    api.include_router(search_routes(service))
    api.include_router(picture_routes(service))
    api.include_router(judgement_routes(service, judges))
    api.include_router(state_routes(service))
    return api
