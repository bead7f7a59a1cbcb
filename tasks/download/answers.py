"""What is asked of the addresses of pictures, and what comes of that."""

from __future__ import annotations

from dataclasses import dataclass

Cause = str
"""Why an address gave no picture: an HTTP status as digits, or the code of a `FetchError`."""


_PASSING = ("407", "408", "425", "429")
"""A proxy that wants a name, timeouts, and too many requests."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address to ask; `etag` and `modified` are what it said of the bytes that are kept ("" if
    none are, or it said nothing)."""

    address: str
    etag: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an address: bytes with their BLAKE2b-128 in hex, nothing new (neither bytes nor
    `cause`), or why there are none. `wait` is how many seconds the server asks to be left alone."""

    address: str
    content: bytes | None = None
    hash: str = ""
    etag: str = ""
    modified: str = ""
    cause: Cause = ""
    reason: str = ""
    wait: float | None = None


def is_gone(cause: Cause) -> bool:
    """Whether the address says that it has no picture any more. Other answers may be about who
    asks, or when: what is kept of an address is worth more than they are."""
    return cause in ("404", "410")


def lasts(cause: Cause) -> bool:
    """Whether asking again would end in the same way, as far as can be known."""
    if cause.isdigit():
        return int(cause) < 500 and cause not in _PASSING
    return cause in ("no_picture", "too_large", "redirects", "refused")
