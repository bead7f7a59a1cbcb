"""Fetching an address, a stranger's above all: real servers on loopback that behave badly."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from tasks.download import connection
from tasks.download import fetch as fetching
from tasks.download.connection import is_public
from tasks.download.fetch import FetchLimits, fetch
from tasks.errors import FetchError

PICTURE = b"\x89PNG and so on"
OPEN = FetchLimits(max_bytes=1000, seconds=30.0, reach="private", pictures_only=True)
CLOSED = replace(OPEN, reach="public")
OWN = FetchLimits(max_bytes=1000, seconds=300.0, reach="environment")
HASTY = replace(OPEN, seconds=1.0)


class Handler(BaseHTTPRequestHandler):
    """Each path is one way of behaving."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.headers['Host']}{self.path}")
        getattr(self, "do_" + urlsplit(self.path).path.strip("/").replace("-", "_"))()

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_good(self) -> None:
        self.send(200, PICTURE, Content_Type="image/png")

    def do_packed(self) -> None:
        self.send(200, gzip.compress(PICTURE), Content_Type="image/png", Content_Encoding="gzip")

    def do_login(self) -> None:
        self.send(200, self.headers.get("Authorization", "").encode(), Content_Type="image/png")

    def do_page(self) -> None:
        self.send(200, b"<html>", Content_Type="text/html")

    def do_gone(self) -> None:
        self.send(404)

    def do_large(self) -> None:
        self.send(200, b"x" * 1001, Content_Type="image/png")

    def do_round(self) -> None:
        self.send(302, Location="/round")

    def do_there(self) -> None:
        self.send(302, Location="/good")

    def do_elsewhere(self) -> None:
        self.send(302, Location=f"http://127.0.0.2:{self.connection.getsockname()[1]}/good")

    def do_file(self) -> None:
        self.send(302, Location="file:///etc/passwd")

    def do_nowhere(self) -> None:
        self.send(302)

    def do_drip(self) -> None:
        self.send(200, Content_Type="image/png")
        for _ in range(200):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)

    def do_slow_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(200):
            self.wfile.write(b"X-%d: y\r\n" % number)
            self.wfile.flush()
            time.sleep(0.1)

    def do_nonsense(self) -> None:
        self.wfile.write(b"SSH-2.0-hello\r\n")

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def handle(self) -> None:
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


