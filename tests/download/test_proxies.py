"""Proxies of the environment: downloads go through them, what this machine asks itself does not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import requests

from flows.orchestration.origin import server_named
from tasks.download.fetch import FetchLimits, fetch
from tasks.download.loopback import keep_loopback_direct, spell_proxies, unusable_proxy
from tasks.errors import UsageError
from tasks.store.dashvector import sdk
from tests.servers.dashvector import DashVectorServer
from tests.servers.loopback import loopback_allowed

OWN = FetchLimits(max_bytes=1000, seconds=5.0, reach="environment")
VARIABLES = [
    name
    for each in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    for name in (each, each.upper())
]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\npicture"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # what a test sets is taken back with it
        monkeypatch.delenv(name)


class Handler(BaseHTTPRequestHandler):
    """A proxy, or a server: it notes what it is asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    handler = type("Noting", (Handler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port, asked
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def socks() -> Iterator[tuple[int, list[str]]]:
    """A SOCKS5 proxy (RFC 1928) that answers for every host itself."""
    asked: list[str] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, client.makefile("rb") as stream:
                methods = stream.read(2)[1]
                stream.read(methods)
                client.sendall(b"\5\0")
                kind = stream.read(4)[3]
                size = stream.read(1)[0] if kind == 3 else {1: 4, 4: 16}[kind]
                asked.append(stream.read(size).decode("latin-1"))
                stream.read(2)
                client.sendall(b"\5\0\0\1\0\0\0\0\0\0")
                while stream.readline().strip():
                    pass
                client.sendall(ANSWER)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], asked
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_downloads_go_through_a_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as (port, asked):
        monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        keep_loopback_direct()
        assert fetch("http://pictures.invalid/a.jpg", OWN) == b"picture"
    assert asked == ["http://pictures.invalid/a.jpg"]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
def test_downloads_go_through_socks(
    name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socks() as (port, asked):
        monkeypatch.setenv(name, f"{scheme}://127.0.0.1:{port}")
        keep_loopback_direct()
        assert fetch("http://pictures.invalid/a.jpg", OWN) == b"picture"
        if scheme == "socks5h":  # as the model hub's client does
            assert requests.get("http://hub.invalid/a", timeout=5).content == b"picture"
    assert asked == ["pictures.invalid", "hub.invalid"][: len(asked)]
    assert len(asked) == (2 if scheme == "socks5h" else 1)


@pytest.fixture
def dead_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:1")


@pytest.mark.usefixtures("dead_proxies")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_asked_straight(host: str) -> None:
    with serving() as (port, asked):
        url = f"http://{host}:{port}/a"
        with pytest.raises(httpx.TransportError):
            httpx.get(url)
        keep_loopback_direct()
        assert fetch(url, OWN) == httpx.get(url).content == b"picture"
        assert requests.get(url, timeout=5).content == b"picture"
    assert asked == ["/a"] * 3


@pytest.mark.usefixtures("dead_proxies")
def test_a_store_of_this_machine_is_asked_straight() -> None:
    with loopback_allowed(), DashVectorServer() as server:
        client = sdk.connect(server.api_key, server.endpoint, 5.0)
        assert client.code == 0, client.message


def test_a_proxy_as_desktops_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "SOCKS://127.0.0.1:7890/ ")
    with pytest.raises((ValueError, httpx.InvalidURL)):
        httpx.Client()
    spell_proxies()
    assert os.environ["ALL_PROXY"] == "socks5h://127.0.0.1:7890/"
    httpx.Client().close()
    assert unusable_proxy() is None


@pytest.mark.parametrize("proxy", ["socks4://127.0.0.1:1", "http://127.0.0.1:abc", "http://[::1"])
def test_a_proxy_that_no_client_can_be_made_of_is_one_line(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    spell_proxies()
    with pytest.raises(UsageError, match=r"the variable HTTPS_PROXY names .* or unset it"):  # noqa: SIM117
        with server_named():
            httpx.Client()


def test_what_the_environment_spares_stays_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intern.example, 10.0.0.0/8")
    monkeypatch.setenv("no_proxy", "localhost,*.corp")
    keep_loopback_direct()
    keep_loopback_direct()
    wanted = "localhost,*.corp,intern.example,10.0.0.0/8,127.0.0.1,::1"
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == wanted
