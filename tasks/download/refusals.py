"""Why a hub's client gave nothing: one line that says what to do, without secrets."""

from __future__ import annotations

import os
import re
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
_TROUBLE = "the hub has trouble of its own: run the same command again later"
_NO_ANSWERS = (ValueError, KeyError, TypeError, AttributeError)
"""What clients raise of answers that are none: pages, other JSON."""


def refusal(error: BaseException, token: str, endpoint: str) -> str:
    """Why a client failed: of several files, why the first did. `token` and `endpoint` are the
    variables that its token and address are read from."""
    failed = getattr(error, "failed_files", None)
    if failed:
        file, cause = next(iter(failed.items()))
        return without_secrets(f"{file}: {_said(cause, _SAID_OF_FILE, token, endpoint)}", token)
    asked = _FILE.search(str(getattr(getattr(error, "response", None), "url", "")))
    said = _said(error, _SAID_OF_FILE if asked else _SAID, token, endpoint)
    return without_secrets(f"{unquote(asked['file'])}: {said}" if asked else said, token)


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


def _said(error: BaseException, by_status: dict[int, str], token: str, endpoint: str) -> str:
    status = _status(error)
    if status is not None:
        name = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        said = by_status.get(status, _TROUBLE if status >= 500 else "the hub refuses")
        return f"{said.format(token=token)}: {status} {name}".rstrip()
    reason = f"{type(error).__name__}: {reason_of(error)}"
    for advice in _ADVICE:
        reason = reason.partition(advice)[0]
    if isinstance(error, UnicodeEncodeError):
        return f"{token} holds a character that no token has"
    if isinstance(error, _NO_ANSWERS):
        return (
            f"what answers is no hub ({reason}): see whether {endpoint} is right, and whether a "
            f"page to sign in at lies between"
        )
    return reason


def _status(error: Any) -> int | None:
    said = getattr(error, "status_code", None)
    if said is None:
        said = getattr(getattr(error, "response", None), "status_code", None)
    return said if isinstance(said, int) and said >= 400 else None