Requests = list[str]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Requests]]:
    """The address of a server, and what it was asked."""
    asked: Requests = []
    handler = type("Recording", (Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/good", "/there"])
def test_a_picture(path: str, site: tuple[str, Requests]) -> None:
    assert fetch(site[0] + path, OPEN) == PICTURE


BAD = {
    "/page": "not a picture",
    "/gone": "status 404",
    "/large": "larger than 1,000 bytes",
    "/round": "redirects more than 3",
    "/file": "only http",
    "/nowhere": "to nowhere",
    "/drip": "longer than 1 seconds",
    "/slow-headers": "longer than 1 seconds",
    "/nonsense": "does not speak HTTP",
}


@pytest.mark.parametrize("path", BAD)
def test_bad_answers(path: str, site: tuple[str, Requests]) -> None:
    start = time.monotonic()
    with pytest.raises(FetchError, match=BAD[path]):
        fetch(site[0] + path, HASTY if "longer than" in BAD[path] else OPEN)
    assert time.monotonic() - start < 15


PRIVATE = [
    "127.0.0.1 127.8.9.1 0.0.0.0 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1",
    "192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255",
    "::1 :: fe80::1 fe80::1%lo fc00::1 fec0::1 ff02::1 2001:db8::1 ::127.0.0.1",
    "168.63.129.16 192.88.99.1 192.0.0.9 192.0.0.170 203.0.113.7 3fff::1 3fff:fff::1 5f00::1",
    "2001:20::1 100::1 ::ffff:168.63.129.16 64:ff9b::a83f:8110 2002:a83f:8110::1",
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1::1",
]


@pytest.mark.parametrize("address", " ".join(PRIVATE).split())
def test_private_addresses(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


SPELLINGS = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://１２７.0.0.1/",
    "http://0/",
    "http://[::1]/",
    "http://[::ffff:7f00:1]/",
    "http://localhost/",
    "http://LOCALHOST/",
    "https://127.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_reaches_this_machine(url: str) -> None:
    with pytest.raises(FetchError, match=r"private network|cannot be found|not an http"):
        fetch(url, CLOSED)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://x.test/",
        "gopher://x.test/",
        "//x.test/a.png",
        "x.png",
        "",
        "http://",
        "http://user:word@x.test/",
        "http://x.test:22/",
        "http://x.test:99999/",
        "http://x.test/\r\nHost: y",
        "http://[::1",
        "http://\ud800/",
    ],
)
def test_addresses_of_another_kind(url: str) -> None:
    with pytest.raises(FetchError):
        fetch(url, CLOSED)


def as_if_public(
    monkeypatch: pytest.MonkeyPatch, site: str, resolve: Callable[[str, int], list[str]]
) -> None:
    """127.0.0.1 counts as an address of the internet, names mean what `resolve` says."""
    real, port = connection.is_public, int(site.rpartition(":")[2])
    monkeypatch.setitem(fetching.PORTS, "http", port)
    monkeypatch.setattr(connection, "is_public", lambda ip: ip == "127.0.0.1" or real(ip))
    monkeypatch.setattr(connection, "resolve", resolve)


def test_a_redirect_is_checked_again(
    site: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if_public(monkeypatch, site[0], lambda host, _: [host])
    site[1].clear()
    with pytest.raises(FetchError, match="private network"):
        fetch(f"{site[0]}/elsewhere", CLOSED)
    assert len(site[1]) == 1


def test_a_name_is_resolved_once_and_that_address_is_used(
    site: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []

    def changing(host: str, _: int) -> list[str]:
        resolved.append(host)
        return ["127.0.0.1"] if len(resolved) == 1 else ["127.0.0.2"]

    as_if_public(monkeypatch, site[0], changing)
    port = site[0].rpartition(":")[2]
    site[1].clear()
    assert fetch(f"http://changing.test:{port}/good", CLOSED) == PICTURE
    assert resolved == ["changing.test"]
    assert site[1][0].startswith("changing.test")


def test_one_private_address_among_public_ones_is_enough(
    site: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    as_if_public(monkeypatch, site[0], lambda *_: ["127.0.0.1", "10.0.0.1"])
    site[1].clear()
    with pytest.raises(FetchError, match="private network"):
        fetch(f"http://both.test:{site[0].rpartition(':')[2]}/good", CLOSED)
    assert site[1] == []


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(FetchError, match="cannot be reached"):
        fetch(f"http://127.0.0.1:{port}/", OPEN)


def test_only_the_operators_own_address_is_unpacked_and_logged_in_to(
    site: tuple[str, Requests],
) -> None:
    assert fetch(f"{site[0]}/packed", OWN) == PICTURE
    assert gzip.decompress(fetch(f"{site[0]}/packed", OPEN)) == PICTURE
    assert fetch(f"{site[0]}/login".replace("//", "//me:word@"), OWN).startswith(b"Basic ")
    with pytest.raises(FetchError, match="name or password"):
        fetch(f"{site[0]}/login".replace("//", "//me:word@"), OPEN)


def test_only_the_operators_own_address_goes_by_the_environments_proxy(
    site: tuple[str, Requests], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", site[0])
    assert fetch("http://elsewhere.invalid/good", OWN) == PICTURE
    for limits in (OPEN, CLOSED):
        with pytest.raises(FetchError, match="cannot be found"):
            fetch("http://elsewhere.invalid/good", limits)


def test_https_only_holds_for_the_first_address_too(site: tuple[str, Requests]) -> None:
    site[1].clear()
    with pytest.raises(FetchError, match="not https") as refused:
        fetch(f"{site[0]}/good", replace(OWN, https_only=True))
    assert refused.value.code == "refused"
    assert site[1] == []


@pytest.mark.parametrize(("redirects", "allowed"), [(0, False), (1, True)])
def test_redirects_are_counted(redirects: int, allowed: bool, site: tuple[str, Requests]) -> None:
    limits = replace(OPEN, redirects=redirects)
    if allowed:
        assert fetch(f"{site[0]}/there", limits) == PICTURE
    else:
        with pytest.raises(FetchError, match="too often"):
            fetch(f"{site[0]}/there", limits)


def test_nothing_is_loaded_before_something_is_fetched() -> None:
    code = "import sys, tasks.download.fetch; print({'httpx', 'httpcore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
