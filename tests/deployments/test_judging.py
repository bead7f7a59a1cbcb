"""Thumbs on hits: by the API and by the page, kept in the work folder, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deployments.collection import index_folder, sample_pictures, settings_in
from tests.deployments.conftest import Serve
from tests.deployments.test_api import panda

USER = "0123456789abcdef" * 2


@pytest.fixture
def judged(place: Path, serve_here: Serve) -> str:
    """A server of which nothing was judged yet."""
    shutil.rmtree(judgements_in(place), ignore_errors=True)
    return serve_here()


def judgements_in(home: Path) -> Path:
    return home / ".muge" / "work" / "judgements"


def judge(address: str, headers: dict[str, str] | None = None, **said: Any) -> httpx.Response:
    body = {"query": "熊猫", "grade": 1, "user": USER, **said}
    return httpx.post(f"{address}/api/judgements", json=body, headers=headers or {}, timeout=30)


def kept(address: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{address}/api/judgements", timeout=30)
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.text.splitlines()]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_thumbs_are_kept_with_all_that_is_known_of_them(judged: str, place: Path) -> None:
    id, _ = panda(place)
    shown: dict[str, Any] = {
        "rank": 1,
        "alpha": 0.8,
        "fusion": "weighted",
        "filter": "image_id > 1",
        "topk": 10,
    }
    answer = judge(judged, id=id, query=" 熊猫\n", **shown)
    assert answer.status_code == 201, answer.text
    assert judge(judged, id=id, grade=-1, user="f" * 32).status_code == 201
    first, second = kept(judged)
    assert first.items() >= {**shown, "query": "熊猫", "document": id, "image": id}.items()
    assert first["collection"] == "muge"
    assert first["made_of"]
    assert first["time"].endswith("Z")
    assert first["user"] != second["user"]
    # whoever reads this cannot judge as somebody else
    assert USER not in httpx.get(f"{judged}/api/judgements", timeout=30).text
    assert "127.0.0.1" not in httpx.get(f"{judged}/api/judgements", timeout=30).text
    # one up, one down: nobody knows
    qrels = httpx.get(f"{judged}/api/judgements.qrels", timeout=30)
    assert (qrels.status_code, qrels.text) == (200, "")
    assert judge(judged, id=id, grade=0, user="f" * 32).status_code == 201
    lines = httpx.get(f"{judged}/api/judgements.qrels", timeout=30).text
    assert lines == f"{first['query_id']} 0 {id} 1\n"


def test_what_cannot_be_judged(judged: str, place: Path) -> None:
    id, _ = panda(place)
    assert code(judge(judged, id="nobody")) == (404, "not_found")
    assert code(judge(judged, id="nobody", made_of="forged")) == (404, "not_found")
    wrongs: tuple[dict[str, Any], ...] = (
        {"query": "长" * 10_000},
        {"query": ""},
        {"query": " \u200b"},
        {"grade": 2},
        {"grade": 0.5},
        {"user": "me"},
        {"user": USER + "\n"},
        {"alpha": 7},
        {"rank": 0},
        {"filter": "x" * 1001},
        {"surprise": 1},
    )
    for wrong in wrongs:
        assert judge(judged, **{"id": id, **wrong}).status_code == 422, wrong
    send, address = httpx.post, f"{judged}/api/judgements"
    good = json.dumps({"query": "熊猫", "id": id, "grade": 1})
    json_kind = {"Content-Type": "application/json"}
    assert code(send(address, content=good, headers={"Content-Type": "text/plain"}))[0] == 415
    assert code(send(address, content="x" * 70_000, headers=json_kind)) == (413, "too_large")
    surrogate = good.replace("\\u718a", "\\ud800")
    assert send(address, content=surrogate, headers=json_kind).status_code == 422
    assert code(judge(judged, {"Origin": "http://evil.example"}, id=id)) == (403, "other_site")
    assert code(judge(judged, {"Sec-Fetch-Site": "cross-site"}, id=id)) == (403, "other_site")
    assert kept(judged) == []
    assert judge(judged, {"Origin": judged, "Sec-Fetch-Site": "same-origin"}, id=id).is_success


def test_only_where_it_is_safe_or_wanted(serve_here: Serve, place: Path) -> None:
    shutil.rmtree(judgements_in(place), ignore_errors=True)
    id, _ = panda(place)
    off = serve_here(judge="off")
    assert code(judge(off, id=id)) == (403, "no_judging")
    assert code(httpx.get(f"{off}/api/judgements", timeout=30)) == (403, "no_judging")
    page = httpx.get(f"{off}/?text=猫", headers={"Accept": "text/html"}, timeout=30).text
    assert 'class="hit"' in page
    assert 'class="thumb"' not in page
    everywhere = serve_here(host="0.0.0.0")
    assert code(judge(everywhere, id=id)) == (403, "no_judging")
    guarded = serve_here(host="0.0.0.0", token="secret")
    assert judge(guarded, id=id).status_code == 401
    bearer = {"Authorization": "Bearer secret"}
    assert judge(guarded, bearer, id="nobody").status_code == 404
    with httpx.Client(base_url=guarded, timeout=30) as browser:
        browser.post("/token", data={"token": "secret"})
        said = {"query": "熊猫", "id": id, "grade": 1, "user": USER}
        assert browser.post("/api/judgements", json=said).status_code == 201
        assert browser.get("/api/judgements.qrels").text.endswith(f" {id} 1\n")


@pytest.mark.thorough
def test_a_proxy_may_say_who_judges(serve_here: Serve, place: Path) -> None:
    id, _ = panda(place)
    alone = serve_here(user_header="X-User")
    assert code(judge(alone, {"X-User": "boss"}, id=id)) == (403, "nobody")
    behind = serve_here(user_header="X-User", proxies="127.0.0.1")
    assert code(judge(behind, id=id)) == (403, "nobody")
    named = {b"X-User": "李雷".encode(), b"X-Forwarded-For": b"10.0.0.1"}
    body = {"query": "熊猫", "id": id, "grade": 0, "user": USER}
    answer = httpx.post(f"{behind}/api/judgements", json=body, headers=named, timeout=30)
    assert answer.json()["user"] == "李雷"


def shown_with(html: str, name: str) -> str:
    """What a page says of its hits that a thumb is sent with."""
    return html.split(f'data-{name}="')[1].split('"')[0]


def test_a_thumb_on_a_collection_that_was_replaced_is_kept(
    serve_here: Serve, tmp_path: Path
) -> None:
    own = tmp_path
    index_folder(sample_pictures(own / "pictures"), settings_in(own))
    judged = serve_here(own)
    html = httpx.get(
        f"{judged}/", params={"text": "熊猫"}, headers={"Accept": "text/html"}, timeout=30
    ).text
    made_of = json.loads(unescape(shown_with(html, "with")))["made_of"]
    id, _ = panda(own)
    index_folder(sample_pictures(own / "others", 7), settings_in(own), anew=True)
    others = httpx.get(f"{judged}/api/search", params={"text": "熊猫"}, timeout=30).json()["hits"]
    assert id not in {hit["id"] for hit in others}
    assert judge(judged, id=id).status_code == 404
    assert judge(judged, id=id, made_of=made_of).status_code == 201
    assert judge(judged, id=others[0]["id"], grade=-1).status_code == 201
    first, second = kept(judged)
    assert first["made_of"] == made_of != second["made_of"]
    # a browser that pressed a thumb there did not press it in another collection
    page = {"params": {"text": "熊猫"}, "headers": {"Accept": "text/html"}}
    after = httpx.get(f"{judged}/", **page, timeout=30).text  # type: ignore[arg-type]
    elsewhere = httpx.get(f"{serve_here()}/", **page, timeout=30).text  # type: ignore[arg-type]
    kept_in = [shown_with(each, "kept") for each in (html, after, elsewhere)]
    assert kept_in[0] == kept_in[1] != kept_in[2]


def test_a_full_disk_keeps_nothing_of_a_thumb(
    judged: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id, _ = panda(place)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("tasks.work.folder.os.fsync", full)
        assert code(judge(judged, id=id)) == (503, "not_kept")
        assert (
            httpx.get(f"{judged}/api/search", params={"text": "熊猫"}, timeout=30).status_code
            == 200
        )
    assert [file for file in judgements_in(place).rglob("*") if file.is_file()] == []
    assert judge(judged, id=id).status_code == 201
    assert len(kept(judged)) == 1


def test_a_work_folder_that_takes_nothing(judged: str, place: Path) -> None:
    """Searching goes on; what was judged before is there."""
    id, _ = panda(place)
    assert judge(judged, id=id).status_code == 201
    judgements = judgements_in(place)
    judgements.rename(judgements.with_name("aside"))
    judgements.write_text("a file where a folder should be")
    try:
        assert code(judge(judged, id=id)) == (503, "not_kept")
        assert (
            httpx.get(f"{judged}/api/search", params={"text": "熊猫"}, timeout=30).status_code
            == 200
        )
    finally:
        judgements.unlink()
        judgements.with_name("aside").rename(judgements)
    assert len(kept(judged)) == 1
    next(judgements.rglob("*.json")).write_text("{}")
    assert code(httpx.get(f"{judged}/api/judgements", timeout=30)) == (503, "not_read")
    shutil.rmtree(judgements)
