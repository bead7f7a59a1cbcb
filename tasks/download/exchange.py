"""One picture's address asked at a time by each thread, over connections that are kept.

Addresses are checked as `tasks.download.connection` says. Through a proxy of the environment only
what is written in them can be: the proxy finds the host, and is itself wherever the operator says.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from tasks.download.answers import Answer, Wanted
from tasks.download.connection import CheckedBackend, is_public
from tasks.download.fetch import PICTURES, REDIRECTS, FetchLimits, checked_address
from tasks.download.trust import trusted_context
from tasks.errors import FetchError, UsageError, reason_of
from tasks.work.rejects import payload_hash

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 20.0
HOSTS_KEPT = 64
"""Of so many hosts connections are kept while nobody uses them."""
DRAINED_BYTES = 64 << 10
"""Bodies that nobody wants are read up to so many bytes, so that the connection can be kept."""
LARGE_BYTES, LARGE_AT_ONCE = 4 << 20, 4
"""Of bodies beyond so many bytes only so many are in memory at the same time."""
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body")
_PACKED = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # what zlib recognises by its head


class Exchange:
    """Connections of many hosts, shared by threads; use as a context manager.

    `per_host` is how many connections a host has at most.
    """

    def __init__(self, limits: FetchLimits, per_host: int) -> None:
        self._limits = limits
        self._per_host = per_host
        self._ends = _Ends()
        self._trusted = trusted_context()
        self._proxies = getproxies()
        self._pools: OrderedDict[tuple[bytes, bytes, int | None], _Pool] = OrderedDict()
        self._lock = threading.Lock()
        self._large = threading.Semaphore(LARGE_AT_ONCE)

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for pool in self._pools.values():
                if not pool.users:
                    pool.connections.close()

    def ask(self, wanted: Wanted) -> Answer:
        """The answer of an address; never raises for what the other side does.

        Raises `UsageError` if a proxy of the environment cannot be used.
        """
        self._ends.begin(self._limits.seconds)
        try:
            return self._follow(wanted)
        except FetchError as error:
            return Answer(wanted.address, cause=error.code, reason=str(error))
        except (httpcore.TimeoutException, TimeoutError):
            seconds = self._limits.seconds
            said = f"the address timed out: silent too long, or not done in {seconds:g} seconds"
            return Answer(wanted.address, cause="too_slow", reason=said)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            said = f"the address cannot be reached, or broke off ({reason_of(error)})"
            return Answer(wanted.address, cause="unreachable", reason=said)

    def _follow(self, wanted: Wanted) -> Answer:
        url = checked_address(wanted.address, self._limits)
        for _ in range(self._limits.redirects + 1):
            with self._response(url, wanted) as response:
                headers = {k.lower(): v.decode("latin-1") for k, v in response.headers}
                if response.status not in REDIRECTS:
                    return self._answer(wanted, response, headers)
                place = headers.get(b"location")
                _drain(response, headers)
            if place is None:
                raise FetchError("redirects", "the address redirects to nowhere")
            url = checked_address(str(_joined(url, place)), self._limits)
        raise FetchError(
            "redirects", f"the address redirects more than {self._limits.redirects} times"
        )

    @contextmanager
    def _response(self, url: httpx.URL, wanted: Wanted) -> Iterator[httpcore.Response]:
        patience = self._limits.patience
        waits = {
            "connect": min(CONNECT_SECONDS, patience),
            "read": patience,
            "write": patience,
            "pool": self._limits.seconds,
        }
        request = httpcore.Request(
            b"GET",
            httpcore.URL(
                scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
            ),
            headers=_headers(url, wanted),
            extensions={"timeout": waits},
        )
        with self._pool(url) as connections:
            response = connections.handle_request(request)
            try:
                yield response
            finally:
                response.close()

    @contextmanager
    def _pool(self, url: httpx.URL) -> Iterator[httpcore.ConnectionPool]:
        """The connections to a host, while they are used; those of hosts that were not asked for
        long are closed when there are many."""
        key = (url.raw_scheme, url.raw_host, url.port)
        with self._lock:
            if key not in self._pools:
                self._pools[key] = _Pool(self._connections(url))
            pool = self._pools[key]
            pool.users += 1
            self._pools.move_to_end(key)
            idle = [key for key, pool in self._pools.items() if not pool.users]
            for old in idle[: max(0, len(self._pools) - HOSTS_KEPT)]:
                self._pools.pop(old).connections.close()
        try:
            yield pool.connections
        finally:
            with self._lock:
                pool.users -= 1

    def _connections(self, url: httpx.URL) -> httpcore.ConnectionPool:
        private = self._limits.reach == "private"
        proxy = self._proxy(url)
        options: dict[str, Any] = {
            "ssl_context": self._trusted,
            "max_connections": self._per_host,
            "max_keepalive_connections": self._per_host,
            "keepalive_expiry": IDLE_SECONDS,
        }
        if proxy is None:
            backend = CheckedBackend(self._ends.left, private)
            return httpcore.ConnectionPool(network_backend=backend, **options)
        if not private and _is_private(url.host):
            raise FetchError(
                "refused", "addresses of this machine or a private network are not fetched"
            )
        return _proxied(proxy, CheckedBackend(self._ends.left, private=True), options)

    def _proxy(self, url: httpx.URL) -> str | None:
        """The environment's proxy for an address; nothing of this machine goes through one."""
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not proxy or _is_loopback(url.host) or proxy_bypass(url.host):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _answer(
        self, wanted: Wanted, response: httpcore.Response, headers: Mapping[bytes, str]
    ) -> Answer:
        status = response.status
        if status == 304 and (wanted.etag or wanted.modified):
            _drain(response, headers)
            return Answer(wanted.address)
        if status != 200:
            _drain(response, headers)
            said = f"the address answers with status {status} (HTTP {status})"
            wait = _seconds(headers.get(b"retry-after", ""))
            return Answer(wanted.address, cause=str(status), reason=said, wait=wait)
        kind = headers.get(b"content-type", PICTURES[-1]).strip().lower()
        if not kind.startswith(PICTURES):
            raise FetchError("no_picture", f"the address gives {kind[:60]!r}, not a picture")
        content = self._body(response, headers)
        if content[:200].lstrip().lower().startswith(_MARKUP):
            raise FetchError("no_picture", "the address gives a page of HTML, not a picture")
        return Answer(
            wanted.address,
            content,
            payload_hash(content),
            headers.get(b"etag", ""),
            headers.get(b"last-modified", ""),
        )

    def _body(self, response: httpcore.Response, headers: Mapping[bytes, str]) -> bytes:
        declared = headers.get(b"content-length", "")
        if declared.isdigit() and int(declared) > self._limits.max_bytes:
            raise self._too_large()
        content, large = bytearray(), False
        try:
            for chunk in _unpacked(response, headers.get(b"content-encoding", "").lower()):
                content += chunk
                if len(content) > self._limits.max_bytes:
                    raise self._too_large()
                if len(content) > LARGE_BYTES and not large:
                    large = self._take_large()
        finally:
            if large:
                self._large.release()
        if not content:
            raise FetchError("no_picture", "the address gives nothing: 0 bytes")
        return bytes(content)

    def _take_large(self) -> bool:
        """Wait for a place among the large ones, which is none of the other side's time."""
        began = time.monotonic()
        self._large.acquire()
        self._ends.extend(time.monotonic() - began)
        return True

    def _too_large(self) -> FetchError:
        said = f"what the address gives is larger than {self._limits.max_bytes:,} bytes"
        return FetchError("too_large", said)


