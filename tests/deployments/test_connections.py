"""Connections that cost a server something, over real sockets: idle, dribbling, and too many."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest

from tests.deployments.conftest import Serve

OTHER = "127.0.0.2"
PATIENCE = 20.0


@contextmanager
def connected(
    address: str, count: int = 1, source: str = "127.0.0.1"
) -> Iterator[list[socket.socket]]:
    host, _, port = address.removeprefix("http://").partition(":")
    with ExitStack() as open_ones:
        yield [
            open_ones.enter_context(
                socket.create_connection((host, int(port)), PATIENCE, source_address=(source, 0))
            )
            for _ in range(count)
        ]


def get(address: str, path: str, source: str = "127.0.0.1") -> httpx.Response:
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=PATIENCE) as client:
        return client.get(f"{address}{path}")


def answer_to(one: socket.socket) -> bytes:
    """All that comes until the server closes."""
    said = b""
    while piece := one.recv(65536):
        said += piece
    return said


def dribbled(one: socket.socket, piece: bytes) -> float:
    """Seconds until the server takes no more pieces."""
    began = time.monotonic()
    with suppress(OSError):
        while time.monotonic() - began < PATIENCE:
            one.sendall(piece)
            time.sleep(0.1)
    return time.monotonic() - began


def head(method: str, path: str, length: int = 0) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/png\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.thorough
def test_idle_connections_of_one_client_keep_nobody_out(serve_here: Serve) -> None:
    address = serve_here(connections=20, client_connections=10, head_seconds=30)
    with connected(address, 60):
        assert get(address, "/api/health").status_code == 200
        assert get(address, "/api/search?text=%E7%8C%AB&topk=1").status_code == 200
        assert get(address, "/api/search?text=%E7%8C%AB&topk=1", OTHER).status_code == 200


def test_idle_connections_of_many_clients_make_room(serve_here: Serve) -> None:
    address = serve_here(connections=12, client_connections=10, head_seconds=30)
    with ExitStack() as open_ones:
        for number in range(3, 9):
            open_ones.enter_context(connected(address, 4, f"127.0.0.{number}"))
        assert get(address, "/api/search?text=%E7%8C%AB&topk=1", OTHER).status_code == 200


def test_health_answers_where_nothing_else_has_room(serve_here: Serve) -> None:
    address = serve_here(connections=20, client_connections=4, body_seconds=30)
    with connected(address, 4) as busy:
        for one in busy:
            one.sendall(head("POST", "/api/pictures", 1000) + b"x")
        time.sleep(0.2)
        assert get(address, "/api/health").json() == {"status": "ok"}
        refused = get(address, "/api/search?text=%E7%8C%AB")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "busy")
        assert refused.headers["retry-after"] == "1"
        assert get(address, "/api/search?text=%E7%8C%AB&topk=1", OTHER).status_code == 200
    time.sleep(0.2)
    assert get(address, "/api/search?text=%E7%8C%AB&topk=1").status_code == 200


def test_a_request_that_does_not_come_is_not_waited_for(serve_here: Serve) -> None:
    address = serve_here(head_seconds=0.5)
    with connected(address, 2) as (silent, slow):
        slow.sendall(b"GET /api/hea")
        assert answer_to(silent) == b""
        assert answer_to(slow).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_dribbles_is_cut_off(serve_here: Serve) -> None:
    address = serve_here(head_seconds=0.5)
    with connected(address) as (one,):
        one.sendall(b"GET /api/health HTTP/1.1\r\n")
        assert dribbled(one, b"x: y\r\n") < PATIENCE / 2


@pytest.mark.thorough
@pytest.mark.parametrize("path", ["/token", "/api/pictures"])
def test_a_body_that_dribbles_is_told_so(serve_here: Serve, path: str) -> None:
    address = serve_here(body_seconds=0.6)
    with connected(address) as (one,):
        one.sendall(head("POST", path, 1000))
        assert dribbled(one, b"x") < PATIENCE / 2
    with connected(address) as (one,):
        one.sendall(head("POST", path, 1000) + b"x")
        assert answer_to(one).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_nobody_reads_does_not_hold_a_connection(serve_here: Serve) -> None:
    address = serve_here(body_seconds=30)
    with connected(address) as (one,):
        one.sendall(head("POST", "/api/search", 1000) + b"x")
        assert b" 405 " in answer_to(one).split(b"\r\n")[0]


@pytest.mark.thorough
def test_connections_are_used_again_and_requests_may_come_at_once(serve_here: Serve) -> None:
    address = serve_here(head_seconds=2, body_seconds=2)
    with httpx.Client(timeout=30) as client:
        for _ in range(3):
            assert client.get(f"{address}/api/health").status_code == 200
            time.sleep(0.1)
    with connected(address) as (one,):
        one.sendall(head("GET", "/api/health") * 2 + head("POST", "/token", 4) + b"a=b&")
        time.sleep(0.3)
        one.sendall(head("GET", "/api/health"))
        said = answer_to(one)
        assert said.count(b"HTTP/1.1 200 ") == 3
        assert said.count(b"HTTP/1.1 ") == 4
