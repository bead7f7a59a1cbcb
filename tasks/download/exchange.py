"""One picture's address asked at a time by each thread, over connections that are kept.

Addresses are checked as `tasks.download.connection` says. Through a proxy of the environment only
what is written in them can be: the proxy finds the host, and is itself wherever the operator says.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import socket
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote_from_bytes
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
from socksio.exceptions import SOCKSError

from tasks.download.answers import Answer, Wanted
from tasks.download.connection import PRIVATE, CheckedBackend, is_public
from tasks.download.fetch import PICTURES, REDIRECTS, FetchLimits, checked_address
from tasks.download.loopback import spelled_proxy
from tasks.download.trust import VARIABLE, trusted_context
from tasks.errors import FetchError, UsageError, reason_of
from tasks.seal import payload_hash
from tasks.signatures import PEEKED_BYTES, signature

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 20.0
HOSTS_KEPT = 64
"""Of so many hosts connections are kept while nobody uses them."""
DRAINED_BYTES = 64 << 10
"""Bodies that nobody wants are read up to so many bytes, so that the connection can be kept."""
LARGE_BYTES, LARGE_AT_ONCE = 4 << 20, 4
"""Of bodies beyond so many bytes only so many are in memory at the same time."""
_TEXTS = (b"<", b"{", b"[", b"\xef\xbb\xbf")
"""How pages, XML and JSON begin, and no picture that can be decoded."""
_ALLOWED = f"{PRIVATE}; MUGE_DOWNLOAD_PRIVATE=1 allows them"
_PRINTABLE = bytes(range(33, 127)).decode()
_PLAIN = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(/[A-Za-z0-9/._~!$&'()*+,;=:@%-]*(?:\?[A-Za-z0-9/._~!$&'()*+,;=:@%?-]*)?|)"
)
"""Most addresses: what needs no further look, and is sent as it is."""
_MARK = re.compile(r"[!-~](?:[ -~]{0,1000}[!-~])?")
"""What an address said of its picture, as far as it is sent back: servers refuse long headers, and
what is not ASCII."""
HEADERS = (
    (b"User-Agent", b"muge-search"),
    (b"Accept", b"image/*,*/*;q=0.8"),
    (b"Accept-Encoding", b"identity"),
)
_PACKED = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # what zlib recognises by its head


class Exchange:
    """Connections to many hosts, shared by threads; use as a context manager.

    A connection is one thread's while it asks, and then waits for any thread that asks the same
    host. (The pool of httpcore looks through all connections at every turn, which takes longer than
    the request itself where there are many.)
    """

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        patience = limits.patience
        self._waits = {
            "connect": min(CONNECT_SECONDS, patience),
            "read": patience,
            "write": patience,
        }
        self._ends = _Ends()
        self._trusted = trusted_context()
        self._proxies = getproxies()
        self._makers: dict[str, httpcore.ConnectionPool] = {}
        self._idle: OrderedDict[str, list[httpcore.ConnectionInterface]] = OrderedDict()
        self._lock = threading.Lock()
        self._large = threading.Semaphore(LARGE_AT_ONCE)

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()

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
        except (httpcore.ProxyError, SOCKSError) as error:
            said = f"the environment's proxy gives no connection to its host ({reason_of(error)})"
            return Answer(wanted.address, cause="unreachable", reason=said)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
            said = f"the address cannot be reached, or broke off ({reason_of(error)})"
            if "CERTIFICATE_VERIFY_FAILED" in said:
                said += f"; {VARIABLE} names a file of roots (PEM) that are trusted"
            return Answer(wanted.address, cause="unreachable", reason=said)

    def _follow(self, wanted: Wanted) -> Answer:
        place = _placed(wanted.address, self._limits)
        for _ in range(self._limits.redirects + 1):
            connection = self._take(place.origin) or self._connect(place)
            try:
                response = connection.handle_request(self._request(place, wanted))
                with closing(response):
                    headers = {name.lower(): value for name, value in response.headers}
                    if response.status not in REDIRECTS:
                        answer = self._answer(wanted, response, headers)
                    else:
                        answer = None
                        _drain(response, headers)
            except BaseException:
                connection.close()
                raise
            self._give_back(place.origin, connection)
            if answer is not None:
                return answer
            if b"location" not in headers:
                raise FetchError("redirects", "the address redirects to nowhere")
            place = _placed(_joined(place, _location(headers[b"location"])), self._limits)
        raise FetchError(
            "redirects", f"the address redirects more than {self._limits.redirects} times"
        )

    def _request(self, place: _Place, wanted: Wanted) -> httpcore.Request:
        headers = [(b"Host", place.netloc), *HEADERS]
        if _MARK.fullmatch(wanted.etag):
            headers.append((b"If-None-Match", wanted.etag.encode()))
        elif _MARK.fullmatch(wanted.modified):
            headers.append((b"If-Modified-Since", wanted.modified.encode()))
        return httpcore.Request(
            b"GET", place.url, headers=headers, extensions={"timeout": self._waits}
        )

    def _take(self, origin: str) -> httpcore.ConnectionInterface | None:
        """A connection to a host that waits and is still open."""
        while True:
            with self._lock:
                waiting = self._idle.get(origin)
                if not waiting:
                    return None
                connection = waiting.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            connection.close()

    def _give_back(self, origin: str, connection: httpcore.ConnectionInterface) -> None:
        """Let others have a connection; those to hosts that were not asked for long are closed."""
        old: list[httpcore.ConnectionInterface] = []
        if connection.is_idle():
            with self._lock:
                self._idle.setdefault(origin, []).append(connection)
                self._idle.move_to_end(origin)
                if len(self._idle) > HOSTS_KEPT:
                    old = self._idle.popitem(last=False)[1]
        for each in old:
            each.close()

    def _connect(self, place: _Place) -> httpcore.ConnectionInterface:
        private = self._limits.reach == "private"
        proxy = self._proxy(place.scheme, place.host)
        if proxy and not private and _is_private(place.host):
            raise FetchError("refused", _ALLOWED)
        with self._lock:
            if proxy not in self._makers:
                self._makers[proxy] = self._maker(proxy, private)
            return self._makers[proxy].create_connection(place.url.origin)

    def _maker(self, proxy: str, private: bool) -> httpcore.ConnectionPool:
        """What makes connections: directly to checked addresses, or through a proxy."""
        options: dict[str, Any] = {
            "ssl_context": self._trusted,
            "keepalive_expiry": IDLE_SECONDS,
            "network_backend": CheckedBackend(self._ends.left, private or bool(proxy), _ALLOWED),
        }
        return _proxied(proxy, options) if proxy else httpcore.ConnectionPool(**options)

    def _proxy(self, scheme: str, host: str) -> str:
        """The environment's proxy for a host, "" if there is none; nothing of this machine goes
        through one."""
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        if not proxy or _is_loopback(host) or proxy_bypass(host):
            return ""
        proxy = spelled_proxy(proxy)
        return proxy if "://" in proxy else f"http://{proxy}"

    def _answer(
        self, wanted: Wanted, response: httpcore.Response, headers: Mapping[bytes, bytes]
    ) -> Answer:
        status = response.status
        if status == 304 and (wanted.etag or wanted.modified):
            _drain(response, headers)
            return Answer(wanted.address)
        if status != 200:
            _drain(response, headers)
            said = f"the address answers with status {status} (HTTP {status})"
            wait = _seconds(_said(headers, b"retry-after"))
            return Answer(wanted.address, cause=str(status), reason=said, wait=wait)
        content = self._body(response, headers)
        if content[:200].lstrip().startswith(_TEXTS):
            raise FetchError(
                "no_picture", "the address gives a page of HTML or other text, not a picture"
            )
        return Answer(
            wanted.address,
            content,
            payload_hash(content),
            _said(headers, b"etag"),
            _said(headers, b"last-modified"),
        )

    def _body(self, response: httpcore.Response, headers: Mapping[bytes, bytes]) -> bytes:
        declared = _said(headers, b"content-length")
        if declared.isdigit() and int(declared) > self._limits.max_bytes:
            raise self._too_large()
        content, large = bytearray(), False
        try:
            for chunk in _pieces(response, headers):
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


@dataclass(frozen=True, slots=True)
class _Place:
    """An address taken apart."""

    scheme: str
    host: str
    netloc: bytes
    url: httpcore.URL

    @property
    def origin(self) -> str:
        """Equal ones share connections."""
        return f"{self.scheme}://{self.netloc.decode()}"


def _placed(address: str, limits: FetchLimits) -> _Place:
    """An address that may be asked, as far as that can be told from it; raises `FetchError`."""
    if plain := _PLAIN.fullmatch(address):
        scheme, host, port, path = plain.groups()
        netloc = f"{host}:{port}" if port else host
        target = (path if path.startswith("/") else f"/{path}").encode()
        url = httpcore.URL(
            scheme=scheme.encode(), host=host.encode(), port=int(port or 0) or None, target=target
        )
        return _Place(scheme, host, netloc.encode(), url)
    parsed = checked_address(_without_blanks(address), limits)
    url = httpcore.URL(
        scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path
    )
    return _Place(parsed.scheme, parsed.host, parsed.netloc, url)


def _without_blanks(address: str) -> str:
    """Blanks behind the host as browsers send them."""
    scheme, colon, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{colon}{host}{slash}{path.replace(' ', '%20')}"


def _joined(place: _Place, location: str) -> str:
    """Where a redirect leads."""
    target = place.url.target.decode("ascii")
    try:
        return str(httpx.URL(f"{place.origin}{target}").join(location))
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise FetchError("redirects", "the address redirects to what is no address") from None


def _said(headers: Mapping[bytes, bytes], name: bytes, otherwise: str = "") -> str:
    return headers[name].decode("latin-1") if name in headers else otherwise


def _location(said: bytes) -> str:
    """Where a redirect leads, as it is meant: in UTF-8, or in bytes that are sent as they are."""
    try:
        return said.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(said, _PRINTABLE)


def _drain(response: httpcore.Response, headers: Mapping[bytes, bytes]) -> None:
    """Read what nobody wants; that it breaks off costs the connection, and not the answer."""
    declared = "0" if response.status == 304 else _said(headers, b"content-length")
    if not declared.isdigit() or int(declared) > DRAINED_BYTES:
        return
    broken = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError)
    with suppress(*broken):
        for _ in response.iter_stream():
            pass


def _pieces(response: httpcore.Response, headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """The body. Where it begins as a picture does, it is one as it comes, whatever its headers say:
    many a server takes pictures for text, or says that they are packed. Raises `FetchError`."""
    stream = response.iter_stream()
    begin = b""
    while len(begin) < PEEKED_BYTES and (piece := next(stream, b"")):
        begin += piece
    if signature(begin) is None:
        kind = _said(headers, b"content-type").strip().lower() or PICTURES[-1]
        if not kind.startswith(PICTURES):
            raise FetchError("no_picture", f"the address gives {kind[:60]!r}, not a picture")
        encoding = _said(headers, b"content-encoding").strip().lower()
        if encoding not in ("", "identity"):
            yield from _unpacked(itertools.chain((begin,), stream), encoding)
            return
    yield begin
    yield from stream


def _unpacked(stream: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """What was packed, though nobody asked for that, in small pieces."""
    if encoding not in _PACKED:
        raise FetchError("no_picture", f"the address gives bytes packed as {encoding[:40]!r}")
    unpacking = zlib.decompressobj(_PACKED[encoding])
    try:
        for chunk in stream:
            while chunk:
                yield unpacking.decompress(chunk, 1 << 20)
                chunk = unpacking.unconsumed_tail
    except zlib.error:
        raise FetchError("no_picture", "the address gives bytes that cannot be unpacked") from None
    if not unpacking.eof:
        raise FetchError("unreachable", "what the address gives broke off while it was packed")


def _proxied(proxy: str, options: dict[str, Any]) -> httpcore.ConnectionPool:
    """Connections through a proxy; raises `UsageError` for one that cannot be used."""
    try:
        parsed = httpx.Proxy(proxy)
        url = httpcore.URL(str(parsed.url))
        kind = httpcore.SOCKSProxy if parsed.url.scheme.startswith("socks") else httpcore.HTTPProxy
        return kind(url, proxy_auth=parsed.raw_auth, **options)
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
        name = host.rstrip(".")
        return name == "localhost" or name.endswith(".localhost")


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
    if said.isascii() and said.strip().isdigit():
        return float(said)
    try:
        when = parsedate_to_datetime(said)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
