"""The JSON API over a real socket: searches, pictures, states, and every refusal."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tasks.settings import load_settings
from tests.deployments.conftest import Serve
from tests.encode.model.costly import WIDE_WEBP


def get(server: str, path: str, **params: object) -> httpx.Response:
    return httpx.get(f"{server}{path}", params=params, timeout=30)  # type: ignore[arg-type]


def upload(server: str, content: bytes, kind: str = "image/png") -> httpx.Response:
    headers = {"Content-Type": kind}
    return httpx.post(f"{server}/api/pictures", content=content, headers=headers, timeout=30)


def png(side: int = 32, color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), color).save(file, "PNG")
    return file.getvalue()


def panda(place: Path) -> tuple[str, bytes]:
    """The id and the bytes of a picture of a panda."""
    lines = (place / "pictures" / "queries.jsonl").read_text("utf-8").splitlines()
    line = next(line for line in lines if "熊猫" in line)
    id = line.split('"image_id": ')[1].split(",")[0]
    return id, next((place / "pictures").glob(f"{id}.*")).read_bytes()


def test_words_find_their_picture(server: str) -> None:
    said = get(server, "/api/search", text="熊猫", topk=3).json()
    assert set(said) == {"query", "hits", "took_ms"}
    assert "熊猫" in said["hits"][0]["fields"]["query"]
    for hit in said["hits"]:
        assert hit["dense"] + hit["sparse"] == pytest.approx(hit["score"])
    assert set(said["took_ms"]) == {"model", "store", "total"}


@pytest.mark.parametrize("fusion", ["normalised", "rrf"])
def test_both_sides_are_fused_as_asked(server: str, fusion: str) -> None:
    said = get(server, "/api/search", text="熊猫", topk=3, alpha=0.5, fusion=fusion).json()
    assert said["query"]["fusion"] == fusion
    assert "熊猫" in said["hits"][0]["fields"]["query"]
    assert said["hits"][0]["fields"]["picture"]
    for hit in said["hits"]:
        assert hit["dense"] + hit["sparse"] == pytest.approx(hit["score"])
    assert get(server, "/api/search", text="熊猫", fusion="sum").status_code == 422


def test_an_uploaded_picture_finds_itself_and_words_join_it(server: str, place: Path) -> None:
    id, content = panda(place)
    kept = upload(server, content, "image/webp")
    assert kept.status_code == 201
    name = kept.json()["picture"]
    alone = get(server, "/api/search", picture=name, topk=1).json()
    assert (alone["query"]["alpha"], alone["hits"][0]["id"]) == (1.0, id)
    both = get(server, "/api/search", picture=name, text="香蕉", alpha=0.1, topk=1).json()
    assert "香蕉" in both["hits"][0]["fields"]["query"]


def test_a_picture_that_takes_too_long_is_refused_and_costs_nobody_else(
    serve_here: Serve, place: Path
) -> None:
    address = serve_here(decode_seconds=0.4)
    other = httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=30)
    with other, ThreadPoolExecutor(6) as threads:
        uploads = [threads.submit(upload, address, WIDE_WEBP, "image/webp") for _ in range(6)]
        answers = [
            other.get(f"{address}/api/search", params={"text": text, "topk": 1})
            for text in ("熊猫", "猫", "香蕉")
        ]
        refusals = [future.result() for future in uploads]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.status_code for answer in refusals} <= {422, 503}
    said = [answer.json()["error"]["message"] for answer in refusals]
    assert any("longer than 0.4 seconds" in message for message in said)
    id, content = panda(place)
    name = upload(address, content, "image/webp").json()["picture"]
    assert get(address, "/api/search", picture=name, topk=1).json()["hits"][0]["id"] == id


def test_more_like_this_encodes_nothing_and_leaves_itself_out(server: str, place: Path) -> None:
    id, _ = panda(place)
    said = get(server, "/api/search", like=id, topk=5).json()
    assert said["took_ms"]["model"] < 5
    assert len(said["hits"]) == 5
    assert id not in [hit["id"] for hit in said["hits"]]


def test_filter_and_results_are_bounded(server: str) -> None:
    said = get(server, "/api/search", text="熊猫", filter="image_id < 100100", topk=100).json()
    assert said["hits"]
    assert all(int(hit["id"]) < 100100 for hit in said["hits"])
    assert get(server, "/api/search", text="猫", topk=1024).json()["query"]["topk"] == 100


def test_a_hits_picture(server: str, place: Path) -> None:
    id, _ = panda(place)
    answer = get(server, f"/api/documents/{id}/picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8\xff")
    assert get(server, "/api/documents/none/picture").status_code == 404


def test_states_and_metrics(server: str) -> None:
    assert get(server, "/api/health").json() == {"status": "ok"}
    assert get(server, "/api/ready").json() == {"status": "ready"}
    get(server, "/api/search", text="猫")
    text = get(server, "/metrics").text
    assert 'muge_web_requests_total{path="/api/search",status="200"}' in text
    assert 'muge_web_search_seconds_bucket{le="0.005",stage="store"}' in text


BAD: dict[str, tuple[dict[str, object], int, str]] = {
    "nothing": ({}, 422, "query"),
    "blank": ({"text": "   "}, 422, "query"),
    "zero width": ({"text": "\u200b"}, 422, "query"),
    "long": ({"text": "很" * 1001}, 422, "invalid"),
    "alpha": ({"text": "a", "alpha": 1.5}, 422, "invalid"),
    "alpha is no number": ({"text": "a", "alpha": "nan"}, 422, "invalid"),
    "topk": ({"text": "a", "topk": 0}, 422, "invalid"),
    "topk huge": ({"text": "a", "topk": 10**30}, 422, "invalid"),
    "filter": ({"text": "a", "filter": "no_such = 3"}, 422, "filter"),
    "filter broken": ({"text": "a", "filter": "image_id >>> 3"}, 422, "filter"),
    "filter deep": ({"text": "a", "filter": "(" * 100 + "image_id<3" + ")" * 100}, 422, "filter"),
    "picture's name": ({"picture": "../../etc/passwd"}, 422, "invalid"),
    "picture gone": ({"picture": "0" * 32}, 410, "picture_gone"),
    "no such document": ({"like": "nobody"}, 422, "query"),
    "document's id": ({"like": "../x\0"}, 422, "query"),
    "two pictures": ({"like": "1", "picture": "0" * 32}, 422, "query"),
    "file": ({"image": "/etc/passwd"}, 422, "address"),
    "file address": ({"image": "file:///etc/passwd"}, 422, "address"),
    "stop words": ({"text": "的", "alpha": 0}, 422, "query"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_searches(case: str, server: str) -> None:
    params, status, code = BAD[case]
    answer = get(server, "/api/search", **params)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert "Traceback" not in answer.text
    assert ".muge" not in answer.text


def test_bad_uploads(serve_here: Serve) -> None:
    address = serve_here(picture_bytes=5000, picture_pixels=10_000)
    assert upload(address, b"nothing").json()["error"]["code"] == "query"
    assert upload(address, b"").status_code == 422
    assert upload(address, png(), "text/html").status_code == 415
    assert upload(address, b"x" * 5001).status_code == 413
    assert upload(address, png(101)).status_code == 422
    chunks = (b"x" * 1000 for _ in range(100))
    headers = {"Content-Type": "image/png"}
    answer = httpx.post(f"{address}/api/pictures", content=chunks, headers=headers, timeout=30)
    assert answer.status_code == 413
    assert upload(address, png(100)).status_code == 201


def test_kept_pictures_make_room_for_others(serve_here: Serve) -> None:
    first, second = png(64, "red"), png(64, "blue")
    address = serve_here(kept_bytes=len(first) + 10)
    name = upload(address, first).json()["picture"]
    upload(address, second)
    assert get(address, "/api/search", picture=name).status_code == 410


def test_token(serve_here: Serve) -> None:
    address = serve_here(token="open sesame 芝麻")
    for path in ("/", "/api/search?text=a", "/metrics", "/api/openapi.json", "/nowhere"):
        assert httpx.get(f"{address}{path}", timeout=30).status_code == 401
    assert get(address, "/api/health").status_code == 200
    header = {b"Authorization": "Bearer open sesame 芝麻".encode()}
    assert httpx.get(f"{address}/api/search?text=a", headers=header, timeout=30).status_code == 200
    wrong = {"Authorization": "Bearer open"}
    assert httpx.get(f"{address}/api/search?text=a", headers=wrong, timeout=30).status_code == 401
    with httpx.Client(base_url=address, headers={"Accept": "text/html"}, timeout=30) as browser:
        assert "需要口令" in browser.get("/").text
        assert browser.post("/token", data={"token": "no"}).status_code == 401
        entered = browser.post("/token", data={"token": "open sesame 芝麻"})
        assert entered.status_code == 303
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "sesame" not in cookie
        assert browser.get("/").status_code == 200


def test_each_client_has_a_rate(serve_here: Serve) -> None:
    address = serve_here(rate=12)
    answers = [get(address, "/api/search", text="猫") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert get(address, "/api/health").status_code == 200


def test_other_host_names_are_not_answered(server: str, serve_here: Serve) -> None:
    evil = {"Host": "evil.test"}
    assert httpx.get(f"{server}/", headers=evil, timeout=30).status_code == 421
    assert httpx.get(f"{server}/", headers={"Host": "localhost:1"}, timeout=30).status_code == 200
    assert httpx.get(f"{server}/", headers={"Host": "[::1]:80"}, timeout=30).status_code == 200
    for host in ("localhost:80@evil", "[::1]evil", "localhost@evil", "[::1", "localhost:x", ""):
        assert httpx.get(f"{server}/", headers={"Host": host}, timeout=30).status_code in (
            400,
            421,
        ), host
    address = serve_here(ready=False, hosts="evil.test")
    assert httpx.get(f"{address}/", headers=evil, timeout=30).status_code == 200
    assert httpx.get(f"{address}/", timeout=30).status_code == 421


def test_every_answer_carries_the_policy(server: str) -> None:
    for path in ("/", "/api/search", "/nowhere", "/api/health"):
        headers = get(server, path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_frames_are_allowed_where_named(serve_here: Serve) -> None:
    headers = httpx.get(serve_here(frames="https://studio.test"), timeout=30).headers
    assert "frame-ancestors https://studio.test" in headers["content-security-policy"]
    assert "x-frame-options" not in headers


def test_unexpected_errors_show_no_trace(serve_here: Serve, tmp_path: Path) -> None:
    address = serve_here(tmp_path, ready=False)
    answer = get(address, "/api/search", text="猫")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert str(tmp_path) not in answer.text
    assert get(address, "/api/ready").status_code == 503
    page = httpx.get(f"{address}/?text=a", headers={"Accept": "text/html"}, timeout=30)
    assert page.status_code == 503
    assert "图库正在准备" in page.text


def test_another_method_or_address(server: str) -> None:
    assert httpx.post(f"{server}/api/search", timeout=30).status_code == 405
    assert httpx.get(f"{server}/static/../../pyproject.toml", timeout=30).status_code == 404
    assert httpx.get(f"{server}/static/..%2f..%2fpyproject.toml", timeout=30).status_code == 404
    assert httpx.get(f"{server}/docs", timeout=30).status_code == 404


def test_defaults_are_those_of_the_settings(server: str) -> None:
    said = get(server, "/api/search", text="猫").json()
    assert said["query"]["alpha"] == load_settings().alpha
