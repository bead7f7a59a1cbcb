"""A query's picture: bytes from a file or an http(s) address, within limits."""

from __future__ import annotations

from pathlib import Path

from tasks.download.fetch import FetchLimits, fetch
from tasks.errors import FetchError, InputFileError, QueryError
from tasks.opening import read_regular

TIMEOUT_SECONDS = 15.0


def read_picture(place: str, max_bytes: int) -> bytes:
    """The bytes of a picture file or URL; raises `QueryError` if they cannot be had."""
    if place.lower().startswith(("http://", "https://")):
        return _fetch(place, max_bytes)
    try:
        return read_regular(Path(place), max_bytes)
    except InputFileError as error:
        raise QueryError(f"picture {place!r} cannot be used: {error}") from None
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
