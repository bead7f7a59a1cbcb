"""A query's picture: bytes from a file or an http(s) address, within limits."""

from __future__ import annotations

from pathlib import Path

from tasks.download.fetch import FetchLimits, fetch
from tasks.errors import FetchError, QueryError

TIMEOUT_SECONDS = 15.0


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
    limits = FetchLimits(max_bytes, TIMEOUT_SECONDS, reach="environment")
    try:
        return fetch(url, limits)
    except FetchError as error:
        if error.code == "too_large":
            raise QueryError(f"picture {url} is larger than {max_bytes} bytes") from None
        raise QueryError(f"picture {url} cannot be fetched: {error}") from None
