"""Why a hub's client gave nothing: one line that says what to do, without secrets."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from tasks.download.trust import trust_in_requests
from tasks.errors import HubError, reason_of

REACH_SECONDS = 5.0
_CREDENTIALS = re.compile(r"//[^/@\s]+@")
_FILE = re.compile(r"/resolve/[^/]+/(?P<file>[^?]+)")
_ADVICE = (" for url: ", " This is usually ", " For more information check: ")
"""Where a client's remarks on tokens, options and protocols begin."""
_SAID = {
    401: "there is no such model, or it is private or gated: check the name, and set {token} to a "
    "token that may read it",
    403: "whoever asks may not read it: ask for access on its page, and set {token}",
    404: "there is no such model or revision, or it is private: check the name, or set {token}",
    429: "too much was asked of the hub: wait some minutes and run the same command again",
}
_SAID_OF_FILE = {**_SAID, 404: "the hub lists it and does not have it"}
_OF_THE_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.ENOENT, errno.EISDIR),
}
_TROUBLE = "the hub has trouble of its own: run the same command again later"
_NO_ANSWERS = (ValueError, KeyError, TypeError, AttributeError)
"""What clients raise of answers that are none: pages, other JSON."""


@dataclass(frozen=True, slots=True)
class Variables:
    """Where a client reads its token, its hub's address and the place of its cache from."""

    token: str
    endpoint: str
    cache: str


def refusal(error: BaseException, names: Variables) -> str:
    """Why a client failed: of several files, why the first did."""
    failed = getattr(error, "failed_files", None)
    if failed:
        file, cause = next(iter(failed.items()))
        return without_secrets(f"{file}: {_said(cause, _SAID_OF_FILE, names)}", names.token)
    asked = _FILE.search(str(getattr(getattr(error, "response", None), "url", "")))
    said = _said(error, _SAID_OF_FILE if asked else _SAID, names)
    return without_secrets(f"{unquote(asked['file'])}: {said}" if asked else said, names.token)


def without_secrets(text: str, token: str = "") -> str:
    """A text without the names and passwords of addresses in it, and without a variable's value."""
    secret = os.environ.get(token, "").strip()
    return _CREDENTIALS.sub("//", text.replace(secret, "***") if secret else text)


def check_reached(endpoint: str) -> None:
    """Raise `HubError` if nobody answers at an address; whatever is answered is an answer."""
    import requests

    trust_in_requests()
    try:
        requests.head(endpoint, timeout=REACH_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        shown = without_secrets(endpoint)
        raise HubError(f"{shown} cannot be reached ({type(error).__name__})") from None


def _said(error: BaseException, by_status: dict[int, str], names: Variables) -> str:
    status = _status(error)
    if status is not None:
        name = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        said = by_status.get(status, _TROUBLE if status >= 500 else "the hub refuses")
        return f"{said.format(token=names.token)}: {status} {name}".rstrip()
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        place = f" ({error.filename})" if error.filename else ""
        return (
            f"its cache cannot be written: {error.strerror}{place}; make room for it, or name "
            f"another place in {names.cache}"
        )
    reason = f"{type(error).__name__}: {reason_of(error)}"
    for advice in _ADVICE:
        reason = reason.partition(advice)[0]
    if isinstance(error, UnicodeEncodeError):
        return f"{names.token} holds a character that no token has"
    if isinstance(error, _NO_ANSWERS):
        return (
            f"what answers is no hub ({reason}): see whether {names.endpoint} is right, and "
            f"whether a page to sign in at lies between"
        )
    return reason


def _status(error: Any) -> int | None:
    said = getattr(error, "status_code", None)
    if said is None:
        said = getattr(getattr(error, "response", None), "status_code", None)
    return said if isinstance(said, int) and said >= 400 else None
