"""Many addresses at the same time, of a real server that behaves in every way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.download import connection
from tasks.download.answers import Answer, Wanted
from tasks.download.fetch import FetchLimits
from tasks.download.many import GIVEN_UP, Crowd, fetch_many
from tasks.errors import UsageError
from tests.servers.pictures import PictureServer, picture_server, serving
from tests.sparse.https import make_certificate
from tests.toys import toy_picture

LIMITS = FetchLimits(
    max_bytes=1 << 20, seconds=30.0, silence_seconds=20.0, redirects=5, reach="private"
)
HASTY = replace(LIMITS, seconds=0.6, silence_seconds=0.3)
PUBLIC = replace(LIMITS, reach="public", any_port=True)
CROWD = Crowd(at_once=8, per_host=4, retries=2, first_pause=0.01)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureServer]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with picture_server() as running:
        yield running


def answers(
    addresses: Iterable[str | Wanted], limits: FetchLimits = LIMITS, crowd: Crowd = CROWD
) -> dict[str, Answer]:
    wanted = (Wanted(a) if isinstance(a, str) else a for a in addresses)
    found = [answer for answer in fetch_many(wanted, limits, crowd) if answer is not None]
    by_address = {answer.address: answer for answer in found}
    assert len(found) == len(by_address)
    return by_address


def answer(address: str, limits: FetchLimits = LIMITS, crowd: Crowd = CROWD) -> Answer:
    return answers([address], limits, crowd)[address]


def test_all_pictures_come_over_few_connections(server: PictureServer) -> None:
    addresses = [f"{server.url}/good/{number}.png" for number in range(200)]
    found = answers(addresses)
    assert [found[each].content for each in addresses] == [toy_picture(n) for n in range(200)]
    assert len(server.connections) <= 4
    assert server.most <= 4
    assert set(server.asked.values()) == {1}


def test_pictures_come_over_tls_whose_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_certificate(tmp_path)
    with PictureServer() as secure:
        secure.speak_tls(certificate, key)
        with serving(secure):
            addresses = [f"{secure.url}/good/{number}.png" for number in range(30)]
            found = answer(addresses[0])
            assert (found.cause, "certificate" in found.reason) == ("unreachable", True)
            assert not secure.asked
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            by_address = answers(addresses)
            assert [by_address[a].content for a in addresses] == list(map(toy_picture, range(30)))
            assert len(secure.connections) <= CROWD.per_host
            slow = answer(f"{secure.url}/drip", HASTY, replace(CROWD, retries=0))
            assert slow.cause == "too_slow"


def test_hosts_are_bounded_each_and_all_together(server: PictureServer) -> None:
    server.delay = 0.01
    port = server.server_address[1]
    hosts = [f"http://127.0.0.{host}:{port}" for host in range(1, 6)]
    addresses = [f"{host}/good/{number}.png" for number in range(20) for host in hosts]
    assert len(answers(addresses)) == 100
    assert 4 < server.most <= 8


BAD = {
    "/status/404": ("404", "status 404"),
    "/status/410": ("410", "status 410"),
    "/status/403": ("403", "status 403"),
    "/status/204": ("204", "status 204"),
    "/page": ("no_picture", "gives 'text/html; charset=utf-8', not a picture"),
    "/page-as-picture": ("no_picture", "page of HTML"),
    "/nothing": ("no_picture", "0 bytes"),
    "/hop/30/x": ("redirects", "more than 5 times"),
    "/to-file": ("refused", "only http"),
    "/large": ("too_large", "larger than 1,048,576 bytes"),
    "/endless": ("too_large", "larger than 1,048,576 bytes"),
    "/bomb": ("too_large", "larger than 1,048,576 bytes"),
}


@pytest.mark.parametrize("path", BAD)
def test_what_is_no_picture_is_asked_once(path: str, server: PictureServer) -> None:
    found = answer(server.url + path)
    cause, reason = BAD[path]
    assert (found.content, found.cause) == (None, cause)
    assert reason in found.reason
    assert server.asked[path] == 1
    assert server.sent < 16 << 20


MAY_PASS = {
    "/reset/3.png": ("unreachable", "broke off"),
    "/short/3.png": ("unreachable", "broke off"),
    "/nonsense": ("unreachable", "broke off"),
    "/status/500": ("500", "status 500"),
    "/status/503": ("503", "status 503"),
    "/status/408": ("408", "status 408"),
}


@pytest.mark.parametrize("path", MAY_PASS)
def test_what_may_pass_is_asked_again(path: str, server: PictureServer) -> None:
    again: list[str] = []
    crowd = replace(CROWD, retries=1, retried=lambda: again.append(path))
    found = answer(server.url + path, crowd=crowd)
    assert again == [path]
    cause, reason = MAY_PASS[path]
    assert (found.content, found.cause) == (None, cause)
    assert reason in found.reason
    assert server.asked[path] == 2


@pytest.mark.parametrize("path", ["/drip", "/silent"])
def test_what_takes_too_long_is_left(path: str, server: PictureServer) -> None:
    found = answer(server.url + path, HASTY, replace(CROWD, retries=1))
    assert (found.content, found.cause) == (None, "too_slow")
    assert "timed out" in found.reason


@pytest.mark.parametrize(
    ("path", "times"),
    {
        "/hop/3/x": 1,
        "/to/127.0.0.2": 1,
        "/flaky/7.png": 2,
        "/busy/429/2/0/7.png": 3,
        "/busy/503/1/0/7.png": 2,
        "/packed/7.png": 1,
    }.items(),
)
def test_what_gives_a_picture_in_the_end(path: str, times: int, server: PictureServer) -> None:
    assert answer(server.url + path).content == toy_picture(7)
    assert server.asked[path] == times


def test_a_server_that_asks_to_wait_is_left_alone(server: PictureServer) -> None:
    begun = time.monotonic()
    busy = f"{server.url}/busy/429/1/1/1.png"
    assert answer(busy).content == toy_picture(1)
    assert time.monotonic() - begun >= 1.0
    never = f"{server.url}/busy/429/1/3600/1.png"
    found = answer(never)
    assert (found.cause, found.wait) == ("429", 3600.0)
    assert server.asked["/busy/429/1/3600/1.png"] == 1


def test_private_addresses_are_refused_however_they_are_written(server: PictureServer) -> None:
    port = server.server_address[1]
    hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0")
    found = answers([f"http://{host}:{port}/good/1.png" for host in hosts], PUBLIC)
    assert {each.cause for each in found.values()} == {"refused"}
    assert not server.asked


def test_a_redirect_to_a_private_address_is_refused(
    server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = connection.is_public
    monkeypatch.setattr(connection, "is_public", lambda a: a == "127.0.0.1" or real(a))
    found = answer(f"{server.url}/to/127.0.0.2", PUBLIC)
    assert found.cause == "refused"
    assert "private network" in found.reason
    assert answer(f"{server.url}/hop/2/x", PUBLIC).content == toy_picture(7)
    assert "/good/7.png" in server.asked
    assert server.asked["/good/7.png"] == 1


ODD = (
    "ftp://a/b.png",
    "no address",
    "http://",
    "http://[::1",
    "http://u:p@127.0.0.1/a.png",
    "http://x/a b.png",
)


@pytest.mark.parametrize("address", ODD)
def test_what_is_no_address_is_said(address: str) -> None:
    assert answer(address).cause == "refused"


def test_what_is_unchanged_is_not_sent(server: PictureServer) -> None:
    tagged, dated = f"{server.url}/tagged/1.png", f"{server.url}/dated/2.png"
    first = answers([tagged, dated])
    again = [Wanted(a.address, a.etag, a.modified) for a in first.values()]
    second = answers(again)
    assert server.unchanged == 2
    assert all(a.content is None and not a.cause for a in second.values())
    server.version = 1
    assert answers(again)[tagged].content == toy_picture(2)


def test_a_host_that_is_down_is_given_up() -> None:
    addresses = [f"http://127.0.0.1:9/{number}.png" for number in range(200)]
    found = answers(addresses, crowd=replace(CROWD, retries=1))
    assert {each.cause for each in found.values()} == {"unreachable"}
    not_asked = [each for each in found.values() if each.reason.startswith("not asked")]
    assert len(not_asked) >= 200 - GIVEN_UP - CROWD.at_once


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(
    server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    elsewhere = "http://pictures.invalid/a/5.png"
    private = "http://10.0.0.1/a/5.png"
    here = f"{server.url}/good/5.png"
    assert answer(elsewhere, PUBLIC).content == toy_picture(5)
    assert server.asked == {"/proxied/a/5.png": 1}
    assert answer(private, PUBLIC).cause == "refused"
    assert answer(here, PUBLIC).cause == "refused"
    assert answer(here).content == toy_picture(5)
    assert server.asked == {"/proxied/a/5.png": 1, "/good/5.png": 1}
    monkeypatch.setenv("no_proxy", "pictures.invalid")
    assert answer(elsewhere, PUBLIC).cause == "unreachable"


@contextmanager
def socks_proxy(target: int) -> Iterator[tuple[str, list[str]]]:
    """A SOCKS5 proxy (RFC 1928) that leads every host to a port of this machine; it notes them."""
    named: list[str] = []

    def lead(client: socket.socket) -> None:
        with client, client.makefile("rb", 0) as stream, suppress(OSError):
            stream.read(stream.read(2)[1])
            client.sendall(b"\5\0")
            kind = stream.read(4)[3]
            size = stream.read(1)[0] if kind == 3 else {1: 4, 4: 16}[kind]
            named.append(stream.read(size).decode("latin-1"))
            stream.read(2)
            client.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            with socket.create_connection(("127.0.0.1", target)) as server:
                threading.Thread(target=pump, args=(server, client), daemon=True).start()
                pump(client, server)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=lead, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", named
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_of_the_environment_is_used(
    scheme: str, server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("socksio")
    addresses = [f"http://pictures.invalid/good/{number}.png" for number in range(20)]
    with socks_proxy(server.server_address[1]) as (proxy, named):
        monkeypatch.setenv("all_proxy", f"{scheme}://{proxy}")
        found = answers(addresses, PUBLIC)
    assert [found[each].content for each in addresses] == [toy_picture(n) for n in range(20)]
    assert set(named) == {"pictures.invalid"}
    assert len(named) <= CROWD.per_host


@pytest.mark.parametrize("proxy", ["socks9://127.0.0.1:1", "http://[::1"])
def test_a_proxy_that_cannot_be_is_one_line(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UsageError, match=r"environment's proxy .* cannot be used for downloads"):
        answer("http://pictures.invalid/a.png", PUBLIC)


def test_closed_early_it_leaves_at_once(server: PictureServer) -> None:
    begun = time.monotonic()
    stream = fetch_many((Wanted(f"{server.url}/silent") for _ in range(3)), LIMITS, CROWD)
    assert next(stream) is None
    stream.close()
    assert time.monotonic() - begun < 5
    assert threading.active_count() < 100
