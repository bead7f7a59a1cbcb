"""Many addresses at the same time, of a real server that behaves in every way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest

from tasks.download import connection
from tasks.download.answers import Answer, Wanted, lasts
from tasks.download.exchange import _seconds
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
            assert "SSL_CERT_FILE names a file of roots" in found.reason
            assert not secure.asked
            for path, said in ((tmp_path / "none.pem", "No such file"), (key, "no certificate")):
                monkeypatch.setenv("SSL_CERT_FILE", str(path))
                with pytest.raises(UsageError, match=f"SSL_CERT_FILE .* cannot be used: .*{said}"):
                    answer(addresses[0])
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
    "/text-as-picture/%EF%BB%BF%3C!-- --%3E".replace(" ", "%20"): ("no_picture", "other text"),
    "/text-as-picture/%7B%22error%22:1%7D": ("no_picture", "other text"),
    "/broken-off/404/x": ("404", "status 404"),
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
        "/as/text+plain/identity/7.png": 1,
        "/as/text+html/utf-8/7.png": 1,
        "/as/image+png/gzip/7.png": 1,
        "/as//br/7.png": 1,
        "/broken-off/302/x": 1,
        "/on/%2F%E5%9B%BE%E7%89%87%2F7.png": 1,
        "/图片/7.png": 0,
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


@pytest.mark.parametrize("wait", ["%C2%B2", "soon", "-1", "1e9", "Fri, 99 Foo 2024 99:99:99 GMT"])
def test_a_time_to_wait_that_nobody_can_read(wait: str) -> None:
    assert _seconds(unquote(wait)) is None


def test_a_time_to_wait_is_a_date_too() -> None:
    assert _seconds("Thu, 01 Jan 1970 00:00:00") == 0.0
    assert _seconds("Mon, 01 Jan 0001 00:00:00 -0000") == 0.0
    assert (_seconds("Fri, 31 Dec 9999 23:59:59 GMT") or 0) > 1e9


@pytest.mark.parametrize("wait", [3600, 1])
def test_a_host_that_asks_to_be_left_alone_for_long_is(wait: int, server: PictureServer) -> None:
    named = [f"{server.url}/busy/429/1/{wait}/{number}.png" for number in range(100)]
    found = answers(named, crowd=replace(CROWD, retries=0))
    assert {each.cause for each in found.values()} == {"429"}
    assert sum(server.asked.values()) <= GIVEN_UP + CROWD.per_host
    assert "asked to be left alone" in found[named[-1]].reason


def test_all_addresses_of_a_host_are_tried(
    server: PictureServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "resolve", lambda *_: ["127.0.0.9", "::1", "127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as only_here:
        threading.Thread(target=_say_once, args=(only_here, b"HTTP/1.0 410 gone\r\n\r\n")).start()
        found = answer(f"http://pictures.invalid:{only_here.getsockname()[1]}/a.png")
    assert found.cause == "410"


def _say_once(listener: socket.socket, said: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.recv(1 << 16)
        client.sendall(said)


def test_private_addresses_are_refused_however_they_are_written(server: PictureServer) -> None:
    port = server.server_address[1]
    hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0")
    found = answers([f"http://{host}:{port}/good/1.png" for host in hosts], PUBLIC)
    assert {each.cause for each in found.values()} == {"refused"}
    assert all("MUGE_DOWNLOAD_PRIVATE=1 allows" in each.reason for each in found.values())
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
    "http://x y/a.png",
    "http://127.0.0.1:0/a.png",
    "http://127.0.0.1:99999/a.png",
)


def test_blanks_in_a_path_are_sent_as_browsers_do(server: PictureServer) -> None:
    assert answer(f"{server.url}/status/404/a b.png").cause == "404"
    assert set(server.asked) == {"/status/404/a%20b.png"}


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


@pytest.mark.parametrize("mark", ['"a\x01b"', '"' + "e" * 20_000 + '"', '"标签"', "a\x7f"])
def test_what_cannot_be_sent_back_is_no_reason_to_fail(mark: str, server: PictureServer) -> None:
    wanted = [Wanted(f"{server.url}/good/1.png", mark, mark)]
    assert answers(wanted)[wanted[0].address].content == toy_picture(1)


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


REFUSALS = {
    "all_proxy socks5": (b"\5\xff", "NO ACCEPTABLE METHODS"),
    "all_proxy socks5h": (b"\5\0\5\4\0\1\0\0\0\0\0\0", "Malformed reply"),
    "all_proxy socks": (b"HTTP/1.1 400 Bad\r\n\r\n", "Malformed reply"),
    "https_proxy http": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "403 Forbidden"),
}


@pytest.mark.parametrize("proxy", REFUSALS)
def test_a_proxy_that_refuses_is_no_end_of_the_run(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, reason = REFUSALS[proxy]
    variable, scheme = proxy.split()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_say_once, args=(listener, said)).start()
        monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        found = answer("https://pictures.invalid/1.png", PUBLIC, replace(CROWD, retries=0))
    assert found.cause == "unreachable"
    assert "environment's proxy gives no connection to its host" in found.reason
    assert reason in found.reason


def test_a_proxy_that_wants_a_name_may_get_one() -> None:
    assert not lasts("407")


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
