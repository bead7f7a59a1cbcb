"""A server of pictures that behaves in many ways, for tests and benchmarks: real HTTP on loopback.

`/good/N.png` is toy picture N; other paths behave badly, each in the way that it is called. It
answers on 127.0.0.1 and on every other address of loopback, and counts what it was asked.
"""

from __future__ import annotations

import gzip
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.toys import toy_picture

GIGABYTE = 1 << 30
SLOW_SECONDS = 0.05


class Handler(BaseHTTPRequestHandler):
    """The first part of a path names the behaviour, the rest is free."""

    protocol_version = "HTTP/1.1"
    server: PictureServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if self.path.startswith("http"):
            path = f"/proxied{path}"
        with self.server.counting:
            self.server.asked[path] += 1
            self.server.connections.add(self.client_address)
            self.server.active.add(self.client_address)
            self.server.most = max(self.server.most, len(self.server.active))
        try:
            _, kind, *rest = path.split("/")
            kind = unquote(kind)
            getattr(self, f"do_{kind.replace('-', '_')}")("/".join(rest))
        finally:
            self.answered()

    def answered(self) -> None:
        """Before the client can know it: it may ask the next at once."""
        with self.server.counting:
            self.server.active.discard(self.client_address)

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304 and "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.answered()
        self.end_headers()
        self.wfile.write(body)

    def picture(self, rest: str, **headers: str) -> None:
        body = toy_picture(int(rest.split(".")[0]) + self.server.version)
        self.give(200, body, Content_Type="image/png", **headers)

    def do_good(self, rest: str) -> None:
        if self.server.delay:
            time.sleep(self.server.delay)
        self.picture(rest)

    def do_proxied(self, rest: str) -> None:
        self.picture(rest.split("/")[-1])

    def do_tagged(self, rest: str) -> None:
        tag = f'"{self.server.version}"'
        if self.headers.get("If-None-Match") == tag:
            with self.server.counting:
                self.server.unchanged += 1
            self.give(304, ETag=tag)
        else:
            self.picture(rest, ETag=tag)

    def do_retagged(self, rest: str) -> None:
        """A picture that stays as it is, while its ETag changes."""
        tag = f'"{self.server.version}"'
        if self.headers.get("If-None-Match") == tag:
            self.give(304)
        else:
            self.give(200, toy_picture(int(rest.split(".")[0])), ETag=tag)

    def do_dated(self, rest: str) -> None:
        date = f"Mon, 0{1 + self.server.version} Jan 2024 00:00:00 GMT"
        if self.headers.get("If-Modified-Since") == date:
            with self.server.counting:
                self.server.unchanged += 1
            self.give(304)
        else:
            self.picture(rest, Last_Modified=date)

    def do_status(self, rest: str) -> None:
        self.give(int(rest.split("/")[0]), b"no")

    def do_page(self, _: str) -> None:
        self.give(200, b"<html>not a picture", Content_Type="text/html; charset=utf-8")

    def do_page_as_picture(self, _: str) -> None:
        self.give(200, b"\n<!DOCTYPE html><title>", Content_Type="image/jpeg")

    def do_text_as_picture(self, rest: str) -> None:
        self.give(200, unquote(rest).encode(), Content_Type="image/jpeg")

    def do_as(self, rest: str) -> None:
        """`/as/text+plain/br/7.png` is picture 7, of which the headers say other things."""
        kind, encoding, name = rest.split("/")
        body = toy_picture(int(name.split(".")[0]))
        said = {"Content_Type": kind.replace("+", "/"), "Content_Encoding": encoding}
        self.give(200, body, **said)

    def do_broken_off(self, rest: str) -> None:
        """`/broken-off/404/x` breaks off in the body of its answer, which nobody wants."""
        self.give(int(rest.split("/")[0]), b"no", Content_Length="1000", Location="/good/7.png")
        self.close_connection = True

    def do_nothing(self, _: str) -> None:
        self.give(200, b"", Content_Type="image/png")

    def do_hop(self, rest: str) -> None:
        """`/hop/3/x` leads to a picture by three redirects."""
        left = int(rest.split("/")[0])
        self.give(302, b"on", Location=f"/hop/{left - 1}/x" if left > 1 else "/good/7.png")

    def do_to(self, rest: str) -> None:
        """`/to/127.0.0.2` leads to a picture of another host."""
        self.give(302, Location=f"http://{rest}:{self.server.server_address[1]}/good/7.png")

    def do_on(self, rest: str) -> None:
        """`/on/AA` leads to what these bytes, percent-encoded, say."""
        self.give(302, Location=unquote(rest, "latin-1"))

    def do_图片(self, rest: str) -> None:
        self.picture(rest)

    def do_to_file(self, _: str) -> None:
        self.give(302, Location="file:///etc/passwd")

    def do_large(self, _: str) -> None:
        self.give(200, b"\x89PNG", Content_Type="image/png", Content_Length=str(4 * GIGABYTE))
        self.close_connection = True

    def do_endless(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
        for _piece in range(4 * GIGABYTE >> 16):
            self.wfile.write(piece)
            self.server.sent += 1 << 16

    def do_drip(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", "100000")
        self.end_headers()
        for _byte in range(200):
            self.wfile.write(b"x")
            time.sleep(SLOW_SECONDS)

    def do_silent(self, _: str) -> None:
        self.server.stopped.wait(10)
        self.close_connection = True

    def do_busy(self, rest: str) -> None:
        """`/busy/429/2/0/5.png` answers twice with 429 and Retry-After 0, then with picture 5."""
        status, times, wait, name = rest.split("/")
        if self.server.asked[urlsplit(self.path).path] > int(times):
            self.picture(name)
        else:
            self.give(int(status), Retry_After=wait)

    def do_flaky(self, rest: str) -> None:
        """The first time the connection is reset in the middle of the body."""
        if self.server.asked[urlsplit(self.path).path] > 1:
            self.picture(rest)
        else:
            self.cut(rest)

    def do_reset(self, rest: str) -> None:
        self.cut(rest)

    def cut(self, rest: str) -> None:
        body = toy_picture(int(rest.split(".")[0]))
        self.give(
            200, body[: len(body) // 2], Content_Type="image/png", Content_Length=str(len(body))
        )
        self.wfile.flush()
        self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def do_packed(self, rest: str) -> None:
        body = gzip.compress(toy_picture(int(rest.split(".")[0])))
        self.give(200, body, Content_Type="image/png", Content_Encoding="gzip")

    def do_bomb(self, _: str) -> None:
        body = gzip.compress(bytes(8 << 20), 1)
        self.give(200, body, Content_Type="image/png", Content_Encoding="gzip")

    def do_short(self, rest: str) -> None:
        """More is declared than comes."""
        body = toy_picture(int(rest.split(".")[0]))
        self.give(200, body, Content_Type="image/png", Content_Length=str(len(body) + 10))
        self.close_connection = True

    def do_nonsense(self, _: str) -> None:
        self.wfile.write(b"SSH-2.0-hello\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


class PictureServer(ThreadingHTTPServer):
    """`asked` counts requests by path, `unchanged` those that were answered with 304; `version`
    changes all pictures, `delay` is seconds before each good one; `most` were asked at the same
    time."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.connections: set[Any] = set()
        self.counting = threading.Lock()
        self.stopped = threading.Event()
        self.active: set[tuple[str, int]] = set()
        self.most = self.unchanged = self.sent = self.version = 0
        self.delay = 0.0

        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def handle_error(self, *_: object) -> None:
        """Clients that break off are what is tested."""


@contextmanager
def picture_server() -> Iterator[PictureServer]:
    """A server of pictures that runs while the block does."""
    with PictureServer() as server, serving(server):
        yield server


@contextmanager
def serving(server: PictureServer) -> Iterator[None]:
    """Let a server that was made answer while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.stopped.set()
        server.shutdown()
        thread.join()
