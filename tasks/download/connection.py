"""Connections to addresses that were checked, within a deadline.

A host name is resolved once, every address of it is checked, and the connection is made to the very
address that was checked: a name that changes between check and use gains nothing. Proxies of the
environment are not used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import httpcore
import httpx

from tasks.download.trust import trusted_context
from tasks.errors import FetchError

Left = Callable[[float | None], float]
"""How long the next wait may take, of so many seconds (None: any); raises `TimeoutError` at the
deadline."""

PRIVATE = "addresses of this machine or a private network are not fetched"

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
            *("192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",
            *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23"),
            *("2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7"),
            *("fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)
"""The special-purpose addresses of IANA's registries for IPv4 and IPv6 (2025-10), multicast, what
is reserved, and the address at which Azure's machines reach their own host. The standard library
knows most of them, and not the same ones in every version."""


class CheckedTransport(httpx.BaseTransport):
    """How a client connects: to this machine and its networks only if `private`, and never beyond
    the deadline (of `time.monotonic`, seconds)."""

    def __init__(self, deadline: float, *, private: bool) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted_context(),
            network_backend=CheckedBackend(partial(_left, deadline), private),
            http2=False,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body not read yet."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        answer = self._pool.handle_request(
            httpcore.Request(
                request.method, url, headers=request.headers.raw, extensions=request.extensions
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only (to all if `private`), and waits only as long as `left`
    says, in each thread for itself. `refusal` is said of the others."""

    def __init__(self, left: Left, private: bool, refusal: str = PRIVATE) -> None:
        self._left = left
        self._private = private
        self._refusal = refusal
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first address of the host that takes one; `FetchError` if any of them
        is not to be reached."""
        addresses = resolve(host, port)
        if not self._private and not all(is_public(address) for address in addresses):
            raise FetchError("refused", self._refusal)
        return _DeadlineStream(self._connected(addresses, port, timeout), self._left)

    def _connected(
        self, addresses: Sequence[str], port: int, timeout: float | None
    ) -> httpcore.NetworkStream:
        *others, last = addresses
        for address in others:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return self._real.connect_tcp(address, port, self._left(timeout))
        return self._real.connect_tcp(last, port, self._left(timeout))


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which all operations together end at the deadline. It is closed when nobody
    has it any more: a SOCKS proxy that refuses leaves it behind."""

    def __init__(self, stream: httpcore.NetworkStream, left: Left) -> None:
        self._stream = stream
        self._left = left
        self._dropped = weakref.finalize(self, stream.close)
        self._dropped.atexit = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        self._dropped.detach()
        return _DeadlineStream(secure, self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host name, at least one; `FetchError` if there is none."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FetchError("unreachable", "the address has a host that cannot be found") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


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
        if ip.ipv4_mapped is not None:
            return True
        if ip.teredo is not None:  # lies in 2001::/23
            return False
    if any(ip in network for network in _SPECIAL if network.version == ip.version):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(left, timeout)