@dataclass
class _Pool:
    connections: httpcore.ConnectionPool
    users: int = 0


@dataclass
class _Ends:
    """When each thread's request must be over."""

    _here: threading.local = field(default_factory=threading.local)

    def begin(self, seconds: float) -> None:
        self._here.end = time.monotonic() + seconds

    def extend(self, seconds: float) -> None:
        self._here.end += seconds

    def left(self, timeout: float | None) -> float:
        left: float = self._here.end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if timeout is None else min(left, timeout)


def _headers(url: httpx.URL, wanted: Wanted) -> list[tuple[bytes, bytes]]:
    named = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": "muge-search",
        "Accept": "image/*,*/*;q=0.8",
        "Accept-Encoding": "identity",
        "If-None-Match": wanted.etag,
        "If-Modified-Since": "" if wanted.etag else wanted.modified,
    }
    return [(k.encode(), v.encode("latin-1", "replace")) for k, v in named.items() if v]


def _joined(url: httpx.URL, place: str) -> httpx.URL:
    try:
        return url.join(place)
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("redirects", "the address redirects to what is no address") from None


def _drain(response: httpcore.Response, headers: Mapping[bytes, str]) -> None:
    declared = "0" if response.status == 304 else headers.get(b"content-length", "")
    if declared.isdigit() and int(declared) <= DRAINED_BYTES:
        for _ in response.iter_stream():
            pass


def _unpacked(response: httpcore.Response, encoding: str) -> Iterator[bytes]:
    """The body in pieces; one that was packed, though nobody asked for that, unpacks in small
    ones."""
    if encoding in ("", "identity"):
        yield from response.iter_stream()
        return
    if encoding not in _PACKED:
        raise FetchError("no_picture", f"the address gives bytes packed as {encoding[:40]!r}")
    unpacking = zlib.decompressobj(_PACKED[encoding])
    try:
        for chunk in response.iter_stream():
            while chunk:
                yield unpacking.decompress(chunk, 1 << 20)
                chunk = unpacking.unconsumed_tail
    except zlib.error:
        raise FetchError("no_picture", "the address gives bytes that cannot be unpacked") from None
    if not unpacking.eof:
        raise FetchError("unreachable", "what the address gives broke off while it was packed")


def _proxied(
    proxy: str, backend: httpcore.NetworkBackend, options: dict[str, Any]
) -> httpcore.ConnectionPool:
    """Connections through a proxy; raises `UsageError` for one that cannot be used."""
    try:
        parsed = httpx.Proxy(proxy)
        url = httpcore.URL(str(parsed.url))
        kind = httpcore.SOCKSProxy if parsed.url.scheme.startswith("socks") else httpcore.HTTPProxy
        return kind(url, proxy_auth=parsed.raw_auth, network_backend=backend, **options)
    except (ValueError, RuntimeError, ImportError, httpx.InvalidURL) as error:
        raise UsageError(
            f"the environment's proxy {_shown(proxy)} cannot be used for downloads: "
            f"{reason_of(error)}; set HTTP_PROXY, HTTPS_PROXY or ALL_PROXY to another "
            f"one, or unset it"
        ) from None


def _shown(proxy: str) -> str:
    """A proxy's address without name and password."""
    begin, _, end = proxy.rpartition("@")
    return f"{begin.partition('://')[0]}://{end}" if begin else end


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _is_private(host: str) -> bool:
    """Whether the host as it is written is not one that anybody can reach."""
    try:
        return not is_public(str(ipaddress.ip_address(host)))
    except ValueError:
        pass
    try:  # "127.1" and "0x7f000001" are addresses too
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))
    except (OSError, UnicodeError):
        return _is_loopback(host)


def _seconds(said: str) -> float | None:
    """What Retry-After says, in seconds from now; None if it says nothing that can be read."""
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
