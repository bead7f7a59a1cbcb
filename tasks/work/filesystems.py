"""Which file system a URL means, with fresh listings and errors in one line."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from tasks.errors import StorageError, UsageError, reason_of

EXTRAS = {"s3": "s3", "s3a": "s3", "oss": "oss"}
"""The optional extra of this project that a URL's scheme needs."""

_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "oss2", "requests")


def open_filesystem(url: str) -> tuple[Any, str]:
    """The fsspec file system of a path or URL, and the path in it.

    Listings are never cached: other machines write to the same place. Raises `UsageError` if the
    extra for it is not installed, OSError or ValueError if it is no URL that fsspec knows.
    """
    scheme = url.partition("://")[0]
    options = {} if scheme == "oss" else {"use_listings_cache": False}
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        if extra is None:
            raise
        raise UsageError(
            f"{url} needs the extra [{extra}]: pip install 'muge-search[{extra}]' ({error})"
        ) from None
    if scheme == "oss" and not isinstance(filesystem.dircache, _NoListings):
        filesystem.dircache = _NoListings()
    return filesystem, str(root)


class _NoListings:
    """In the place of ossfs's cache of listings: each is there for the one reading that follows
    its writing in the same thread, without which ossfs fails, and then gone."""

    def __init__(self) -> None:
        self._written = threading.local()

    def __setitem__(self, path: str, listing: object) -> None:
        self._written.last = path, listing

    def __getitem__(self, path: str) -> object:
        last = getattr(self._written, "last", None)
        self._written.last = None
        if last is None or last[0] != path:
            raise KeyError(path)
        return last[1]

    def __contains__(self, path: object) -> bool:
        return False

    def pop(self, path: str, default: object = None) -> object:
        """Nothing is kept that could be taken."""
        return default

    def clear(self) -> None:
        """Nothing is kept."""


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Raise `StorageError` for what a storage library raises beside `OSError`: credentials are
    missing, or nobody answers. `doing` opens the message."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] not in _LIBRARIES:
            raise
        unknown = "Credentials" in type(error).__name__
        raise StorageError(
            f"{doing}: {reason_of(error)}; check the storage's endpoint and credentials"
            " (s3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; oss: OSS_ENDPOINT "
            "and FSSPEC_OSS_KEY, FSSPEC_OSS_SECRET)",
            may_pass=not unknown,
        ) from error
