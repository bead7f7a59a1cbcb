"""The page, its stylesheet and script, and the door for those who have the token."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from deployments.studio import problems
from deployments.studio.api.bodies import receive
from deployments.studio.asking import PageAsking
from deployments.studio.guard import COOKIE, Guard, client_of, language_of, logged_problem
from deployments.studio.judging import Judges
from deployments.studio.page import Shown, asset, render_search, render_token
from deployments.studio.problems import Problem, ProblemError
from deployments.studio.service import Service
from tasks.search.searcher import Answer

KINDS = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
MAX_FORM = 32768


def page_routes(service: Service, guard: Guard, judges: Judges) -> APIRouter:
    """Everything that browsers ask for; no part of the documented API."""
    pages = APIRouter(include_in_schema=False)

    @pages.get("/")
    async def page(request: Request) -> Response:
        asking, answer, beside, problem = PageAsking(), None, None, None
        try:
            asking = PageAsking.model_validate(dict(request.query_params))
            if not asking.is_empty:
                answer = await service.search(asking, client_of(request))
            if asking.other is not None:
                beside = await service.search(asking.other, client_of(request))
        except Exception as error:
            problem = logged_problem(error)
        shown = await _shown(service, request, asking, answer, problem)
        shown = replace(shown, offered=judges.offer(request), beside=beside)
        status = problem.status if problem else 200
        response = HTMLResponse(await service.quietly(lambda: render_search(shown)), status)
        if problem and problem.retry_after:
            response.headers["Retry-After"] = str(problem.retry_after)
        return response

    @pages.get("/static/{name}")
    async def static(name: str) -> Response:
        for kind, media_type in KINDS.items():
            known, content = asset(kind)
            if name == known:
                forever = {"Cache-Control": "public, max-age=31536000, immutable"}
                return Response(content, media_type=media_type, headers=forever)
        raise ProblemError(problems.NOT_FOUND)

    @pages.post("/token")
    async def token(request: Request) -> Response:
        content = await receive(request, MAX_FORM, service.web.body_seconds)
        said = parse_qs(content.decode("utf-8", "replace"))
        given, back = (said.get(name, [""])[0] for name in ("token", "back"))
        if not guard.is_token(given.encode()):
            page = render_token(language_of(request), wrong=True, back=back)
            return HTMLResponse(page, 401)
        # written anew, so that it can lead to no other place
        search = urlencode(parse_qsl(back))
        response = RedirectResponse(f".?{search}" if search else ".", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, guard.cookie(), httponly=True, samesite="strict", secure=secure)
        return response

    return pages


async def _shown(
    service: Service,
    request: Request,
    asking: PageAsking,
    answer: Answer | None,
    problem: Problem | None,
) -> Shown:
    usual = service.live.usual_alpha
    alpha = usual if asking.alpha is None else asking.alpha
    topk = service.settings.topk if asking.topk is None else asking.topk
    return Shown(
        asking=asking,
        language=language_of(request),
        said_language=request.query_params.get("lang") in ("zh", "en"),
        alpha=alpha,
        topk=min(topk, service.web.topk),
        usual=(usual, min(service.settings.topk, service.web.topk)),
        most=service.web.topk,
        count=service.live.count,
        examples=service.examples,
        gallery=() if answer or problem else service.gallery,
        answer=answer,
        problem=problem,
    )
