"""A picture from an address that a stranger gave, without letting him reach what he should not.

A host name is resolved once, every address of it is checked, and the connection is made to the very
address that was checked: a name that changes between check and use gains nothing. Each redirect
goes the same way. Proxies of the environment are not used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import httpcore
import httpx

from tasks.errors import QueryError

MAX_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}
TYPES = ("image/", "application/octet-stream", "binary/octet-stream")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.ip_network("64:ff9b:1::/48")


class FetchError(QueryError):
    """A picture's address may not be fetched, or gave no picture in time."""


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """What a fetch may cost and reach; `private` opens this machine and its networks."""

    max_bytes: int
    seconds: float
    private: bool = False


def fetch_picture(url: str, limits: FetchLimits) -> bytes:
    """The bytes at an http(s) address, following up to `MAX_REDIRECTS` redirects.

    Raises `FetchError`, whose text says nothing about what addresses are there.
    """
    deadline = time.monotonic() + limits.seconds
    backend = _CheckedBackend(deadline, limits.private)
    try:
        with httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=backend, http2=False
        ) as pool:
            for _ in range(MAX_REDIRECTS + 1):
                answer = _get(pool, _checked_url(url, limits.private), limits)
                if isinstance(answer, bytes):
                    return answer
                url = urljoin(url, answer)
    except FetchError:
        raise
    except (httpcore.TimeoutException, TimeoutError):
        raise FetchError(f"the address took longer than {limits.seconds:g} seconds") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError):
        raise FetchError("the address cannot be reached, or does not speak HTTP") from None
    raise FetchError(f"the address redirects more than {MAX_REDIRECTS} times")


def _checked_url(url: str, private: bool) -> httpcore.URL:
    """The address, if it is of a kind that is fetched at all."""
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise FetchError("the address has blanks or control characters in it")
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("this is not an http(s) address") from None
    if parsed.scheme not in PORTS or not parsed.host:
        raise FetchError("only http:// and https:// addresses are fetched")
    if parsed.userinfo:
        raise FetchError("addresses with a name or password are not fetched")
    port = parsed.port or PORTS[parsed.scheme]
    if not private and port != PORTS[parsed.scheme]:
        raise FetchError("only the usual ports (80 and 443) are fetched")
    return httpcore.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=port, target=parsed.raw_path
    )


def _get(pool: httpcore.ConnectionPool, url: httpcore.URL, limits: FetchLimits) -> bytes | str:
    """The body, or the address that an answer redirects to."""
    headers = [
        (b"Host", _host_header(url)),
        (b"User-Agent", b"muge-search"),
        (b"Accept", b"image/*"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    ]
    timeouts = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), limits.seconds)}
    with pool.stream("GET", url, headers=headers, extensions=timeouts) as response:
        said = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in (301, 302, 303, 307, 308):
            if b"location" not in said:
                raise FetchError("the address redirects to nowhere")
            return said[b"location"]
        if response.status != 200:
            raise FetchError(f"the address answers with HTTP status {response.status}")
        kind = said.get(b"content-type", "application/octet-stream").strip().lower()
        if not kind.startswith(TYPES):
            raise FetchError("the address gives something that is not a picture")
        return _body(response, limits.max_bytes)


def _body(response: httpcore.Response, max_bytes: int) -> bytes:
    content = bytearray()
    for chunk in response.iter_stream():
        content += chunk
        if len(content) > max_bytes:
            raise FetchError(f"the picture is larger than {max_bytes:,} bytes")
    return bytes(content)


def _host_header(url: httpcore.URL) -> bytes:
    host = b"[" + url.host + b"]" if b":" in url.host else url.host
    return host if url.port in PORTS.values() else host + b":%d" % (url.port or 0)


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only, and never reads beyond the deadline."""

    def __init__(self, deadline: float, private: bool) -> None:
        self._deadline = deadline
        self._private = private
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port)
        if not self._private and not all(is_public(address) for address in addresses):
            raise FetchError("addresses of this machine or a private network are not fetched")
        left = _left(self._deadline, timeout)
        return _DeadlineStream(self._real.connect_tcp(addresses[0], port, left), self._deadline)


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which all operations together end at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        secure = self._stream.start_tls(ssl_context, server_hostname, left)
        return _DeadlineStream(secure, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host name, at least one; `FetchError` if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError("the address has a host that cannot be found") from None
    return [str(item[4][0]) for item in found]


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet can reach.

    IPv4 addresses wrapped in IPv6 (mapped, 6to4, Teredo, NAT64) count as what they wrap.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        wrapped = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
        if ip in _NAT64:
            wrapped.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
        if any(inner is not None and not is_public(str(inner)) for inner in wrapped):
            return False
        if ip in _NAT64_LOCAL or ip.is_site_local:
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(left, timeout)
