"""A query's picture: bytes from a file or an http(s) address, within limits."""

from __future__ import annotations

import time
from pathlib import Path

from tasks.errors import QueryError

TIMEOUT_SECONDS = 15.0
MAX_REDIRECTS = 3


def read_picture(place: str, max_bytes: int) -> bytes:
    """The bytes of a picture file or URL; raises `QueryError` if they cannot be had."""
    if place.lower().startswith(("http://", "https://")):
        return _fetch(place, max_bytes)
    path = Path(place)
    try:
        size = path.stat().st_size
        if not path.is_file():  # a device or pipe may never end
            raise QueryError(f"picture {place!r} is not a file")
        if size > max_bytes:
            raise QueryError(f"picture {place!r} has {size} bytes, the limit is {max_bytes}")
        return path.read_bytes()
    except OSError as error:
        raise QueryError(f"picture {place!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise QueryError(f"picture {place!r} is no path: {error}") from None


def _fetch(url: str, max_bytes: int) -> bytes:
    import httpx

    content = bytearray()
    end = time.monotonic() + TIMEOUT_SECONDS
    try:
        with (
            httpx.Client(
                timeout=TIMEOUT_SECONDS, follow_redirects=True, max_redirects=MAX_REDIRECTS
            ) as client,
            client.stream("GET", url) as response,
        ):
            if not response.is_success:
                raise QueryError(f"picture {url} cannot be fetched: HTTP {response.status_code}")
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > max_bytes:
                    raise QueryError(f"picture {url} is larger than {max_bytes} bytes")
                if time.monotonic() > end:
                    raise QueryError(f"picture {url} took longer than {TIMEOUT_SECONDS:g} seconds")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        said = str(error) or type(error).__name__
        raise QueryError(f"picture {url} cannot be fetched: {said}") from None
    return bytes(content)
