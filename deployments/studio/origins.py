"""Other sites whose scripts may use the API, as browsers name them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from tasks.errors import UsageError

ALL = "*"
USUAL = {"http": 80, "https": 443}
_HOST = re.compile("[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")


def origins_of(said: str) -> list[str]:
    """The origins of `MUGE_WEB_ORIGINS`, spelled as browsers send them; `*` is all of them.

    Raises `UsageError` for one that no browser would ever send, or that every page could.
    """
    return [each if each == ALL else _origin(each) for each in said.split()]


def _origin(said: str) -> str:
    try:
        parts = urlsplit(said)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError:  # a bracket that is not closed, a port that is none, a label that is none
        raise _refused(said) from None
    beside = parts.username, parts.password, parts.path.strip("/"), parts.query, parts.fragment
    if parts.scheme not in USUAL or any(beside) or not _HOST.fullmatch(host):
        raise _refused(said)
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + ("" if port in (None, USUAL[parts.scheme]) else f":{port}")


def _refused(said: str) -> UsageError:
    return UsageError(
        f"MUGE_WEB_ORIGINS has {said[:80]!r}, expected sites by blanks, such as "
        "https://shop.example or http://127.0.0.1:8000, without a path; *: all"
    )
