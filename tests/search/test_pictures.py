"""Pictures of a query come from files and addresses, within limits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.errors import QueryError
from tasks.search import pictures
from tasks.search.pictures import read_picture

LIMIT = 1000


def refused(place: str) -> str:
    with pytest.raises(QueryError) as error:
        read_picture(place, LIMIT)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "红.jpg").write_bytes(b"x" * LIMIT)
    assert read_picture(str(tmp_path / "红.jpg"), LIMIT) == b"x" * LIMIT


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(b"x" * (LIMIT + 1))
    assert "has 1001 bytes, the limit is 1000" in refused(str(tmp_path / "large.jpg"))
    assert "No such file" in refused(str(tmp_path / "nothing.jpg"))
    assert "is not a file" in refused(str(tmp_path))
    assert "is not a file" in refused("")
    assert "is no path" in refused("a\0b")
    assert "cannot be read" in refused("x" * 5000)
    assert "No such file" in refused("ftp://127.0.0.1/a.jpg")


def test_what_never_ends_is_no_picture(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is not a file" in refused(str(tmp_path / "pipe"))
    assert "is not a file" in refused("/dev/zero")


class Handler(BaseHTTPRequestHandler):
    """A web server with every fault that the limits are for."""

    def do_GET(self) -> None:
        action = self.path.strip("/").split("/")[0]
        getattr(self, f"give_{action}")()

    def give_picture(self) -> None:
        self._send(200, b"picture")

    def give_missing(self) -> None:
        self._send(404, b"")

    def give_broken(self) -> None:
        self._send(500, b"")

    def give_loop(self) -> None:
        self._redirect("/loop")

    def give_once(self) -> None:
        self._redirect("/picture")

    def give_away(self) -> None:
        self._redirect("file:///etc/hosts")

    def give_large(self) -> None:
        self._send(200, b"x" * (LIMIT + 1))

    def give_endless(self) -> None:
        self._start(200)
        try:
            while True:
                self.wfile.write(b"x" * 1000)
        except OSError:
            self.close_connection = True

    def give_drops(self) -> None:
        self._start(200)
        try:
            for _ in range(400):
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            self.close_connection = True

    def give_silence(self) -> None:
        time.sleep(1)
        self.close_connection = True

    def give_half(self) -> None:
        self._start(200, 100)
        self.wfile.write(b"x" * 50)
        self.close_connection = True

    def give_nonsense(self) -> None:
        self.wfile.write(b"this is no HTTP\r\n\r\n")
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _start(self, status: int, length: int | None = None) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, status: int, content: bytes) -> None:
        self._start(status, len(content))
        self.wfile.write(content)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a real server on this machine."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()
    thread.join()


def test_an_address(server: str) -> None:
    assert read_picture(f"{server}/picture", LIMIT) == b"picture"
    assert read_picture(f"{server}/once", LIMIT) == b"picture"
    assert read_picture(server.replace("http", "HTTP") + "/picture", LIMIT) == b"picture"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("missing", "HTTP 404"),
        ("broken", "HTTP 500"),
        ("loop", "maximum allowed redirects"),
        ("away", "protocol"),
        ("large", "larger than 1000 bytes"),
        ("endless", "larger than 1000 bytes"),
        ("half", "cannot be fetched"),
        ("nonsense", "cannot be fetched"),
    ],
)
def test_addresses_that_give_no_picture(server: str, path: str, said: str) -> None:
    assert said in refused(f"{server}/{path}")


@pytest.mark.parametrize(
    ("path", "said"), [("drops", "took longer than 0.3 seconds"), ("silence", "timed out")]
)
def test_a_slow_server_is_given_up(
    server: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "TIMEOUT_SECONDS", 0.3)
    start = time.monotonic()
    assert said in refused(f"{server}/{path}")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "url",
    ["http://", "http://[::1", "http://127.0.0.1:99999/", "http://a b/", "http://127.0.0.1:1/"],
)
def test_addresses_that_are_none(url: str) -> None:
    assert "cannot be fetched" in refused(url)
