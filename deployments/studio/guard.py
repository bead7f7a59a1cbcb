"""What every request passes (host, rate, token) and every answer carries (headers, no traces)."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from deployments.studio import problems
from deployments.studio.limits import client_key
from deployments.studio.page import Language, render_problem, render_token
from deployments.studio.problems import Problem, problem_of, too_many
from deployments.studio.service import Service
from tasks.errors import MugeError

LOG = logging.getLogger("muge.web")
COOKIE = "muge_web"
OPEN_PATHS = ("/api/health", "/api/ready", "/token", "/static/")
UNCOUNTED = ("/api/health", "/api/ready", "/metrics", "/static/")
LANGUAGES = ("zh", "en")
MOST_ASKED = 8000  # characters of an address
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WEIGHT = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
_HOST = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^\s:\[\]@/?#]+))(:[0-9]{1,5})?")

Next = Callable[[Request], Awaitable[Response]]


class Guard:
    """Wraps every request of one server."""

    def __init__(self, service: Service) -> None:
        web = service.web
        self._service = service
        self._token = web.token.get_secret_value() if web.token else None
        named = tuple(name.strip().lower() for name in web.hosts.split(",") if name.strip())
        self._hosts = named or (LOOPBACK if web.host in LOOPBACK else ())
        self._headers = security_headers(web.frames, bool(web.origins.split()))

    async def __call__(self, request: Request, call_next: Next) -> Response:
        """The answer, whatever happens."""
        problem = self._refusal(request)
        if problem is not None:
            self._service.metrics.refused(problem.code)
            response = problem_response(request, problem)
        else:
            try:
                response = await call_next(request)
            except Exception as error:
                response = problem_response(request, logged_problem(error))
        for name, value in self._headers.items():
            response.headers.setdefault(name, value)
        route = getattr(request.scope.get("route"), "path", "other")
        self._service.metrics.answered(route, response.status_code)
        return response

    def is_token(self, given: bytes) -> bool:
        """Whether this is the token, as UTF-8."""
        return self._token is None or hmac.compare_digest(given, self._token.encode())

    def cookie(self) -> str:
        """What a browser keeps instead of the token."""
        return hmac.new((self._token or "").encode(), b"muge-web", hashlib.sha256).hexdigest()

    def _refusal(self, request: Request) -> Problem | None:
        path = request.url.path
        if self._hosts and host_name(request.headers.get("host", "")) not in self._hosts:
            return problems.WRONG_HOST
        if not path.startswith(UNCOUNTED):
            seconds = self._service.limiter.seconds_to_wait(client_of(request))
            if seconds:
                return too_many(seconds)
        if not path.startswith(OPEN_PATHS) and not self._may_enter(request):
            return problems.NO_TOKEN
        return None

    def _may_enter(self, request: Request) -> bool:
        if self._token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_token(given.strip().encode("latin-1")):
            return True
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self.cookie().encode())


def client_of(request: Request) -> str:
    """Who asks, as rates and queues know them."""
    return client_key(request.client.host) if request.client else "unknown"


def host_name(host: str) -> str:
    """The name in a Host header, without the port."""
    match = _HOST.fullmatch(host)
    return "" if match is None else (match["six"] or match["name"]).lower()


def security_headers(frames: str, shared: bool = False) -> dict[str, str]:
    """The same for every answer: only this server's own style, script and pictures; if it is
    `shared` with other sites, those may show its pictures."""
    ancestors = frames.strip() or "'none'"
    headers = {
        "Content-Security-Policy": (
            "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; "
            f"frame-ancestors {ancestors}"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "cross-origin" if shared else "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "Cache-Control": "no-store",
    }
    if not frames.strip():
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
    return headers


def logged_problem(error: Exception) -> Problem:
    """The problem an error means; the server's own failures go to its log, with a number."""
    problem = problem_of(error)
    if problem is None:
        number = secrets.token_hex(4)
        LOG.error("request failed, number %s", number, exc_info=error)
        return Problem(500, "internal", f"{problems.INTERNAL.message}: number {number}")
    if problem.status == 503 and isinstance(error, MugeError):
        LOG.warning("cannot search: %s", error)
    return problem


class _NotAgain(logging.Filter):
    """Keeps the same warning from filling the log, one line a request."""

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to say it."""
        said = record.getMessage()
        fresh = record.levelno >= logging.ERROR or said != self.last
        self.last = said
        return fresh


LOG.addFilter(_NotAgain())


def problem_response(request: Request, problem: Problem) -> Response:
    """The problem for a browser or for a program."""
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(problem.as_json(), problem.status, headers)
    language = language_of(request)
    if problem.status == 401:
        page = render_token(language, wrong=False, back=asked_for(request))
        return HTMLResponse(page, 401, headers)
    return HTMLResponse(render_problem(problem, language), problem.status, headers)


def asked_for(request: Request) -> str:
    """The search that somebody came for who must first give the token: what follows the "?"."""
    return request.url.query[:MOST_ASKED] if request.url.path == "/" else ""


def language_of(request: Request) -> Language:
    """The language that the address asks for, else the first that the browser wants of those that
    there are, else Chinese."""
    asked = request.query_params.get("lang")
    wanted = (asked, *_wanted(request.headers.get("accept-language", "")))
    return "en" if next((tag for tag in wanted if tag in LANGUAGES), "zh") == "en" else "zh"


def _wanted(languages: str) -> list[str]:
    """The languages of an Accept-Language header without their regions, the dearest first."""
    weighed = []
    for number, part in enumerate(languages[:200].split(",")):
        tag, _, weight = part.strip().partition(";")
        match = _WEIGHT.fullmatch(weight.strip())
        weighed.append((-float(match[1]) if match else -1.0, number, tag.lower().split("-")[0]))
    return [tag for weight, _, tag in sorted(weighed) if weight]
