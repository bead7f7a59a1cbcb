"""A picture from an address that a stranger gave, or the problem that he is told."""

from __future__ import annotations

from deployments.studio import problems
from deployments.studio.problems import Problem, ProblemError
from tasks.download.fetch import FetchLimits, fetch
from tasks.errors import FetchError
from tasks.settings import WebSettings


def fetch_picture(url: str, web: WebSettings) -> bytes:
    """The bytes at an http(s) address, as the server's options allow; raises `ProblemError`."""
    if web.fetch == "off":
        raise ProblemError(problems.NO_FETCHING)
    limits = FetchLimits(web.picture_bytes, web.fetch_seconds, reach=web.fetch, pictures_only=True)
    try:
        return fetch(url, limits)
    except FetchError as error:
        raise ProblemError(Problem(422, "address", str(error))) from None
