"""The bytes at an http(s) address, within limits of size, time, redirects and reach."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tasks.errors import FetchError, reason_of

if TYPE_CHECKING:
    import httpx

PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
PICTURES = ("image/", "application/octet-stream", "binary/octet-stream")
STRANGERS_HEADERS = {
    "User-Agent": "muge-search",
    "Accept-Encoding": "identity",  # what is packed could unpack to any size
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may cost and reach.

    `seconds` are for all of it, `silence_seconds` (None: as many) for each wait for the other side.
    `reach` says whose address it is. `public`: a stranger's, and only the usual ports (`any_port`:
    all) of hosts that anybody on the internet can reach. `private`: a stranger's, this machine and
    its networks too.
    `environment`: the operator's own, fetched as his tools would: a name and password in it and the
    environment's proxies are used, packed content is unpacked. Of strangers' addresses, `seconds`
    end even a server that sends a byte at a time, and messages say nothing about what is there.
    """

    max_bytes: int
    seconds: float
    silence_seconds: float | None = None
    redirects: int = 3
    https_only: bool = False
    reach: Literal["public", "private", "environment"] = "public"
    pictures_only: bool = False
    any_port: bool = False

    @property
    def patience(self) -> float:
        """Seconds of one wait."""
        return min(self.seconds, self.silence_seconds or self.seconds)


def fetch(url: str, limits: FetchLimits) -> bytes:
    """The bytes at an http(s) address; each redirect is held to the same limits.

    Raises `FetchError`, with one of these codes: `refused`, `too_large`, `too_slow`, `redirects`,
    `status`, `no_picture`, `unreachable`.
    """
    import httpcore  # slow to load, and most runs fetch nothing
    import httpx

    deadline = time.monotonic() + limits.seconds
    try:
        with _client(limits, deadline) as client:
            for _ in range(limits.redirects + 1):
                with client.stream("GET", checked_address(url, limits)) as response:
                    if response.next_request is None:
                        return _body(response, limits, deadline)
                    url = str(response.next_request.url)
    except (httpx.TimeoutException, httpcore.TimeoutException, TimeoutError):
        raise FetchError(
            "too_slow", f"the address timed out: it took longer than {limits.patience:g} seconds"
        ) from None
    except (
        *(httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError),
    ) as error:
        why = f" ({reason_of(error)})" if limits.reach == "environment" else ""
        raise FetchError(
            "unreachable", f"the address cannot be reached, or does not speak HTTP{why}"
        ) from None
    raise FetchError(
        "redirects",
        f"the address redirects more than {limits.redirects} times, which is too often "
        f"(these are the maximum allowed redirects)",
    )


def _client(limits: FetchLimits, deadline: float) -> httpx.Client:
    import httpx

    if limits.reach == "environment":
        from tasks.download.trust import trusted_context

        return httpx.Client(timeout=limits.patience, verify=trusted_context())
    from tasks.download.connection import CheckedTransport

    return httpx.Client(
        transport=CheckedTransport(deadline, private=limits.reach == "private"),
        headers={**STRANGERS_HEADERS, "Accept": "image/*" if limits.pictures_only else "*/*"},
        timeout=limits.patience,
        trust_env=False,
    )


def checked_address(url: str, limits: FetchLimits) -> httpx.URL:
    """The address, if it is of a kind that is fetched at all; raises `FetchError`."""
    import httpx

    own = limits.reach == "environment"
    if not own and any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise FetchError("refused", "the address has blanks or control characters in it")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("refused", "this is not an http(s) address") from None
    if limits.https_only and parsed.scheme != "https":
        raise FetchError("refused", f"it leads to {url}, which is not https")
    if parsed.scheme not in PORTS or not parsed.host:
        raise FetchError(
            "refused", "only http:// and https:// addresses are fetched, by no other protocol"
        )
    if parsed.userinfo and not own:
        raise FetchError("refused", "addresses with a name or password are not fetched")
    usual = PORTS[parsed.scheme]
    if parsed.port is not None and not 0 < parsed.port < 1 << 16:
        raise FetchError("refused", f"there is no port {parsed.port}")
    bound = limits.reach == "public" and not limits.any_port
    if bound and (parsed.port or usual) != usual:
        raise FetchError("refused", "only the usual ports (80 and 443) are fetched")
    return parsed


def _body(response: httpx.Response, limits: FetchLimits, deadline: float) -> bytes:
    if response.status_code in REDIRECTS:
        raise FetchError("redirects", "the address redirects to nowhere")
    if not response.is_success:
        status = response.status_code
        raise FetchError("status", f"the address answers with status {status} (HTTP {status})")
    kind = response.headers.get("content-type", PICTURES[-1]).strip().lower()
    if limits.pictures_only and not kind.startswith(PICTURES):
        raise FetchError("no_picture", "the address gives something that is not a picture")
    content = bytearray()
    for chunk in _chunks(response, limits):
        content += chunk
        if len(content) > limits.max_bytes:
            raise FetchError(
                "too_large", f"what the address gives is larger than {limits.max_bytes:,} bytes"
            )
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(content)


def _chunks(response: httpx.Response, limits: FetchLimits) -> Iterator[bytes]:
    return response.iter_bytes() if limits.reach == "environment" else response.iter_raw()
