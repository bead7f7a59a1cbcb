"""What is sent to the API and from it as bytes."""

from __future__ import annotations

import asyncio

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from deployments.studio import problems
from deployments.studio.problems import ProblemError


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
